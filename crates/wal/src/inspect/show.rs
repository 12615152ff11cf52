//! The events of one minute that are still in the log, as they will be delivered.

use std::collections::BTreeSet;

use model::{Bucket, Destination, EventId, EventName, Minute, Prefix, UnixMillis};

use crate::error::{Error, Result};
use crate::inspect::census::{self, MinuteDirs};
use crate::inspect::part::{PartView, Shelf};
use crate::inspect::run::{Approach, RunSink, Wanted, Whereabouts, approach, read_run};
use crate::inspect::segment::ObjectBytes;
use crate::layout::{DataDir, PartName, RunName};
use crate::manifest::SealedObject;
use crate::merge::MinuteReader;
use crate::reader::{Damage, EventRef, RunReader};

/// Which destinations are meant; all where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destinations {
    /// Only this bucket.
    pub bucket: Option<Bucket>,
    /// Only this prefix.
    pub prefix: Option<Prefix>,
}

impl Destinations {
    /// Whether a destination is meant.
    pub fn contain(&self, destination: &Destination) -> bool {
        self.bucket.as_ref().is_none_or(|bucket| bucket == destination.bucket())
            && self.prefix.as_ref().is_none_or(|prefix| prefix == destination.prefix())
    }
}

/// Which events are to be shown.
#[derive(Clone, Debug)]
pub struct ShowQuery {
    /// A time in the minute.
    pub time: UnixMillis,
    /// Those for these destinations.
    pub destinations: Destinations,
    /// At most so many.
    pub limit: Option<usize>,
}

/// An event that is still in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownEvent<'e> {
    /// The minute.
    pub minute: Minute,
    /// Its id.
    pub id: EventId,
    /// The name that its caller gave it.
    pub event: Option<&'e EventName>,
    /// Where it goes.
    pub destination: &'e Destination,
    /// Its line, without the newline.
    pub payload: &'e [u8],
}

/// What was shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The minute; `None` where none that holds the time is on disk.
    pub minute: Option<Minute>,
    /// How many events.
    pub events: u64,
    /// What could not be read.
    pub warnings: Vec<String>,
}

/// Hands out the events until `each` answers `false` or there are as many as wanted.
pub(crate) fn show(
    data: &DataDir,
    query: &ShowQuery,
    each: &mut dyn FnMut(ShownEvent<'_>) -> bool,
) -> Result<Shown> {
    let minutes = census::take(data)?;
    let holds = |minute: &&Minute| minute.contains(query.time);
    let mut show =
        Show { data, query, each, done: query.limit == Some(0), shown: Shown::default() };
    for minute in minutes.keys().filter(holds) {
        show.shown.minute = Some(*minute);
        if let Some(dirs) = minutes.get(minute) {
            show.minute(dirs);
        }
    }
    Ok(show.shown)
}

struct Show<'s> {
    data: &'s DataDir,
    query: &'s ShowQuery,
    each: &'s mut dyn FnMut(ShownEvent<'_>) -> bool,
    done: bool,
    shown: Shown,
}

