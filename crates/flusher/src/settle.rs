//! What becomes of a part after it was tried: the only place that removes anything.
//!
//! F4: log entries are removed only when every object of their part is settled, or has long waited in
//! segments that were just read back whole. The permission is a pure function.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use model::UnixMillis;
use wal::{
    DataDir, DeliveryJournal, ManifestEnd, ManifestHead, ManifestReader, ObjectBytes, Outcome,
    RunName, SEGMENTS_FILE, Stage, durable, each_delivery, is_there, open_file,
};

use crate::faults::fault_point;
use crate::part::Part;
use crate::seal::quarantine_run;

/// What may be done with a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    /// Keep all: something is still to be sent.
    Keep,
    /// Something has not been sent for long while the rest is in S3: the log entries may go, the
    /// sealed bytes of what is left stay, and are tried as before.
    Release,
    /// All that is left waits for a person: the log entries may go, the sealed bytes stay.
    Park,
    /// Every object is in S3: log entries and sealed bytes may go, the receipts stay.
    Remove,
    /// Something is damaged and can never be sent: everything is kept.
    Quarantine,
}

/// How many of a part's objects are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) objects: u32,
    pub(crate) delivered: u32,
    pub(crate) parked: u32,
    pub(crate) quarantined: u32,
}

/// After so many lengths of its minute, counted from the seal, a part's databases are no longer kept
/// for the objects that S3 does not take while it takes others: they would pin the disk space of
/// those for as long as one destination is down.
const RELEASE_AFTER_MINUTES: u32 = 2;

/// The permission to remove, from what is durable and nothing else. `has_waited`: the part was
/// sealed so long ago that its databases need not wait for S3.
pub(crate) fn permission(counts: Counts, has_waited: bool) -> Permission {
    let Counts { objects, delivered, parked, quarantined } = counts;
    if delivered == objects {
        Permission::Remove
    } else if quarantined > 0 && delivered + quarantined == objects {
        Permission::Quarantine
    } else if parked > 0 && quarantined == 0 && delivered + parked == objects {
        Permission::Park
    } else if has_waited && delivered > 0 && quarantined == 0 {
        Permission::Release
    } else {
        Permission::Keep
    }
}

/// Does what is permitted with a part that was tried; returns where it is now.
pub(crate) fn settle(
    part: &Part,
    journal: DeliveryJournal,
    now: UnixMillis,
    keep_delivered: Duration,
) -> wal::Result<Permission> {
    drop(journal);
    let dir = part.dir();
    let manifest = ManifestReader::open(&dir)?;
    let head = manifest.head().clone();
    let end = manifest.end()?;
    let minute = part.name.minute.interval().as_duration();
    let has_waited = now.since(head.sealed_at) >= minute * RELEASE_AFTER_MINUTES;
    let words = LastWords::read(&dir, &end)?;
    let keeps = now.since(head.sealed_at) < keep_delivered;
    let permission = permission(words.counts(), has_waited);
    match permission {
        Permission::Keep => {}
        // What is kept is kept from now on; when its time is over, retention sees.
        Permission::Remove => remove(part, &head, &end, !keep_delivered.is_zero())?,
        Permission::Quarantine => quarantine(part, &head)?,
        Permission::Release => {
            if !release(part, &head, &end, &words, keeps)? {
                return Ok(Permission::Keep);
            }
        }
        Permission::Park => {
            if !release(part, &head, &end, &words, keeps)? {
                return Ok(Permission::Keep);
            }
            if part.stage == Stage::Sealed {
                durable::rename(&dir, &part.data.part_dir(Stage::Parked, part.name))?;
            }
        }
    }
    Ok(permission)
}

/// What the journal on disk says of each object, not what this process remembers: a byte for each.
struct LastWords(Vec<Word>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Open,
    Delivered,
    Parked,
    Quarantined,
}

impl LastWords {
    fn read(dir: &Path, end: &ManifestEnd) -> wal::Result<Self> {
        let mut words = vec![Word::Open; usize::try_from(end.objects).unwrap_or(usize::MAX)];
        each_delivery(dir, |object, outcome| {
            let index = usize::try_from(object).unwrap_or(usize::MAX);
            if let Some(word) = words.get_mut(index) {
                *word = match outcome {
                    Outcome::Failed(_) => Word::Open,
                    Outcome::Delivered(_) => Word::Delivered,
                    Outcome::Parked(_) => Word::Parked,
                    Outcome::Quarantined(_) => Word::Quarantined,
                };
            }
        })?;
        Ok(Self(words))
    }

    fn is_delivered(&self, object: u32) -> bool {
        let index = usize::try_from(object).unwrap_or(usize::MAX);
        self.0.get(index) == Some(&Word::Delivered)
    }

    fn counts(&self) -> Counts {
        let count = |of| self.0.iter().map(|word| u32::from(*word == of)).sum();
        Counts {
            objects: u32::try_from(self.0.len()).unwrap_or(u32::MAX),
            delivered: count(Word::Delivered),
            parked: count(Word::Parked),
            quarantined: count(Word::Quarantined),
        }
    }
}

/// G5: reached only when S3 has confirmed every object of the part, and the receipts are synced.
/// `keeps`: the sealed bytes stay for a while.
fn remove(part: &Part, head: &ManifestHead, end: &ManifestEnd, keeps: bool) -> wal::Result<()> {
    remove_runs(&part.data, head, end)?;
    fault_point!("flusher::runs_removed");
    if !keeps {
        remove_segments(&part.dir())?;
    }
    fault_point!("flusher::segments_removed");
    durable::rename(&part.dir(), &part.data.part_dir(Stage::Receipts, part.name))?;
    fault_point!("flusher::finished");
    Ok(())
}

