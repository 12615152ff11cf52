//! Receipts are kept for a while after the last delivery, then removed.

use std::fs;
use std::time::Duration;

use model::UnixMillis;
use wal::{DataDir, Outcome, Stage, durable, each_delivery, is_near};

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
        let mut last_ms = 0;
        let read = each_delivery(&dir, |_, outcome| {
            if let Outcome::Delivered(receipt) = outcome {
                last_ms = receipt.at_ms.max(last_ms);
            }
        });
        match read {
            // When they were written nobody knows; one that cannot be read keeps no other.
            Err(wal::Error::Damaged { .. }) => continue,
            other => other?,
        }
        if now.since(UnixMillis::new(last_ms)) > retention {
            // A crash in the middle must not leave half a part under its name.
            let aside = data.sealing_dir().join(name.to_string());
            fs::rename(&dir, &aside).map_err(wal::Error::io(&dir))?;
            durable::remove_dir(&aside)?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Interval, Minute, RunId};
    use wal::{DeliveryJournal, PartName, Receipt, RunName};

    #[test]
    fn receipts_go_by_the_time_of_delivery() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::create(dir.path()).unwrap();
        let hour = Duration::from_secs(3600);
        let minute =
            Minute::containing(UnixMillis::from_seconds(1_000_000_000), Interval::default());
        let name = PartName { minute, part: 0 };
        let part = data.part_dir(Stage::Receipts, name);
        fs::create_dir(&part).unwrap();
        // Delivered three hours late.
        let at = minute.end().after(hour * 3);
        let receipt = Receipt {
            at_ms: at.as_millis(),
            etag: None,
            checksum: "crc32:AAAAAA==".to_owned(),
            already_there: false,
        };
        DeliveryJournal::open(&part).unwrap().append(0, &Outcome::Delivered(receipt)).unwrap();
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
