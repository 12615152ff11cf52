//! The identities of a sealed part: which events of which identity it holds.
//!
//! Whoever seals another minute leaves out what is held here already. The file is there where the
//! part holds an event with an identity, and stays with the receipts when the log is gone.
//!
//! ```text
//! frame    entries (identity, number, events, time), by identity, then by number | is it the last?
//! ```

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{Minute, UnixMillis};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::error::{Error, Result};
use crate::frame::{FileKind, FrameReader, FrameWriter};
use crate::identity::Identity;
use crate::inspect::{Shelf, follow};
use crate::layout::{DataDir, IDENTITIES_FILE, PartName, Stage};

pub(crate) const KIND: FileKind = FileKind(*b"MLiden01");

/// At most so many entries are in one frame.
const FRAME_ENTRIES: usize = 8192;

/// Events of one identity that a part holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeldEvents {
    /// Whose they are.
    pub identity: Identity,
    /// The number of the first of them among all events of that identity, from 0.
    pub number: u32,
    /// How many.
    pub events: u32,
    /// When they were committed.
    pub time: UnixMillis,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Frame {
    /// Identity, number, events, milliseconds since 1970.
    entries: Vec<(Identity, u32, u32, u64)>,
    last: bool,
}

/// Writes the identities of one part.
#[derive(Debug)]
pub struct IdentitiesWriter {
    path: PathBuf,
    frames: FrameWriter<BufWriter<File>>,
    frame: Frame,
    entries: u64,
}

impl IdentitiesWriter {
    /// Begins the identities of the part in `dir`.
    pub fn create(dir: &Path) -> Result<Self> {
        let path = dir.join(IDENTITIES_FILE);
        let frames = durable::create_file(&path)
            .and_then(|file| FrameWriter::begin(BufWriter::new(file), KIND))
            .map_err(Error::io(&path))?;
        Ok(Self { path, frames, frame: Frame::default(), entries: 0 })
    }

    /// Appends an entry. They come in their order.
    pub fn push(&mut self, held: &HeldEvents) -> Result<()> {
        let HeldEvents { identity, number, events, time } = *held;
        self.frame.entries.push((identity, number, events, time.as_millis()));
        self.entries += 1;
        if self.frame.entries.len() >= FRAME_ENTRIES { self.write_frame() } else { Ok(()) }
    }

    /// Ends the file and syncs it; returns how many entries it has.
    pub fn finish(mut self) -> Result<u64> {
        self.frame.last = true;
        self.write_frame()?;
        let buffer = self.frames.inner_mut();
        buffer.flush().and_then(|()| buffer.get_ref().sync_all()).map_err(Error::io(&self.path))?;
        Ok(self.entries)
    }

    fn write_frame(&mut self) -> Result<()> {
        self.frames.write(&self.frame).map_err(Error::io(&self.path))?;
        self.frame.entries.clear();
        Ok(())
    }
}

/// Reads the identities of one part, entry by entry.
#[derive(Debug)]
pub struct IdentitiesReader {
    path: PathBuf,
    frames: FrameReader,
    entries: std::vec::IntoIter<(Identity, u32, u32, u64)>,
    ended: bool,
}