/// Removes the sealed bytes of a part that is delivered, if they are there.
pub(crate) fn remove_segments(dir: &Path) -> wal::Result<()> {
    let segments = dir.join(SEGMENTS_FILE);
    match fs::remove_file(&segments) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(wal::Error::io(&segments)(error))
        }
        _ => durable::sync_dir(dir),
    }
}

/// Removes the runs that a part was made from. A run that could not be read back whole is kept.
fn remove_runs(data: &DataDir, head: &ManifestHead, end: &ManifestEnd) -> wal::Result<()> {
    for (run, sealed) in head.runs.iter().zip(&end.runs) {
        let name = RunName { minute: head.name.minute, run: *run };
        if sealed.damage.is_some() {
            quarantine_run(data, name)?;
        } else {
            data.remove_run(name)?;
        }
    }
    Ok(())
}

/// Lets the log entries and the delivered bytes go, and keeps what waits. Says whether it did:
/// sealed bytes that cannot be read back are no reason to let the log go.
fn release(
    part: &Part,
    head: &ManifestHead,
    end: &ManifestEnd,
    words: &LastWords,
    keeps: bool,
) -> wal::Result<bool> {
    let dir = part.dir();
    if has_runs(part, head) && !sealed_bytes_are_whole(&dir, words)? {
        return Ok(false);
    }
    remove_runs(&part.data, head, end)?;
    if !keeps {
        punch_out_what_is_delivered(&dir, words)?;
    }
    Ok(true)
}

/// Whether any of the databases that a part was made from is still there.
fn has_runs(part: &Part, head: &ManifestHead) -> bool {
    let minute = head.name.minute;
    head.runs.iter().any(|run| is_there(&part.data.run_dir(RunName { minute, run: *run })))
}

/// Whether everything that S3 has not confirmed can be read back as it was sealed.
fn sealed_bytes_are_whole(dir: &Path, words: &LastWords) -> wal::Result<bool> {
    let mut manifest = ManifestReader::open(dir)?;
    let path = dir.join(SEGMENTS_FILE);
    let segments = match open_file(&path) {
        Err(error) if error.is_not_found() || matches!(error, wal::Error::Damaged { .. }) => {
            tracing::error!(%error, "sealed bytes are damaged; the log is kept");
            return Ok(false);
        }
        other => other?,
    };
    while let Some((number, object)) = manifest.next_object()? {
        if !words.is_delivered(number)
            && ObjectBytes::new(&segments, &object.extents)
                .crc32()
                .map_err(wal::Error::io(&path))?
                != Some(object.crc32)
        {
            tracing::error!(key = %object.key, "sealed bytes are damaged; the log is kept");
            return Ok(false);
        }
    }
    Ok(true)
}

/// Gives the disk space of delivered objects back where the file system can; where it cannot, it
/// comes back with the part.
fn punch_out_what_is_delivered(dir: &Path, words: &LastWords) -> wal::Result<()> {
    let mut manifest = ManifestReader::open(dir)?;
    let path = dir.join(SEGMENTS_FILE);
    let segments = File::options().write(true).open(&path).map_err(wal::Error::io(&path))?;
    while let Some((number, object)) = manifest.next_object()? {
        if !words.is_delivered(number) {
            continue;
        }
        for extent in object.extents.iter() {
            let flags =
                rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
            if rustix::fs::fallocate(&segments, flags, extent.offset, extent.length).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Keeps everything of a part that can never be sent whole.
fn quarantine(part: &Part, head: &ManifestHead) -> wal::Result<()> {
    for run in &head.runs {
        quarantine_run(&part.data, RunName { minute: head.name.minute, run: *run })?;
    }
    quarantine_part(part)
}

/// Moves a part whose manifest or sealed bytes cannot be read to where nothing removes it.
pub(crate) fn quarantine_part(part: &Part) -> wal::Result<()> {
    if !is_there(&part.dir()) {
        return Ok(());
    }
    tracing::error!(part = %part.name, "quarantined a part: it is kept, see `minutelog admin verify`");
    let to = part.data.quarantine_dir().join(part.name.to_string());
    durable::rename(&part.dir(), &to)
}

/// A part whose manifest cannot be read says nothing of its runs: some of its objects may be in S3.
/// All of the minute's runs are kept out of the way, so that nothing is sent twice.
pub(crate) fn quarantine_minute(part: &Part) -> wal::Result<()> {
    for run in part.data.runs()? {
        if run.minute == part.name.minute {
            quarantine_run(&part.data, run)?;
        }
    }
    quarantine_part(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_removed_before_every_object_is_settled() {
        for (objects, delivered, parked, quarantined, at_first, later) in [
            (3, 3, 0, 0, Permission::Remove, Permission::Remove),
            (3, 2, 0, 0, Permission::Keep, Permission::Release),
            (3, 0, 0, 0, Permission::Keep, Permission::Keep),
            (3, 2, 1, 0, Permission::Park, Permission::Park),
            (3, 0, 3, 0, Permission::Park, Permission::Park),
            (3, 1, 1, 0, Permission::Keep, Permission::Release),
            (3, 2, 0, 1, Permission::Quarantine, Permission::Quarantine),
            (3, 1, 1, 1, Permission::Keep, Permission::Keep),
            (3, 0, 0, 3, Permission::Quarantine, Permission::Quarantine),
        ] {
            let counts = Counts { objects, delivered, parked, quarantined };
            assert_eq!(permission(counts, false), at_first, "{counts:?}");
            assert_eq!(permission(counts, true), later, "{counts:?}");
        }
    }
}
