//! The minutes of a data directory at a glance, from the open one back to those that are delivered,
//! and its destinations: what a page shows that is looked at again and again.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use model::{Minute, UnixMillis};
use serde::Serialize;

use crate::closing::Closed;
use crate::deliveries::Outcome;
use crate::error::Result;
use crate::inspect::census::{self, MinuteDirs};
use crate::inspect::destination_list::{DestinationRow, DestinationSums};
use crate::inspect::part::Shelf;
use crate::inspect::parts::PartLook;
use crate::inspect::row::DeliveryState;
use crate::inspect::stream::Stream;
use crate::layout::{DELIVERIES_FILE, DataDir, RunName, Stage};
use crate::live::{LiveSummary, live_ingests, live_summaries};
use crate::usage::bytes_on_disk;

/// So many objects are added up for the destinations; older ones are left out.
const MAX_OBJECTS: usize = 200_000;

/// How far a minute has come; what asks for a person is greater than what does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MinuteStage {
    /// All of it is in S3.
    Delivered,
    /// Its objects are fixed and on their way to S3.
    Sealed,
    /// Nobody writes it any more.
    Finished,
    /// A process writes it.
    Open,
    /// Some of it waits for a person.
    Parked,
    /// Some of it cannot be read back whole, and is kept.
    Quarantined,
}

/// One minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MinuteLook {
    /// The minute.
    pub minute: Minute,
    /// Its length in seconds.
    pub seconds: u32,
    /// How far it has come.
    pub stage: MinuteStage,
    /// Its events; `None` where a run of it has not been counted.
    pub events: Option<u64>,
    /// Its bytes: on disk before the seal, of its objects from then on.
    pub bytes: u64,
    /// How many destinations; before the seal, one that several runs have counts for each.
    pub destinations: u64,
    /// How many of its objects are in S3.
    pub delivered: u64,
    /// How many events are in those.
    pub delivered_events: u64,
    /// How many of its objects wait for a person.
    pub parked: u64,
    /// When the last of its objects that are in S3 was confirmed.
    pub delivered_at: Option<UnixMillis>,
    /// From the end of the minute to the last confirmation, once all of it is in S3.
    pub lag_ms: Option<u64>,
    /// The last error of its deliveries, or what is damaged.
    pub error: Option<String>,
}

/// The minutes and the destinations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Overview {
    /// The minutes, newest first.
    pub minutes: Vec<MinuteLook>,
    /// The destinations, those that ask for a person first, then those with the most events.
    pub destinations: Vec<DestinationRow>,
    /// How many destinations there are.
    pub destinations_total: usize,
    /// From which minute on their sums are.
    pub since: Option<UnixMillis>,
    /// How many ingest processes run.
    pub ingests: usize,
    /// Why one does not answer: what is in the open minutes is then not known.
    pub silence: Option<String>,
    /// What could not be read.
    pub warnings: Vec<String>,
}

impl Stream {
    /// A number that changes with what there is to see, and what the open minutes hold.
    pub fn version(&self) -> Result<u64> {
        let mut hasher = DefaultHasher::new();
        self.data.check_format()?;
        self.data.runs()?.hash(&mut hasher);
        for stage in Stage::ALL {
            for part in self.data.parts(stage)? {
                (stage, part).hash(&mut hasher);
                // Nothing is said any more of what is in S3.
                if stage != Stage::Receipts {
                    let journal = self.data.part_dir(stage, part).join(DELIVERIES_FILE);
                    fs::metadata(journal).map_or(0, |metadata| metadata.len()).hash(&mut hasher);
                }
            }
        }
        self.data.quarantined()?.hash(&mut hasher);
        self.ingests().hash(&mut hasher);
        for live in self.summaries().0 {
            (live.run, live.events).hash(&mut hasher);
        }
        Ok(hasher.finish())
    }

    /// The newest `limit` minutes and those among the rest that are not delivered, up to as many
    /// again; and up to `destinations` destinations of them.
    pub fn overview(&self, limit: usize, destinations: usize) -> Result<Overview> {
        let (live, silence) = self.summaries();
        let mut this = Looked { live, ..Looked::default() };
        this.overview.ingests = self.ingests();
        this.overview.silence = silence;
        let (mut newest, mut others) = (0, 0);
        for (minute, dirs) in census::take(&self.data)?.into_iter().rev() {
            newest += 1;
            if newest > limit {
                if others == limit || !is_undelivered(&self.data, &dirs) {
                    continue;
                }
                others += 1;
            }
            self.look_at(minute, &dirs, &mut this);
        }
        let Looked { mut overview, sums, .. } = this;
        overview.destinations_total = sums.len();
        overview.destinations = sums.into_rows(destinations);
        Ok(overview)
    }

    /// How many ingest processes run, with an open minute or without; 0 where one does not answer.
    fn ingests(&self) -> usize {
        if self.live().1.is_some() { 0 } else { live_ingests(&self.data).unwrap_or(0) }
    }

    fn summaries(&self) -> (Vec<LiveSummary>, Option<String>) {
        // Asks first who is there at all: what does not answer is not asked again at once.
        match self.live() {
            (_, Some(silence)) => (Vec::new(), Some(silence)),
            _ => match live_summaries(&self.data) {
                Ok(live) => (live, None),
                Err(error) => (Vec::new(), Some(error.to_string())),
            },
        }
    }

