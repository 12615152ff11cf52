//! The data directory: which directory means what, and what lies in each.
//!
//! ```text
//! format                         the version of all of this
//! open/<minute>.<run>/           a sled database, its `lock`, and `closed` once it is complete
//!                                (with `opening` in it: still being made, holds no event)
//! open/.new.<minute>.<run>/      the same, before its lock is taken: never holds an event
//! sealing/<minute>.<part>/       a seal that is being written: worth nothing after a crash
//! sealed/<minute>.<part>/        manifest, segments, index, identities, deliveries
//! parked/<minute>.<part>/        the same, where all that is left waits for a person
//! receipts/<minute>.<part>/      the same without segments: every object is in S3
//! quarantine/<name>/             what cannot be read back whole
//! flusher.lock, *.sock           the one flusher; where the services listen for `admin`
//! ```
//! State is where a directory lies; a move is a rename, synced.

use std::fmt;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use model::{Minute, RunId};

use crate::durable;
use crate::error::{Error, Result};
use crate::making::is_opening;
use crate::place::{make_dir, tighten};
use crate::regular::{is_there, open_file};

/// The version of everything on disk.
pub const FORMAT_VERSION: u32 = 4;

/// No format is longer: what is, is none.
const MAX_FORMAT_BYTES: u64 = 64;

/// Says of what kind the directory is.
pub const FORMAT_FILE: &str = "format";
/// Held by the one flusher.
pub const FLUSHER_LOCK_FILE: &str = "flusher.lock";
pub(crate) const NEW: &str = ".new.";

/// Names within a run's directory.
pub(crate) const LOCK_FILE: &str = "lock";
pub(crate) const CLOSED_FILE: &str = "closed";

/// There while a run is being made. It goes, durably, before the first event comes: a run that has it
/// never held one, whatever a crash has left of its database.
pub(crate) const OPENING_FILE: &str = "opening";

/// The gzip bytes of all objects of a part, one after the other.
pub const SEGMENTS_FILE: &str = "segments";

/// Names within a part's directory.
pub(crate) const MANIFEST_FILE: &str = "manifest";
pub(crate) const INDEX_FILE: &str = "index";
pub(crate) const IDENTITIES_FILE: &str = "identities";
pub(crate) const DELIVERIES_FILE: &str = "deliveries";

/// The name of a run's log of one minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunName {
    /// The minute.
    pub minute: Minute,
    /// The run.
    pub run: RunId,
}

/// The name of a sealed part of a minute. A minute has one part, 0, unless a run turned up after
/// its minute was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartName {
    /// The minute.
    pub minute: Minute,
    /// The number of the part, from 0.
    pub part: u32,
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.minute.to_name(), self.run)
    }
}

impl fmt::Display for PartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.minute.to_name(), self.part)
    }
}

impl RunName {
    /// Reads the name of a directory.
    pub fn parse(name: &str) -> Option<Self> {
        let (minute, run) = name.split_once('.')?;
        Some(Self { minute: Minute::from_name(minute).ok()?, run: run.parse().ok()? })
    }
}

impl PartName {
    /// Reads the name of a directory.
    pub fn parse(name: &str) -> Option<Self> {
        let (minute, part) = name.split_once('.')?;
        let parsed = Self { minute: Minute::from_name(minute).ok()?, part: part.parse().ok()? };
        (parsed.to_string() == name).then_some(parsed)
    }
}

/// Where a sealed part stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// On its way to S3.
    Sealed,
    /// Waiting for a person.
    Parked,
    /// In S3, whole.
    Receipts,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sealed, Self::Parked, Self::Receipts];

    fn dir_name(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Parked => "parked",
            Self::Receipts => "receipts",
        }
    }
}

/// A data directory.
#[derive(Clone, Debug)]
pub struct DataDir {
    root: PathBuf,
}

impl DataDir {
    /// Names a data directory without looking at it: for reading.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Opens a data directory for a service: makes what is missing, mode 0700, takes everybody
    /// else's permissions away from what is there, and refuses what [`DataDir::examine`] does.
    pub fn create(root: impl Into<PathBuf>) -> Result<Self> {
        let this = Self::at(root);
        this.examine()?;
        make_dir(&this.root)?;
        this.close_to_others()?;
        for dir in [this.open_dir(), this.sealing_dir(), this.quarantine_dir()]
            .into_iter()
            .chain(Stage::ALL.map(|stage| this.stage_dir(stage)))
        {
            make_dir(&dir)?;
            tighten(&dir)?;
        }
        let format = this.root.join(FORMAT_FILE);
        if !format.exists() {
            durable::write_whole(&format, format!("minutelog {FORMAT_VERSION}\n").as_bytes())?;
        }
        durable::sync_dir(&this.root)?;
        Ok(this)
    }