impl Show<'_> {
    fn hand_out(&mut self, event: ShownEvent<'_>) {
        if self.done {
            return;
        }
        self.shown.events += 1;
        let limit = self.query.limit.map_or(u64::MAX, |limit| limit as u64);
        let more = (self.each)(event);
        self.done = !more || self.shown.events >= limit;
    }

    fn warn(&mut self, error: &Error) {
        self.shown.warnings.push(error.to_string());
    }

    fn minute(&mut self, dirs: &MinuteDirs) {
        let mut parts = dirs.parts.clone();
        let (mut sealed, mut copies, mut live) = (BTreeSet::new(), Vec::new(), Vec::new());
        for part in &dirs.parts {
            sealed.extend(self.runs_of(*part));
        }
        for run in dirs.runs.iter().filter(|run| !sealed.contains(run)) {
            match approach(self.data, *run) {
                Ok(Approach::Copy(reader)) => copies.push(*reader),
                Ok(Approach::Live) => live.push(*run),
                Ok(Approach::Sealed(part)) if !parts.contains(&part) => parts.push(part),
                Ok(Approach::Sealed(_) | Approach::Gone) => {}
                Err(error) => self.warn(&error),
            }
        }
        for part in parts {
            if let Err(error) = self.part(part) {
                self.warn(&error);
            }
        }
        if let Some(first) = copies.first() {
            self.copies(first.name().minute, copies);
        }
        for run in live {
            self.live(run);
        }
        for run in &dirs.quarantined_runs {
            self.shown.warnings.push(format!("run {run} is quarantined and not shown"));
        }
    }

    fn runs_of(&mut self, name: PartName) -> Vec<RunName> {
        let runs = match PartView::open(self.data, name) {
            Ok(Some(view)) => view.manifest.head().runs.clone(),
            // Told when the part itself is read.
            Ok(None) | Err(_) => Vec::new(),
        };
        runs.into_iter().map(|run| RunName { minute: name.minute, run }).collect()
    }

    fn part(&mut self, name: PartName) -> Result<()> {
        let Some(mut view) = PartView::open(self.data, name)? else { return Ok(()) };
        if view.shelf == Shelf::Quarantine {
            self.shown.warnings.push(format!("part {name} is quarantined and not shown"));
            return Ok(());
        }
        while !self.done
            && let Some((number, object)) = view.manifest.next_object()?
        {
            if view.is_delivered(number) || !self.query.destinations.contain(&object.destination) {
                continue;
            }
            if let Err(error) = self.object(&mut view, &object)
                && !view.is_delivered_now(self.data, number)
            {
                self.warn(&error);
            }
        }
        Ok(())
    }

    fn object(&mut self, view: &mut PartView, object: &SealedObject) -> Result<()> {
        let path = view.dir.join(crate::layout::SEGMENTS_FILE);
        let Some(segments) = &view.segments else {
            return Err(Error::damaged(&path, "is missing"));
        };
        let mut lines = ObjectBytes::new(segments, object).lines();
        let mut failure = None;
        view.index.lines(object.index, |line| {
            match lines.next() {
                Ok(Some(payload)) => self.hand_out(ShownEvent {
                    minute: view.name.minute,
                    id: line.id,
                    event: line.name.as_ref(),
                    destination: &object.destination,
                    payload,
                }),
                Ok(None) => failure = Some("has fewer lines than events".to_owned()),
                Err(error) => failure = Some(error.to_string()),
            }
            failure.is_none() && !self.done
        })?;
        match failure {
            Some(what) => Err(Error::damaged(&path, format!("object {}: {what}", object.key))),
            None => Ok(()),
        }
    }

    /// Runs that nobody writes, in the order in which the seal would put them.
    fn copies(&mut self, minute: Minute, runs: Vec<RunReader>) {
        let names: Vec<RunName> = runs.iter().map(RunReader::name).collect();
        let reader = MinuteReader::new(runs);
        let text = |run: usize| names.get(run).map(RunName::to_string).unwrap_or_default();
        for destination in reader.destinations() {
            let (id, destination) = match destination {
                Ok(known) => known,
                Err(damage) => {
                    self.damaged(&text(damage.run), &damage.damage);
                    continue;
                }
            };
            if !self.query.destinations.contain(&destination) {
                continue;
            }
            for record in reader.records(id) {
                if self.done {
                    return;
                }
                match record {
                    Ok(record) => {
                        for event in record.iter() {
                            match event {
                                Ok(event) => self.event(minute, &destination, &event),
                                Err(damage) => {
                                    self.damaged(&record.first_id().run().to_string(), &damage);
                                }
                            }
                        }
                    }
                    Err(damage) => self.damaged(&text(damage.run), &damage.damage),
                }
            }
        }
    }

    fn live(&mut self, name: RunName) {
        let all = self.query.destinations == Destinations::default();
        let limit = self.query.limit.filter(|_| all).map(|limit| limit as u64);
        let wanted = Wanted { payload: true, limit, ..Wanted::default() };
        let mut sink = Sink { show: self, name };
        match read_run(sink.show.data, name, &wanted, &mut sink) {
            Ok(Whereabouts::Read | Whereabouts::Gone) => {}
            Ok(Whereabouts::Sealed(part)) => {
                if let Err(error) = self.part(part) {
                    self.warn(&error);
                }
            }
            Err(error) => self.warn(&error),
        }
    }

    fn event(&mut self, minute: Minute, destination: &Destination, event: &EventRef<'_>) {
        let (id, name, payload) = (event.id, event.event_name(), event.payload);
        self.hand_out(ShownEvent { minute, id, event: name.as_ref(), destination, payload });
    }

    fn damaged(&mut self, what: &str, damage: &Damage) {
        self.shown.warnings.push(format!("run {what}: damaged: {}", damage.what));
    }
}

struct Sink<'s, 't> {
    show: &'s mut Show<'t>,
    name: RunName,
}

impl RunSink for Sink<'_, '_> {
    fn event(&mut self, destination: &Destination, event: &EventRef<'_>) {
        self.show.event(self.name.minute, destination, event);
    }

    fn wants(&mut self, destination: &Destination) -> bool {
        !self.show.done && self.show.query.destinations.contain(destination)
    }

    fn damage(&mut self, damage: Damage) {
        self.show.damaged(&self.name.to_string(), &damage);
    }
}
