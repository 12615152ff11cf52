//! Which buckets stand in the log.

use std::collections::BTreeSet;

use model::{Bucket, UnixMillis};

use crate::error::Result;
use crate::inspect::part::follow;
use crate::inspect::run::{Approach, approach};
use crate::inspect::{Found, census};
use crate::layout::{DataDir, PartName, RunName, Stage};
use crate::live::{buckets as buckets_of_run, live_buckets, live_runs};
use crate::manifest::ManifestReader;
use crate::usage::bytes_on_disk;

/// So many bytes of runs that nobody writes any more are copied for a look into them.
const MAX_COPIED_BYTES: u64 = 256 * 1024 * 1024;

/// The buckets of all that is still in the log, and of receipts for minutes from `since` on.
pub(crate) fn buckets(data: &DataDir, since: UnixMillis) -> Result<Found<Bucket>> {
    let mut found = BTreeSet::new();
    let mut warnings = Vec::new();
    let mut budget_bytes = MAX_COPIED_BYTES;
    for (minute, dirs) in census::take(data)? {
        for part in dirs.parts {
            let is_old = minute.start() < since && data.find_part(part) == Some(Stage::Receipts);
            if !is_old && let Err(error) = add_part(data, part, &mut found) {
                warnings.push(error.to_string());
            }
        }
        for run in dirs.runs {
            match add_run(data, run, &mut budget_bytes, &mut found) {
                Ok(None) => {}
                Ok(Some(warning)) => warnings.push(warning),
                Err(error) => warnings.push(error.to_string()),
            }
        }
    }
    match live_buckets(data) {
        Ok(live) => found.extend(live),
        Err(error) => warnings.push(error.to_string()),
    }
    Ok(Found { rows: found.into_iter().collect(), warnings })
}

fn add_part(data: &DataDir, name: PartName, found: &mut BTreeSet<Bucket>) -> Result<()> {
    follow(data, name, |_, dir| {
        let mut manifest = ManifestReader::open(&dir)?;
        while let Some((_, object)) = manifest.next_object()? {
            if !found.contains(object.destination.bucket()) {
                found.insert(object.destination.bucket().clone());
            }
        }
        Ok(())
    })?;
    Ok(())
}

/// Adds the buckets of a run that nobody writes; says why it was left out.
fn add_run(
    data: &DataDir,
    name: RunName,
    budget_bytes: &mut u64,
    found: &mut BTreeSet<Bucket>,
) -> Result<Option<String>> {
    // What ingest writes is asked of ingest.
    if live_runs(data).is_ok_and(|live| live.contains(&name)) {
        return Ok(None);
    }
    let bytes = bytes_on_disk(&data.run_dir(name));
    let Some(left) = budget_bytes.checked_sub(bytes) else {
        let dir = data.run_dir(name);
        return Ok(Some(format!("{}: too large to look for its buckets", dir.display())));
    };
    *budget_bytes = left;
    match approach(data, name)? {
        Approach::Copy(reader) => found.extend(buckets_of_run(&reader)),
        Approach::Sealed(part) => add_part(data, part, found)?,
        Approach::Live | Approach::Gone => {}
    }
    Ok(None)
}