    fn look_at(&self, minute: Minute, dirs: &MinuteDirs, to: &mut Looked) {
        let mut look = MinuteLook {
            minute,
            seconds: minute.interval().as_seconds(),
            stage: MinuteStage::Delivered,
            events: Some(0),
            bytes: 0,
            destinations: 0,
            delivered: 0,
            delivered_events: 0,
            parked: 0,
            delivered_at: None,
            lag_ms: None,
            error: None,
        };
        let (mut sealed, mut is_there) = (Vec::new(), false);
        for part in &dirs.parts {
            match self.parts.look(&self.data, *part) {
                Ok(Some(part)) => {
                    is_there = true;
                    sealed.extend_from_slice(&part.table.head.runs);
                    to.add_part(&part, &mut look);
                }
                Ok(None) => {}
                Err(error) => {
                    is_there = true;
                    look.stage = look.stage.max(MinuteStage::Quarantined);
                    look.error = Some(error.to_string());
                }
            }
        }
        for run in dirs.runs.iter().filter(|run| !sealed.contains(&run.run)) {
            is_there |= to.add_run(&self.data, *run, &mut look);
        }
        for run in &dirs.quarantined_runs {
            is_there = true;
            look.stage = MinuteStage::Quarantined;
            look.error = Some(format!("run {run} cannot be read back whole"));
            if !sealed.contains(&run.run) {
                look.bytes += bytes_on_disk(&self.data.quarantine_dir().join(run.to_string()));
            }
        }
        if is_there {
            if look.stage == MinuteStage::Delivered {
                let lag = look.delivered_at.map(|at| at.since(minute.end()));
                look.lag_ms = lag.and_then(|lag| u64::try_from(lag.as_millis()).ok());
            }
            to.overview.minutes.push(look);
        }
    }
}

fn is_undelivered(data: &DataDir, dirs: &MinuteDirs) -> bool {
    let is_delivered = |part| data.find_part(part) == Some(Stage::Receipts);
    !dirs.runs.is_empty()
        || !dirs.quarantined_runs.is_empty()
        || !dirs.parts.iter().all(|part| is_delivered(*part))
}

#[derive(Default)]
struct Looked {
    live: Vec<LiveSummary>,
    overview: Overview,
    sums: DestinationSums,
    objects: usize,
}

impl Looked {
    fn add_part(&mut self, part: &PartLook, look: &mut MinuteLook) {
        let table = &part.table;
        look.events = look.events.map(|events| events + table.events);
        look.destinations += table.objects.len() as u64;
        if part.shelf != Shelf::Stage(Stage::Receipts) {
            look.stage = look.stage.max(match part.shelf {
                Shelf::Quarantine => MinuteStage::Quarantined,
                Shelf::Stage(_) => MinuteStage::Sealed,
            });
        }
        look.error = look.error.take().or_else(|| table.damage.clone());
        let is_summed = self.objects < MAX_OBJECTS;
        self.objects += table.objects.len();
        if is_summed {
            self.overview.since = Some(look.minute.start());
        }
        let mut last_failure = None;
        for (number, object) in table.objects.iter().enumerate() {
            look.bytes += object.bytes;
            let (state, outcome) = (part.state_of(number).0, part.outcome(number));
            match state {
                DeliveryState::Delivered => {
                    look.delivered += 1;
                    look.delivered_events += object.events;
                }
                DeliveryState::Parked => {
                    look.parked += 1;
                    look.stage = look.stage.max(MinuteStage::Parked);
                }
                DeliveryState::Quarantined => look.stage = MinuteStage::Quarantined,
                DeliveryState::Sealed | DeliveryState::Logged => {}
            }
            match outcome {
                Some(Outcome::Delivered(receipt)) => {
                    look.delivered_at = look.delivered_at.max(Some(UnixMillis::new(receipt.at_ms)));
                }
                Some(Outcome::Failed(why) | Outcome::Parked(why) | Outcome::Quarantined(why))
                    if last_failure.is_none_or(|at| at < why.at_ms) =>
                {
                    last_failure = Some(why.at_ms);
                    look.error = Some(why.error.clone());
                }
                _ => {}
            }
            if is_summed {
                self.sums.add(look.minute, object, state, outcome);
            }
        }
    }

    /// Adds a run that is in no part; `false` where it is gone.
    fn add_run(&mut self, data: &DataDir, run: RunName, look: &mut MinuteLook) -> bool {
        let name = run.to_string();
        if let Some(live) = self.live.iter().find(|live| live.run == name) {
            look.stage = look.stage.max(MinuteStage::Open);
            look.events = look.events.map(|events| events + live.events);
            look.bytes += live.bytes;
            look.destinations += live.destinations;
            return true;
        }
        let dir = data.run_dir(run);
        if !dir.exists() {
            return false;
        }
        look.stage = look.stage.max(MinuteStage::Finished);
        look.bytes += bytes_on_disk(&dir);
        match Closed::read(&dir) {
            Ok(Some(closed)) => {
                look.events = look.events.map(|events| events + closed.events);
                look.destinations += u64::from(closed.destinations);
            }
            // It ended in a crash, and is counted when it is sealed.
            Ok(None) => look.events = None,
            Err(error) => {
                look.events = None;
                look.error = Some(error.to_string());
            }
        }
        true
    }
}
