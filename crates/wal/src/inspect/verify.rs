//! Reading everything on disk back.

use std::path::{Path, PathBuf};

use model::{Minute, UnixMillis};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::inspect::census::{self, MinuteDirs};
use crate::inspect::{verify_part, verify_run};
use crate::layout::{DataDir, PartName, RunName};
use crate::regular::is_there;
use crate::usage::bytes_on_disk;

/// How much was read back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Runs that are not delivered yet.
    pub runs: u64,
    /// Sealed parts, those of which only the receipts are left among them.
    pub parts: u64,
    /// Events in runs.
    pub events: u64,
    /// Objects whose sealed bytes were read.
    pub objects: u64,
    /// Lines of objects in indexes, delivered ones among them.
    pub lines: u64,
    /// Bytes on disk of what was read.
    pub bytes: u64,
}

/// Something that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damaged {
    /// The file or directory.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
    /// How many events are missing or can't be trusted; `None` where that cannot be known.
    pub missing: Option<u64>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// How much was read back.
    pub checked: Checked,
    /// What is damaged.
    pub damaged: Vec<Damaged>,
    /// What could not be looked at, and why.
    pub warnings: Vec<String>,
}

/// How far a verification has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are done.
    pub done_bytes: u64,
    /// Bytes that there were at the start.
    pub total_bytes: u64,
}

/// Verifies the minutes that hold `time`, or all.
pub(crate) fn verify(
    data: &DataDir,
    time: Option<UnixMillis>,
    progress: &mut dyn FnMut(Progress),
) -> Result<VerifyReport> {
    let minutes = census::take(data)?;
    let is_wanted = |minute: &Minute| time.is_none_or(|time| minute.contains(time));
    let wanted: Vec<&MinuteDirs> =
        minutes.iter().filter(|(minute, _)| is_wanted(minute)).map(|(_, dirs)| dirs).collect();
    let total_bytes = wanted.iter().map(|dirs| bytes_of(data, dirs)).sum();
    let mut verify = Verify { data, report: VerifyReport::default(), total_bytes, progress };
    for dirs in wanted {
        verify.minute(dirs);
    }
    Ok(verify.report)
}

fn bytes_of(data: &DataDir, dirs: &MinuteDirs) -> u64 {
    let runs = dirs.runs.iter().map(|run| data.run_dir(*run));
    let parts = dirs
        .parts
        .iter()
        .filter_map(|part| data.find_part(*part).map(|stage| data.part_dir(stage, *part)));
    runs.chain(parts).map(|dir| bytes_on_disk(&dir)).sum()
}

/// A verification that is under way.
pub(crate) struct Verify<'v> {
    pub(crate) data: &'v DataDir,
    pub(crate) report: VerifyReport,
    total_bytes: u64,
    progress: &'v mut dyn FnMut(Progress),
}

impl Verify<'_> {
    /// Counts bytes that were read.
    pub(crate) fn done(&mut self, bytes: u64) {
        self.report.checked.bytes += bytes;
        let (done_bytes, total_bytes) = (self.report.checked.bytes, self.total_bytes);
        (self.progress)(Progress { done_bytes, total_bytes });
    }

    pub(crate) fn damaged(
        &mut self,
        path: &Path,
        what: impl Into<String>,
        missing: impl Into<Option<u64>>,
    ) {
        let (path, what, missing) = (path.to_owned(), what.into(), missing.into());
        self.report.damaged.push(Damaged { path, what, missing });
    }

    /// Notes an error: damage as such, everything else as what could not be looked at.
    pub(crate) fn failed(&mut self, error: Error, missing: impl Into<Option<u64>>) {
        match error {
            Error::Damaged { path, what } => self.damaged(&path, what, missing),
            error => self.report.warnings.push(error.to_string()),
        }
    }

    fn minute(&mut self, dirs: &MinuteDirs) {
        for run in &dirs.runs {
            verify_run::verify(self, *run);
        }
        for part in &dirs.parts {
            self.part(*part);
        }
        for run in &dirs.quarantined_runs {
            let damaged = quarantined_run(self.data, *run, &dirs.parts);
            self.report.damaged.push(damaged);
        }
    }

    fn part(&mut self, name: PartName) {
        let quarantined = self.data.quarantine_dir().join(name.to_string());
        if is_there(&quarantined) {
            let missing = verify_part::undelivered(&quarantined);
            self.damaged(&quarantined, "is quarantined: what is in it is not in S3", missing);
        } else {
            verify_part::verify(self, name);
        }
    }
}

/// What is known of a run in `quarantine/`, of a minute with these parts.
pub(crate) fn quarantined_run(data: &DataDir, run: RunName, parts: &[PartName]) -> Damaged {
    let path = data.quarantine_dir().join(run.to_string());
    let sealed = parts.iter().find_map(|part| verify_part::sealed_run(data, *part, run));
    if let Some(sealed) = sealed {
        let what = sealed.damage.unwrap_or_else(|| "its part is".to_owned());
        let what = format!("is quarantined: {what}; what could be read was sealed");
        Damaged { path, what, missing: Some(sealed.missing) }
    } else {
        let missing = verify_run::events_of(&path);
        Damaged { path, what: "is quarantined: it cannot be opened".to_owned(), missing }
    }
}
