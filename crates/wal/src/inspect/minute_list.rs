//! The minutes that are still on disk.

use std::collections::{BTreeMap, BTreeSet};

use model::{Minute, UnixMillis};
use serde::Serialize;

use crate::closing::Closed;
use crate::deliveries::Outcome;
use crate::error::{Error, Result};
use crate::inspect::Found;
use crate::inspect::census::{self, MinuteDirs};
use crate::inspect::part::{PartView, Shelf};
use crate::inspect::run::{Approach, approach};
use crate::layout::{DataDir, PartName, RunName, Stage};
use crate::live::{LiveSummary, live_summaries};
use crate::reader::RunReader;
use crate::usage::bytes_on_disk;

/// Where a minute's log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MinuteState {
    /// A process writes it.
    Open,
    /// Nobody writes it any more.
    Finished,
    /// Its objects are fixed and on their way to S3.
    Sealed,
    /// All that is left waits for a person.
    Parked,
    /// It cannot be read back whole, and is kept.
    Quarantined,
}

impl MinuteState {
    /// The state in one word, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Finished => "finished",
            Self::Sealed => "sealed",
            Self::Parked => "parked",
            Self::Quarantined => "quarantined",
        }
    }
}

/// What is on disk of a minute in one state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MinuteRow {
    /// The minute.
    pub minute: Minute,
    /// The state.
    pub state: MinuteState,
    /// How many runs of ingest.
    pub runs: u64,
    /// How many destinations; before the seal, one that several runs have counts for each.
    pub destinations: u64,
    /// How many events, delivered ones among them.
    pub events: u64,
    /// For how many destinations the object is in S3 already.
    pub delivered: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Seconds since the minute began.
    pub age_seconds: u64,
    /// The last error of its deliveries, or what is damaged.
    pub error: Option<String>,
}

/// Lists the minutes, oldest first.
pub(crate) fn minutes(data: &DataDir, now: UnixMillis) -> Result<Found<MinuteRow>> {
    let mut warnings = Vec::new();
    let dirs = census::take(data)?;
    let live = live_summaries(data).unwrap_or_else(|error| {
        warnings.push(error.to_string());
        Vec::new()
    });
    let mut list = List { data, now, live, rows: BTreeMap::new() };
    for dirs in dirs.values() {
        list.add_minute(dirs);
    }
    Ok(Found { rows: list.rows.into_values().collect(), warnings })
}

/// What a run or a part adds to its row.
#[derive(Debug, Default)]
struct Share {
    runs: u64,
    destinations: u64,
    events: u64,
    delivered: u64,
    bytes: u64,
    error: Option<String>,
}

struct List<'l> {
    data: &'l DataDir,
    now: UnixMillis,
    live: Vec<LiveSummary>,
    rows: BTreeMap<(Minute, MinuteState), MinuteRow>,
}

