//! How many bytes the log takes on disk, and whether there is room for more.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use model::Minute;

use crate::error::{Error, Result};
use crate::layout::{DataDir, RunName, Stage};
use crate::run::SEGMENT_BYTES;

/// Room that is left on the file system whatever happens, in bytes.
const RESERVE_BYTES: u64 = 16 * 1024 * 1024;

/// The bytes on disk of a file or a directory with all that is in it. What vanishes meanwhile
/// counts nothing: services move directories while others look.
pub fn bytes_on_disk(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    let own = metadata.blocks() * 512;
    if !metadata.is_dir() {
        return own;
    }
    let Ok(entries) = fs::read_dir(path) else { return own };
    own + entries.flatten().map(|entry| bytes_on_disk(&entry.path())).sum::<u64>()
}

/// What room a log takes and has, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What the log takes, all states together; receipts are no log.
    pub log_bytes: u64,
    /// What is free on its file system.
    pub free_bytes: u64,
    /// What must stay free for the largest minute to be sealed: with less, ingest takes no more.
    pub needed_bytes: u64,
}

impl Room {
    /// Looks at a data directory.
    pub fn measure(data: &DataDir) -> Result<Self> {
        let usage = Usage::measure(data, u64::MAX)?;
        Ok(Self {
            log_bytes: usage.log_bytes(),
            free_bytes: usage.free.load(Ordering::Relaxed),
            needed_bytes: RESERVE_BYTES.saturating_add(usage.to_seal.load(Ordering::Relaxed)),
        })
    }
}

/// What the log takes in bytes, as last looked at, and what was appended since.
#[derive(Debug)]
pub(crate) struct Usage {
    max: u64,
    log: AtomicU64,
    appended: AtomicU64,
    free: AtomicU64,
    /// What the sealing of the minute takes that needs most, and the runs since.
    to_seal: AtomicU64,
    opened: AtomicU64,
}

impl Usage {
    /// Looks at the data directory for the first time.
    pub(crate) fn measure(data: &DataDir, max_bytes: u64) -> Result<Self> {
        let this = Self {
            max: max_bytes,
            log: AtomicU64::new(0),
            appended: AtomicU64::new(0),
            free: AtomicU64::new(0),
            to_seal: AtomicU64::new(0),
            opened: AtomicU64::new(0),
        };
        this.refresh(data)?;
        Ok(this)
    }

    /// Looks again. Receipts are no log and do not count.
    pub(crate) fn refresh(&self, data: &DataDir) -> Result<()> {
        let before = self.appended.load(Ordering::Relaxed);
        let opened = self.opened.load(Ordering::Relaxed);
        let mut minutes = BTreeMap::<Minute, (u64, u64)>::new();
        for run in data.runs()? {
            let (bytes, runs) = minutes.entry(run.minute).or_default();
            *bytes += run_bytes(data, run);
            *runs += 1;
        }
        let rest = [
            data.sealing_dir(),
            data.stage_dir(Stage::Sealed),
            data.stage_dir(Stage::Parked),
            data.quarantine_dir(),
        ];
        let log_bytes = minutes.values().map(|(bytes, _)| bytes).sum::<u64>()
            + rest.iter().map(|dir| bytes_on_disk(dir)).sum::<u64>();
        let file_system = rustix::fs::statvfs(data.root())
            .map_err(|error| Error::io(data.root())(error.into()))?;
        let free_bytes = file_system.f_bavail.saturating_mul(file_system.f_frsize);
        self.log.store(log_bytes, Ordering::Relaxed);
        self.free.store(free_bytes, Ordering::Relaxed);
        let needs = minutes.values().map(|(bytes, runs)| to_seal(*bytes, *runs));
        self.to_seal.store(needs.max().unwrap_or(0), Ordering::Relaxed);
        self.opened.fetch_sub(opened, Ordering::Relaxed);
        self.appended.fetch_sub(before, Ordering::Relaxed);
        Ok(())
    }

    /// What the log takes now, in bytes.
    pub(crate) fn log_bytes(&self) -> u64 {
        let appended = self.appended.load(Ordering::Relaxed);
        self.log.load(Ordering::Relaxed).saturating_add(appended)
    }