impl IdentitiesReader {
    /// Opens the identities of the part in `dir`; `None` where it has none.
    pub fn open(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(IDENTITIES_FILE);
        match FrameReader::open(&path, KIND) {
            Ok(frames) => {
                Ok(Some(Self { path, frames, entries: Vec::new().into_iter(), ended: false }))
            }
            Err(Error::Io { source, .. })
                if source.kind() == ErrorKind::NotFound && dir.exists() =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The next entry; `None` after the last one.
    pub fn next_entry(&mut self) -> Result<Option<HeldEvents>> {
        loop {
            if let Some((identity, number, events, time_ms)) = self.entries.next() {
                let time = UnixMillis::new(time_ms);
                return Ok(Some(HeldEvents { identity, number, events, time }));
            }
            if self.ended {
                return Ok(None);
            }
            let frame: Frame = self
                .frames
                .read()?
                .ok_or_else(|| Error::damaged(&self.path, "ends before its last frame"))?;
            self.ended = frame.last;
            self.entries = frame.entries.into_iter();
        }
    }
}

/// Calls `each` with what sealed parts hold of `identities`, which are in their order. Looked at
/// are all parts, quarantined ones apart, with events less than `reach` away from `minute`.
///
/// What cannot be read of a part for damage is passed over: rather is a repeat delivered than an
/// event lost.
pub fn held_near(
    data: &DataDir,
    minute: Minute,
    reach: Duration,
    identities: &[Identity],
    mut each: impl FnMut(HeldEvents),
) -> Result<()> {
    if identities.is_empty() {
        return Ok(());
    }
    for name in parts_near(data, minute, reach)? {
        let opened = follow(data, name, |shelf, dir| match shelf {
            Shelf::Stage(_) => IdentitiesReader::open(&dir),
            Shelf::Quarantine => Ok(None),
        });
        let result = match opened {
            Ok(Some(Some(reader))) => join(reader, identities, &mut each),
            Ok(_) => continue,
            Err(error) => Err(error),
        };
        match result {
            Err(error) if is_unreadable(&error) => {
                tracing::error!(part = %name, %error, "repeats of its events cannot be known");
            }
            other => other?,
        }
    }
    Ok(())
}

/// Whether reading it again would end in the same way: it is damaged, or the disk says so. What
/// else the system refuses is for the next try.
fn is_unreadable(error: &Error) -> bool {
    match error {
        Error::Damaged { .. } => true,
        Error::Io { source, .. } => source.raw_os_error() == Some(Errno::IO.raw_os_error()),
        _ => false,
    }
}

/// A part moves from one stage to the next: listed in their order, none is missed.
fn parts_near(data: &DataDir, minute: Minute, reach: Duration) -> Result<BTreeSet<PartName>> {
    let mut names = BTreeSet::new();
    for stage in Stage::ALL {
        let near =
            data.parts(stage)?.into_iter().filter(|part| is_near(part.minute, minute, reach));
        names.extend(near);
    }
    Ok(names)
}

/// Whether two minutes can have events that are no more than `reach` apart.
pub fn is_near(one: Minute, other: Minute, reach: Duration) -> bool {
    one.start() <= other.end().after(reach) && other.start() <= one.end().after(reach)
}

/// Both sides are in order: each is passed through once.
fn join(
    mut reader: IdentitiesReader,
    mut identities: &[Identity],
    each: &mut impl FnMut(HeldEvents),
) -> Result<()> {
    while let Some(held) = reader.next_entry()? {
        while let [first, rest @ ..] = identities
            && *first < held.identity
        {
            identities = rest;
        }
        match identities {
            [] => break,
            [first, ..] if *first == held.identity => each(held),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Interval;
    use proptest::prelude::*;

    fn held(byte: u8, number: u32) -> HeldEvents {
        let identity = Identity::new([byte; 16]);
        HeldEvents { identity, number, events: 300, time: UnixMillis::new(5) }
    }

    fn write(dir: &Path, entries: &[HeldEvents]) {
        let mut writer = IdentitiesWriter::create(dir).unwrap();
        for entry in entries {
            writer.push(entry).unwrap();
        }
        assert_eq!(writer.finish().unwrap(), entries.len() as u64);
    }

    fn read(dir: &Path) -> Result<Vec<HeldEvents>> {
        let mut reader = IdentitiesReader::open(dir)?.unwrap();
        let mut entries = Vec::new();
        while let Some(entry) = reader.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }

    #[test]
    fn golden_identities_01() {
        let dir = tempfile::tempdir().unwrap();
        assert!(IdentitiesReader::open(dir.path()).unwrap().is_none());
        write(dir.path(), &[held(0xab, 7)]);
        let bytes = std::fs::read(dir.path().join(IDENTITIES_FILE)).unwrap();
        assert_eq!(bytes[..12], *b"MLiden01\x17\0\0\0");
        assert_eq!(bytes[20..], [&[1][..], &[0xab; 16], &[7, 0xfb, 44, 1, 5, 1]].concat());
    }

    #[test]
    fn a_file_that_ends_early_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let entries: Vec<_> = (0..).take(FRAME_ENTRIES + 1).map(|number| held(1, number)).collect();
        write(dir.path(), &entries);
        assert_eq!(read(dir.path()).unwrap(), entries);
        let path = dir.path().join(IDENTITIES_FILE);
        let bytes = std::fs::read(&path).unwrap();
        let first = u32::from_le_bytes(bytes[8..12].try_into().unwrap());
        let second = 8 + 12 + usize::try_from(first).unwrap();
        for length in [0, 7, 8, 30, second, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(matches!(read(dir.path()), Err(Error::Damaged { .. })), "{length}");
        }
    }

    #[test]
    fn a_bad_sector_is_passed_over_and_a_busy_system_is_asked_again() {
        let path = Path::new("identities");
        let refused = |errno: Errno| Error::io(path)(errno.into());
        assert!(is_unreadable(&Error::damaged(path, "is cut")));
        assert!(is_unreadable(&refused(Errno::IO)));
        assert!(!is_unreadable(&refused(Errno::MFILE)));
    }

    #[test]
    fn minutes_are_near_where_their_events_can_be() {
        let interval = Interval::from_seconds(60).unwrap();
        let minute =
            |number: u64| Minute::containing(UnixMillis::from_seconds(number * 60), interval);
        let reach = Duration::from_secs(900);
        for (other, near) in [(100, true), (116, true), (117, false), (84, true), (83, false)] {
            assert_eq!(is_near(minute(100), minute(other), reach), near, "{other}");
            assert_eq!(is_near(minute(other), minute(100), reach), near, "{other}");
        }
    }

    #[test]
    fn parts_of_every_stage_but_quarantine_are_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::create(dir.path()).unwrap();
        let interval = Interval::from_seconds(60).unwrap();
        let minute =
            |number: u64| Minute::containing(UnixMillis::from_seconds(number * 60), interval);
        let name = |number| PartName { minute: minute(number), part: 0 };
        for (number, stage) in (100..).zip(Stage::ALL) {
            let part = data.part_dir(stage, name(number));
            std::fs::create_dir(&part).unwrap();
            write(&part, &[held(1, u32::try_from(number).unwrap()), held(3, 0)]);
        }
        for (number, bytes) in [(103, &b"cut"[..]), (104, b"MLiden01")] {
            let part = data.part_dir(Stage::Sealed, name(number));
            std::fs::create_dir(&part).unwrap();
            std::fs::write(part.join(IDENTITIES_FILE), bytes).unwrap();
        }
        std::fs::create_dir(data.part_dir(Stage::Sealed, name(105))).unwrap();
        let quarantined = data.quarantine_dir().join(name(106).to_string());
        std::fs::create_dir(&quarantined).unwrap();
        write(&quarantined, &[held(1, 106)]);
        let mut found = Vec::new();
        let wanted = [0, 1, 2].map(|byte| Identity::new([byte; 16]));
        held_near(&data, minute(101), Duration::from_secs(60), &wanted, |held| {
            found.push(held.number);
        })
        .unwrap();
        assert_eq!(found, [100, 101, 102]);
    }

    proptest! {
        #[test]
        fn a_join_finds_what_is_on_both_sides(ours: BTreeSet<u8>, theirs: BTreeSet<(u8, u8)>) {
            let dir = tempfile::tempdir().unwrap();
            let entries: Vec<_> = theirs.iter().map(|(byte, number)| held(*byte, u32::from(*number))).collect();
            write(dir.path(), &entries);
            prop_assert_eq!(&read(dir.path()).unwrap(), &entries);
            let identities: Vec<_> = ours.iter().map(|byte| Identity::new([*byte; 16])).collect();
            let mut found = Vec::new();
            join(IdentitiesReader::open(dir.path()).unwrap().unwrap(), &identities, &mut |held| found.push(held)).unwrap();
            let expected: Vec<_> = entries.into_iter().filter(|held| identities.contains(&held.identity)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