impl List<'_> {
    fn add(&mut self, minute: Minute, state: MinuteState, share: Share) {
        let row = self.rows.entry((minute, state)).or_insert_with(|| MinuteRow {
            minute,
            state,
            runs: 0,
            destinations: 0,
            events: 0,
            delivered: 0,
            bytes: 0,
            age_seconds: self.now.since(minute.start()).as_secs(),
            error: None,
        });
        row.runs += share.runs;
        row.destinations += share.destinations;
        row.events += share.events;
        row.delivered += share.delivered;
        row.bytes += share.bytes;
        row.error = row.error.take().or(share.error);
    }

    fn add_minute(&mut self, dirs: &MinuteDirs) {
        let mut parts = BTreeSet::new();
        let mut sealed = BTreeSet::new();
        for part in &dirs.parts {
            self.add_part(*part, &mut parts, &mut sealed);
        }
        for run in &dirs.runs {
            if sealed.contains(run) {
                continue;
            }
            if let Some(part) = self.add_run(*run) {
                self.add_part(part, &mut parts, &mut sealed);
            }
        }
        for run in &dirs.quarantined_runs {
            let dir = self.data.quarantine_dir().join(run.to_string());
            let mut share = Share { runs: 1, bytes: bytes_on_disk(&dir), ..Share::default() };
            if let Ok(Some(closed)) = Closed::read(&dir) {
                share.events = closed.events;
                share.destinations = u64::from(closed.destinations);
            }
            share.error = Some(format!("run {run} cannot be read back whole"));
            self.add(run.minute, MinuteState::Quarantined, share);
        }
    }

    fn add_part(
        &mut self,
        name: PartName,
        parts: &mut BTreeSet<PartName>,
        sealed: &mut BTreeSet<RunName>,
    ) {
        if !parts.insert(name) {
            return;
        }
        let (place, share) = match PartView::open(self.data, name) {
            Ok(Some(view)) => {
                let runs = view.manifest.head().runs.iter();
                let runs: Vec<_> =
                    runs.map(|run| RunName { minute: name.minute, run: *run }).collect();
                sealed.extend(runs.iter().copied());
                let place = view.shelf;
                let mut share = part_share(view);
                let run_bytes = runs.iter().map(|run| bytes_on_disk(&self.data.run_dir(*run)));
                share.bytes += run_bytes.sum::<u64>();
                (place, share)
            }
            Ok(None) => return,
            Err(error) => {
                let share = Share { error: Some(error.to_string()), ..Share::default() };
                (self.shelf_of(name), share)
            }
        };
        let state = match place {
            Shelf::Stage(Stage::Sealed) => MinuteState::Sealed,
            Shelf::Stage(Stage::Parked) => MinuteState::Parked,
            Shelf::Quarantine => MinuteState::Quarantined,
            // Receipts are no part of the log.
            Shelf::Stage(Stage::Receipts) => return,
        };
        self.add(name.minute, state, share);
    }

    fn shelf_of(&self, name: PartName) -> Shelf {
        self.data.find_part(name).map_or(Shelf::Quarantine, Shelf::Stage)
    }

    /// Adds a run, or says which part it has become.
    fn add_run(&mut self, name: RunName) -> Option<PartName> {
        let dir = self.data.run_dir(name);
        let text = name.to_string();
        if let Some(live) = self.live.iter().find(|live| live.run == text) {
            let share = Share {
                runs: 1,
                destinations: live.destinations,
                events: live.events,
                bytes: live.bytes,
                ..Share::default()
            };
            self.add(name.minute, MinuteState::Open, share);
            return None;
        }
        let mut share = Share { runs: 1, bytes: bytes_on_disk(&dir), ..Share::default() };
        let mut state = MinuteState::Finished;
        match Closed::read(&dir) {
            Ok(Some(closed)) => {
                share.events = closed.events;
                share.destinations = u64::from(closed.destinations);
            }
            Ok(None) => match approach(self.data, name) {
                Ok(Approach::Copy(reader)) => count(&reader, &mut share),
                // Opened or closed between the two questions: it is empty, or nearly so.
                Ok(Approach::Live) => state = MinuteState::Open,
                Ok(Approach::Sealed(part)) => return Some(part),
                Ok(Approach::Gone) => return None,
                Err(error) => {
                    if matches!(error, Error::Busy { .. }) {
                        state = MinuteState::Open;
                    }
                    share.error = Some(error.to_string());
                }
            },
            Err(error) => share.error = Some(error.to_string()),
        }
        self.add(name.minute, state, share);
        None
    }
}

/// Counts what a run that crashed holds.
fn count(reader: &RunReader, share: &mut Share) {
    for destination in reader.destinations() {
        match destination {
            Ok((id, _)) => {
                share.destinations += 1;
                for record in reader.records(id) {
                    match record {
                        Ok(record) => share.events += u64::from(record.events()),
                        Err(damage) => {
                            share.error.get_or_insert(damage.what);
                        }
                    }
                }
            }
            Err(damage) => {
                share.error.get_or_insert(damage.what);
            }
        }
    }
}

fn part_share(view: PartView) -> Share {
    let mut share = Share {
        runs: view.manifest.head().runs.len() as u64,
        bytes: bytes_on_disk(&view.dir),
        error: last_error(view.outcomes.values()),
        ..Share::default()
    };
    let delivered = |outcome: &&Outcome| matches!(outcome, Outcome::Delivered(_));
    share.delivered = view.outcomes.values().filter(delivered).count() as u64;
    match view.manifest.end() {
        Ok(end) => {
            share.destinations = u64::from(end.objects);
            share.events = end.events;
            let damage = || end.runs.iter().find_map(|run| run.damage.clone());
            share.error = share.error.or_else(damage);
        }
        Err(error) => share.error = Some(error.to_string()),
    }
    share
}

/// The latest error among the last words on the objects.
fn last_error<'o>(outcomes: impl Iterator<Item = &'o Outcome>) -> Option<String> {
    let failures = outcomes.filter_map(|outcome| match outcome {
        Outcome::Delivered(_) => None,
        Outcome::Failed(why) | Outcome::Parked(why) | Outcome::Quarantined(why) => Some(why),
    });
    failures.max_by_key(|why| why.at_ms).map(|why| why.error.clone())
}
