//! Reading a run back: every record, no gaps, as much as its closing record says.

use std::path::Path;

use model::Destination;

use crate::closing::Closed;
use crate::inspect::run::{Approach, RunSink, Wanted, approach, read_run};
use crate::inspect::verify::{Damaged, Verify};
use crate::layout::RunName;
use crate::reader::{Damage, EventRef, RunReader};
use crate::usage::bytes_on_disk;

/// Verifies one run. One that has become a part meanwhile is left to that.
pub(crate) fn verify(verify: &mut Verify<'_>, name: RunName) {
    let dir = verify.data.run_dir(name);
    let bytes = bytes_on_disk(&dir);
    match approach(verify.data, name) {
        Ok(Approach::Copy(reader)) => {
            verify.report.checked.runs += 1;
            let (events, damaged) = check(&reader, &dir);
            verify.report.checked.events += events;
            // What the system refused to give is not damaged.
            match reader.refused() {
                Some(error) => verify.failed(error, None),
                None => verify.report.damaged.extend(damaged),
            }
        }
        Ok(Approach::Live) => {
            verify.report.checked.runs += 1;
            live(verify, name);
        }
        Ok(Approach::Sealed(_) | Approach::Gone) => {}
        Err(error) => verify.failed(error, events_of(&dir)),
    }
    verify.done(bytes);
}

/// How many events the run in `dir` held when it was closed; `None` where that is not known.
pub(crate) fn events_of(dir: &Path) -> Option<u64> {
    Closed::read(dir).ok().flatten().map(|closed| closed.events)
}

/// What was read of a run.
#[derive(Debug, Default)]
struct Tally {
    destinations: u32,
    events: u64,
    payload_bytes: u64,
    missing: u64,
    damage: Option<String>,
}

impl Tally {
    fn damage(&mut self, damage: Damage) {
        self.missing += damage.missing;
        self.damage.get_or_insert(damage.what);
    }
}

/// Reads a copy of the run in `dir` from one end to the other: how many events there are, and what
/// is wrong with it.
pub(crate) fn check(reader: &RunReader, dir: &Path) -> (u64, Option<Damaged>) {
    let damage = reader.damage().map(str::to_owned);
    let mut tally = Tally { damage, ..Tally::default() };
    for destination in reader.destinations() {
        match destination {
            Ok((id, _)) => {
                tally.destinations += 1;
                for record in reader.records(id) {
                    match record {
                        Ok(record) => {
                            for event in record.iter() {
                                match event {
                                    Ok(event) => {
                                        tally.events += 1;
                                        tally.payload_bytes += event.payload.len() as u64;
                                    }
                                    Err(damage) => tally.damage(damage),
                                }
                            }
                        }
                        Err(damage) => tally.damage(damage),
                    }
                }
            }
            Err(damage) => tally.damage(damage),
        }
    }
    for places in reader.identified() {
        if let Err(damage) = places {
            tally.damage(damage);
        }
    }
    let end = reader.end().unwrap_or_else(|damage| {
        tally.damage(damage);
        0
    });
    // Without a closing record, positions still have no gaps up to the last that there is.
    let expected = reader.closed().map_or(end, |closed| closed.events);
    let missing = expected.saturating_sub(tally.events).max(tally.missing);
    let held = (tally.events, tally.destinations, tally.payload_bytes);
    let is_as_closed = reader
        .closed()
        .is_none_or(|closed| held == (closed.events, closed.destinations, closed.payload_bytes));
    let what = if let Some(what) = tally.damage {
        Some(what)
    } else if missing > 0 {
        Some(format!("{missing} of {expected} events are missing"))
    } else if !is_as_closed {
        Some("holds something else than its closing record says".to_owned())
    } else {
        None
    };
    let damaged = what.map(|what| Damaged { path: dir.to_owned(), what, missing: Some(missing) });
    (tally.events, damaged)
}

fn live(verify: &mut Verify<'_>, name: RunName) {
    let mut count = Count::default();
    if let Err(error) = read_run(verify.data, name, &Wanted::default(), &mut count) {
        verify.failed(error, None);
    }
    verify.report.checked.events += count.events;
    if let Some(damage) = count.damage {
        let dir = verify.data.run_dir(name);
        verify.damaged(&dir, damage.what, damage.missing);
    }
}

/// Counts what ingest tells of its open minute.
#[derive(Debug, Default)]
struct Count {
    events: u64,
    damage: Option<Damage>,
}

impl RunSink for Count {
    fn event(&mut self, _destination: &Destination, _event: &EventRef<'_>) {
        self.events += 1;
    }

    fn damage(&mut self, damage: Damage) {
        self.damage.get_or_insert(damage);
    }
}
