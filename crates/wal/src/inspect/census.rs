//! What lies in the data directory at one time, by minute.
//!
//! Services move directories on while they are listed: from `open/` to `sealed/`, on to `parked/`
//! and back, and in the end to `receipts/`. They are listed in this direction, so that whatever
//! moves is met once at least; what is met twice is one entry.

use std::collections::BTreeMap;

use model::Minute;

use crate::error::Result;
use crate::layout::{DataDir, PartName, RunName, Stage};

/// The directories of one minute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MinuteDirs {
    /// Those in `open/`.
    pub(crate) runs: Vec<RunName>,
    /// Those in `sealed/`, `parked/`, `receipts/` and `quarantine/`.
    pub(crate) parts: Vec<PartName>,
    /// Runs in `quarantine/`.
    pub(crate) quarantined_runs: Vec<RunName>,
}

/// The directories of every minute, oldest first. Refuses a format that it does not know.
pub(crate) fn take(data: &DataDir) -> Result<BTreeMap<Minute, MinuteDirs>> {
    data.check_format()?;
    let mut minutes = BTreeMap::<Minute, MinuteDirs>::new();
    for run in data.runs()? {
        minutes.entry(run.minute).or_default().runs.push(run);
    }
    let mut parts = Vec::new();
    // `sealed` once more: a person's retry moves parts from `parked` back to it.
    for stage in [Stage::Sealed, Stage::Parked, Stage::Sealed, Stage::Receipts] {
        parts.extend(data.parts(stage)?);
    }
    for name in data.quarantined()? {
        if let Some(run) = RunName::parse(&name) {
            minutes.entry(run.minute).or_default().quarantined_runs.push(run);
        } else {
            parts.extend(PartName::parse(&name));
        }
    }
    parts.sort_unstable();
    parts.dedup();
    for part in parts {
        minutes.entry(part.minute).or_default().parts.push(part);
    }
    Ok(minutes)
}

/// The directories of one minute, looked at anew.
pub(crate) fn take_minute(data: &DataDir, minute: Minute) -> Result<MinuteDirs> {
    Ok(take(data)?.remove(&minute).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Interval, RunId, UnixMillis};
    use std::fs;

    #[test]
    fn every_directory_is_in_its_minute_once() {
        let dir = tempfile::tempdir().unwrap();
        assert!(take(&DataDir::at(dir.path().join("absent"))).unwrap().is_empty());
        let data = DataDir::create(dir.path()).unwrap();
        let minute = Minute::containing(UnixMillis::from_seconds(60), Interval::default());
        let run = RunName { minute, run: RunId::from_bits(1) };
        let (part, other) = (PartName { minute, part: 0 }, PartName { minute, part: 1 });
        let late = RunName { minute: minute.next(), run: RunId::from_bits(2) };
        for dir in [
            data.run_dir(run),
            data.part_dir(Stage::Sealed, part),
            data.part_dir(Stage::Receipts, part),
            data.quarantine_dir().join(other.to_string()),
            data.quarantine_dir().join(late.to_string()),
        ] {
            fs::create_dir(dir).unwrap();
        }
        let first =
            MinuteDirs { runs: vec![run], parts: vec![part, other], quarantined_runs: vec![] };
        let second = MinuteDirs { quarantined_runs: vec![late], ..MinuteDirs::default() };
        assert_eq!(take_minute(&data, minute).unwrap(), first);
        let all = BTreeMap::from([(minute, first), (minute.next(), second)]);
        assert_eq!(take(&data).unwrap(), all);
    }
}