    /// Refuses a data directory of another format. One without a format is new, or not there.
    pub fn check_format(&self) -> Result<()> {
        let path = self.root.join(FORMAT_FILE);
        let file = match open_file(&path) {
            Ok(file) => file,
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        file.take(MAX_FORMAT_BYTES).read_to_end(&mut found).map_err(Error::io(&path))?;
        let found = String::from_utf8_lossy(&found);
        if found == format!("minutelog {FORMAT_VERSION}\n") {
            Ok(())
        } else {
            let found = found.chars().take(40).collect::<String>().trim().to_owned();
            Err(Error::Format { path, found, expected: FORMAT_VERSION })
        }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where runs are.
    pub fn open_dir(&self) -> PathBuf {
        self.root.join("open")
    }

    /// Where seals are written.
    pub fn sealing_dir(&self) -> PathBuf {
        self.root.join("sealing")
    }

    /// Where damage is kept.
    pub fn quarantine_dir(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    /// Where parts of a stage are.
    pub fn stage_dir(&self, stage: Stage) -> PathBuf {
        self.root.join(stage.dir_name())
    }

    /// The directory of a run.
    pub fn run_dir(&self, name: RunName) -> PathBuf {
        self.open_dir().join(name.to_string())
    }

    /// The directory of a run that has no lock yet.
    pub fn new_run_dir(&self, name: RunName) -> PathBuf {
        self.open_dir().join(format!("{NEW}{name}"))
    }

    /// The directory of a seal that is being written.
    pub fn sealing_part_dir(&self, name: PartName) -> PathBuf {
        self.sealing_dir().join(name.to_string())
    }

    /// The directory of a part.
    pub fn part_dir(&self, stage: Stage, name: PartName) -> PathBuf {
        self.stage_dir(stage).join(name.to_string())
    }

    /// Where the one flusher holds its lock.
    pub fn flusher_lock(&self) -> PathBuf {
        self.root.join(FLUSHER_LOCK_FILE)
    }

    /// Removes a run whose events nobody needs any more. It loses its name at once: a crash in the
    /// middle leaves half a run in `sealing/`, where all is removed at the next start, and none
    /// that could be taken for damaged. What is gone already is no error.
    pub fn remove_run(&self, name: RunName) -> Result<()> {
        let (run, aside) = (self.run_dir(name), self.sealing_dir().join(name.to_string()));
        match durable::rename(&run, &aside) {
            Err(error) if error.is_not_found() && !run.exists() => {}
            other => other?,
        }
        durable::remove_dir(&aside)
    }

    /// The runs that are on disk, oldest minute first. One that is still being made is none yet.
    pub fn runs(&self) -> Result<Vec<RunName>> {
        let dir = self.open_dir();
        list(&dir, |name| RunName::parse(name).filter(|_| !is_opening(&dir.join(name))))
    }

    /// The parts of a stage, oldest first.
    pub fn parts(&self, stage: Stage) -> Result<Vec<PartName>> {
        list(&self.stage_dir(stage), PartName::parse)
    }

    /// What is quarantined: runs and parts, by the names of their directories.
    pub fn quarantined(&self) -> Result<Vec<String>> {
        list(&self.quarantine_dir(), |name| {
            let known = RunName::parse(name).is_some() || PartName::parse(name).is_some();
            known.then(|| name.to_owned())
        })
    }

    /// Where a part is now, if anywhere.
    pub fn find_part(&self, name: PartName) -> Option<Stage> {
        Stage::ALL.into_iter().find(|stage| is_there(&self.part_dir(*stage, name)))
    }

    /// Whether a minute has been sealed, or is about to be: it must not be opened any more.
    pub fn is_sealed(&self, minute: Minute) -> bool {
        let first = PartName { minute, part: 0 };
        is_there(&self.sealing_part_dir(first))
            || is_there(&self.quarantine_dir().join(first.to_string()))
            || self.find_part(first).is_some()
    }
}

pub(crate) fn list<T: Ord>(dir: &Path, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io(dir)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(Error::io(dir))?.file_name();
        found.extend(name.to_str().and_then(&parse));
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Interval, UnixMillis};

    fn minute() -> Minute {
        Minute::containing(UnixMillis::new(1_795_342_517_999), Interval::default())
    }

    #[test]
    fn names_read_as_they_are_written() {
        let run = RunName { minute: minute(), run: RunId::from_bits(0xab) };
        assert_eq!(run.to_string(), "20261122T101500Z-60s.0000000000ab");
        assert_eq!(RunName::parse(&run.to_string()), Some(run));
        let part = PartName { minute: minute(), part: 3 };
        assert_eq!(part.to_string(), "20261122T101500Z-60s.3");
        assert_eq!(PartName::parse(&part.to_string()), Some(part));
        for bad in ["", ".", "x.3", "20261122T101500Z-60s", "20261122T101500Z-60s.03"] {
            assert_eq!(PartName::parse(bad), None, "{bad}");
            assert_eq!(RunName::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn another_format_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::create(dir.path().join("data")).unwrap();
        assert!(DataDir::create(data.root()).is_ok());
        fs::write(data.root().join("format"), "minutelog 0\n").unwrap();
        let error = DataDir::create(data.root()).unwrap_err();
        assert!(matches!(&error, Error::Format { found, .. } if found == "minutelog 0"), "{error}");
    }

    #[test]
    fn a_run_that_is_removed_is_gone_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::create(dir.path()).unwrap();
        let name = RunName { minute: minute(), run: RunId::from_bits(1) };
        fs::create_dir(data.run_dir(name)).unwrap();
        // What a crash has left of an earlier removal.
        fs::create_dir_all(data.sealing_dir().join("20261122T101400Z-60s.000000000001")).unwrap();
        data.remove_run(name).unwrap();
        assert!(data.runs().unwrap().is_empty());
        assert!(!data.sealing_dir().join(name.to_string()).exists());
        data.remove_run(name).unwrap();
    }

    #[test]
    fn a_minute_is_sealed_from_the_beginning_of_its_seal() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::create(dir.path()).unwrap();
        assert!(!data.is_sealed(minute()));
        fs::create_dir(data.sealing_part_dir(PartName { minute: minute(), part: 0 })).unwrap();
        assert!(data.is_sealed(minute()));
        assert!(!data.is_sealed(minute().next()));
    }
}
