//! What is kept for a while after the last delivery: receipts, and on demand the sealed bytes of what
//! was delivered.

use std::fs;
use std::path::Path;
use std::time::Duration;

use model::UnixMillis;
use wal::{
    DataDir, Outcome, Room, SEGMENTS_FILE, Stage, bytes_on_disk, durable, each_delivery, is_near,
    is_there,
};

use crate::settle::remove_segments;

/// So much is left free for the log beside what it needs at least: several seconds of a fast ingest.
const LOG_GROWTH_BYTES: u64 = 1024 * 1024 * 1024;

/// Removes receipts that are older than `retention`; returns how many parts that were. Those that a
/// run still on disk may hold repeats of, `window` away at most, are kept until it is gone.
pub(crate) fn remove_old_receipts(
    data: &DataDir,
    now: UnixMillis,
    retention: Duration,
    window: Duration,
) -> wal::Result<u32> {
    let mut removed = 0;
    let runs = data.runs()?;
    for name in data.parts(Stage::Receipts)? {
        // The last delivery was after the minute: a young minute needs no second look.
        if now.since(name.minute.end()) <= retention {
            continue;
        }
        if runs.iter().any(|run| is_near(run.minute, name.minute, window)) {
            continue;
        }
        let dir = data.part_dir(Stage::Receipts, name);
        // One of which nobody knows when it was written keeps no other.
        let Some(last) = last_delivery(&dir)? else { continue };
        if now.since(last) > retention {
            // A crash in the middle must not leave half a part under its name.
            let aside = data.sealing_dir().join(name.to_string());
            fs::rename(&dir, &aside).map_err(wal::Error::io(&dir))?;
            durable::remove_dir(&aside)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Removes the sealed bytes of what was delivered longer than `keep` ago; and, the oldest first, as
/// many more of them as the log is `lacking` room for, in bytes: they never keep an event from being
/// accepted. Returns of how many parts that was.
pub(crate) fn remove_kept_segments(
    data: &DataDir,
    now: UnixMillis,
    keep: Duration,
    lacking: impl FnOnce() -> wal::Result<u64>,
) -> wal::Result<u32> {
    let mut removed = 0;
    let (mut ask, mut lacking) = (Some(lacking), 0);
    for name in data.parts(Stage::Receipts)? {
        let dir = data.part_dir(Stage::Receipts, name);
        let segments = dir.join(SEGMENTS_FILE);
        if !is_there(&segments) {
            continue;
        }
        if let Some(ask) = ask.take() {
            lacking = ask()?;
        }
        // Nothing is delivered before its minute begins: a young one needs no second look.
        let is_old = now.since(name.minute.start()) > keep
            && last_delivery(&dir)?.is_none_or(|last| now.since(last) > keep);
        if is_old || lacking > 0 {
            let bytes = bytes_on_disk(&segments);
            if !is_old {
                tracing::warn!(part = %name, bytes, "the log needs the room of sealed bytes that were kept");
            }
            remove_segments(&dir)?;
            lacking = lacking.saturating_sub(bytes);
            removed += 1;
        }
    }
    Ok(removed)
}

/// How many bytes less are free than the log should have.
pub(crate) fn lacking_bytes(data: &DataDir) -> wal::Result<u64> {
    let room = Room::measure(data)?;
    let wanted = room.needed_bytes.saturating_add(LOG_GROWTH_BYTES);
    Ok(wanted.saturating_sub(room.free_bytes))
}

/// When the last object of a part was delivered; `None` where its journal is damaged.
fn last_delivery(dir: &Path) -> wal::Result<Option<UnixMillis>> {
    let mut last_ms = 0;
    let read = each_delivery(dir, |_, outcome| {
        if let Outcome::Delivered(receipt) = outcome {
            last_ms = receipt.at_ms.max(last_ms);
        }
    });
    match read {
        Err(wal::Error::Damaged { .. }) => Ok(None),
        other => other.map(|()| Some(UnixMillis::new(last_ms))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Interval, Minute, RunId};
    use wal::{DeliveryJournal, PartName, Receipt, RunName};

    fn deliver(data: &DataDir, name: PartName, at: UnixMillis) -> std::path::PathBuf {
        let part = data.part_dir(Stage::Receipts, name);
        fs::create_dir(&part).unwrap();
        let receipt = Receipt {
            at_ms: at.as_millis(),
            etag: None,
            checksum: "crc32:AAAAAA==".to_owned(),
            already_there: false,
        };
        DeliveryJournal::open(&part).unwrap().append(0, &Outcome::Delivered(receipt)).unwrap();
        part
    }

    #[test]
    fn sealed_bytes_are_kept_from_the_last_delivery_on_while_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::create(dir.path()).unwrap();
        let hour = Duration::from_secs(3600);
        let first =
            Minute::containing(UnixMillis::from_seconds(1_000_000_000), Interval::default());
        let minutes = [first, first.next(), first.next().next()];
        // Each was delivered three hours late.
        let parts = minutes.map(|minute| {
            let at = minute.end().after(hour * 3);
            let part = deliver(&data, PartName { minute, part: 0 }, at);
            fs::write(part.join(SEGMENTS_FILE), vec![1; 10_000]).unwrap();
            part
        });
        let kept = || parts.clone().map(|part| part.join(SEGMENTS_FILE).exists());
        let remove = |now, lacking| remove_kept_segments(&data, now, hour, || Ok(lacking)).unwrap();
        assert_eq!(remove(first.end().after(hour * 4), 0), 0);
        assert_eq!(remove(first.end().after(hour * 4 + Duration::from_secs(1)), 0), 1);
        assert_eq!(kept(), [false, true, true]);
        // The oldest give way, and no more of them than are needed.
        assert_eq!(remove(first.end(), 1), 1);
        assert_eq!(kept(), [false, false, true]);
        assert!(parts.iter().all(|part| part.exists()), "the receipts stay");
    }

    #[test]
    fn receipts_go_by_the_time_of_delivery() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::create(dir.path()).unwrap();
        let hour = Duration::from_secs(3600);
        let minute =
            Minute::containing(UnixMillis::from_seconds(1_000_000_000), Interval::default());
        let name = PartName { minute, part: 0 };
        // Delivered three hours late.
        let at = minute.end().after(hour * 3);
        let part = deliver(&data, name, at);
        let window = Duration::from_secs(60);
        let remove = |now| remove_old_receipts(&data, now, hour, window).unwrap();
        assert_eq!(remove(minute.end().after(hour * 2)), 0);
        assert_eq!(remove(at.after(hour)), 0);
        // A minute that is not sealed yet may hold repeats of it.
        let late = RunName { minute: minute.next().next(), run: RunId::from_bits(1) };
        fs::create_dir(data.run_dir(late)).unwrap();
        assert_eq!(remove(at.after(hour + Duration::from_secs(1))), 0);
        data.remove_run(late).unwrap();
        let far = RunName { minute: minute.next().next().next(), ..late };
        fs::create_dir(data.run_dir(far)).unwrap();
        assert_eq!(remove(at.after(hour + Duration::from_secs(1))), 1);
        assert!(!part.exists());
    }
}