    /// Notes by how much the open run has grown on disk since the last look. The limit is looked at
    /// before each commit: what is over it is at most what sled adds to one.
    pub(crate) fn add(&self, bytes: u64) {
        self.appended.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes that a run was opened since the last look.
    pub(crate) fn add_run(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    /// Why `bytes` more can't be taken; `None` where they can.
    ///
    /// On the file system there must stay room to seal the largest minute: a log that can't be sealed
    /// could never be drained.
    pub(crate) fn refusal(&self, bytes: u64) -> Option<String> {
        let log_bytes = self.log_bytes();
        if log_bytes.saturating_add(bytes) > self.max {
            let max_bytes = self.max;
            return Some(format!(
                "the log takes {log_bytes} bytes on disk and log.max_bytes is {max_bytes}"
            ));
        }
        let appended = self.appended.load(Ordering::Relaxed);
        let free = self.free.load(Ordering::Relaxed).saturating_sub(appended);
        // What was appended since the last look may all be in what is the largest minute by now.
        let since = to_seal(appended.saturating_add(bytes), self.opened.load(Ordering::Relaxed));
        let to_seal = self.to_seal.load(Ordering::Relaxed).saturating_add(since);
        let needed = RESERVE_BYTES.saturating_add(bytes).saturating_add(to_seal);
        (free < needed)
            .then(|| format!("the file system has {free} bytes free and sealing may need {needed}"))
    }

    /// Why a request of `bytes` can't be taken after `before` bytes of others that are taken with it.
    /// Where a smaller one could be, it says that this one is too large.
    pub(crate) fn refusal_of_request(&self, before: u64, bytes: u64) -> Option<String> {
        let why = self.refusal(before.saturating_add(bytes))?;
        let is_full = self.refusal(0).is_some();
        Some(if is_full {
            why
        } else {
            format!("this request of {bytes} bytes does not fit: {why}")
        })
    }
}

/// The room that sealing a minute of so many bytes takes at most: for its objects, and for what its
/// destinations share, which is spread by destination. And sled, when it opens a run, makes its last
/// segment as large as the others.
fn to_seal(minute_bytes: u64, runs: u64) -> u64 {
    minute_bytes.saturating_mul(2).saturating_add(runs.saturating_mul(SEGMENT_BYTES as u64))
}

fn run_bytes(data: &DataDir, run: RunName) -> u64 {
    bytes_on_disk(&data.run_dir(run))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_counts_what_was_appended_since_the_last_look() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::create(dir.path()).unwrap();
        let usage = Usage::measure(&data, 1 << 20).unwrap();
        assert_eq!(usage.refusal(1000), None);
        usage.add((1 << 20) - 1000);
        assert!(usage.refusal(1001).is_some_and(|why| why.contains("log.max_bytes")));
        usage.refresh(&data).unwrap();
        assert_eq!(usage.refusal(1001), None);
        fs::write(data.quarantine_dir().join("kept"), vec![1; 1 << 20]).unwrap();
        usage.refresh(&data).unwrap();
        assert!(usage.refusal(1).is_some());
    }

    #[test]
    fn a_request_that_is_too_large_for_the_rest_is_told_so() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::create(dir.path()).unwrap();
        let usage = Usage::measure(&data, 1 << 20).unwrap();
        usage.add((1 << 20) - 1000 - usage.log_bytes());
        assert_eq!(usage.refusal_of_request(0, 1000), None);
        assert!(
            usage.refusal_of_request(1, 1000).unwrap().contains("request of 1000 bytes does not")
        );
        usage.add(1001);
        assert!(usage.refusal_of_request(0, 1000).unwrap().starts_with("the log takes"));
    }

    /// A writer that fills the disk between two looks leaves what it has written room to be sealed.
    #[test]
    fn room_is_left_to_seal_what_was_appended_since_the_last_look() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::create(dir.path()).unwrap();
        let usage = Usage::measure(&data, u64::MAX).unwrap();
        let free = 100 * RESERVE_BYTES;
        usage.free.store(free, Ordering::Relaxed);
        let (mut appended, step) = (0, RESERVE_BYTES / 4);
        while usage.refusal(step).is_none() {
            usage.add(step);
            appended += step;
        }
        assert!(free - appended >= 2 * appended + RESERVE_BYTES, "{appended} of {free}");
        assert!(appended >= free / 4, "it stops too early: {appended} of {free}");
    }
}
