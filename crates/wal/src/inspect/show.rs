//! The events of one minute that are still in the log, as they will be delivered.

use std::collections::BTreeSet;

use model::{Bucket, Destination, EventId, EventName, Minute, Prefix, UnixMillis};

use crate::error::{Error, Result};
use crate::inspect::census::{self, MinuteDirs};
use crate::inspect::part::{PartView, Shelf};
use crate::inspect::run::{Approach, RunSink, Wanted, Whereabouts, approach, read_run};
use crate::inspect::segment::{self, ObjectBytes};
use crate::inspect::verify::{self, Damaged};
use crate::inspect::verify_run;
use crate::layout::{DataDir, PartName, RunName, Stage};
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
    /// What is damaged, and not shown.
    pub damaged: Vec<Damaged>,
    /// What could not be looked at, and why.
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

    /// Notes an error: damage as such, everything else as what could not be looked at.
    fn failed(&mut self, error: Error, missing: Option<u64>) {
        match error {
            Error::Damaged { path, what } => {
                self.shown.damaged.push(Damaged { path, what, missing });
            }
            error => self.shown.warnings.push(error.to_string()),
        }
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
                Err(error) => {
                    let missing = verify_run::events_of(&self.data.run_dir(*run));
                    self.failed(error, missing);
                }
            }
        }
        for part in parts {
            self.part(part);
        }
        if let Some(first) = copies.first() {
            self.copies(first.name().minute, copies);
        }
        for run in live {
            self.live(run);
        }
        for run in &dirs.quarantined_runs {
            let damaged = verify::quarantined_run(self.data, *run, &dirs.parts);
            // One that has all its events in a part is there for safety: the part is shown.
            if damaged.missing != Some(0) {
                self.shown.damaged.push(damaged);
            }
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

    fn part(&mut self, name: PartName) {
        if let Err(error) = self.objects(name)
            // Nothing of it is in the log any more: `verify` tells of the damage.
            && self.data.find_part(name) != Some(Stage::Receipts)
        {
            self.failed(error, None);
        }
    }

    fn objects(&mut self, name: PartName) -> Result<()> {
        let Some(mut view) = PartView::open(self.data, name)? else { return Ok(()) };
        if view.shelf == Shelf::Quarantine {
            return self.quarantined(view);
        }
        while !self.done
            && let Some((number, object)) = view.manifest.next_object()?
        {
            if view.is_delivered(number) || !self.query.destinations.contain(&object.destination) {
                continue;
            }
            let before = self.shown.events;
            if let Err(error) = self.object(&mut view, &object)
                && !view.is_delivered_now(self.data, number)
            {
                let shown = self.shown.events - before;
                self.failed(error, Some(object.events.saturating_sub(shown)));
            }
        }
        Ok(())
    }

    /// Counts what would be shown of a part if it were not quarantined.
    fn quarantined(&mut self, mut view: PartView) -> Result<()> {
        let mut missing = 0;
        while let Some((number, object)) = view.manifest.next_object()? {
            if !view.is_delivered(number) && self.query.destinations.contain(&object.destination) {
                missing += object.events;
            }
        }
        if missing > 0 {
            let (path, what) = (view.dir, "is quarantined and not shown".to_owned());
            self.shown.damaged.push(Damaged { path, what, missing: Some(missing) });
        }
        Ok(())
    }

    fn object(&mut self, view: &mut PartView, object: &SealedObject) -> Result<()> {
        let path = view.dir.join(crate::layout::SEGMENTS_FILE);
        let damaged = |what: &str| Error::damaged(&path, format!("object {}: {what}", object.key));
        let Some(segments) = &view.segments else { return Err(damaged("is missing")) };
        // All of it before the first line of it: gzip tells damage only at its end.
        if let Some(what) = segment::check(segments, object, |_| ()).map_err(Error::io(&path))? {
            return Err(damaged(what));
        }
        let mut lines = ObjectBytes::new(segments, &object.extents).lines();
        let mut failure = None;
        view.index.reader()?.lines(object.index, |line| {
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
        if failure.is_none() && !self.done && lines.next().map_err(Error::io(&path))?.is_some() {
            failure = Some("has more lines than events".to_owned());
        }
        failure.map_or(Ok(()), |what| Err(damaged(&what)))
    }

    /// Runs that nobody writes, in the order in which the seal would put them.
    fn copies(&mut self, minute: Minute, runs: Vec<RunReader>) {
        for run in &runs {
            self.check(run);
        }
        let reader = MinuteReader::new(runs);
        // What is damaged is told by now.
        for (id, destination) in reader.destinations().flatten() {
            if !self.query.destinations.contain(&destination) {
                continue;
            }
            for record in reader.records(id).flatten() {
                if self.done {
                    return;
                }
                for event in record.iter().flatten() {
                    self.event(minute, &destination, &event);
                }
            }
        }
    }

    /// Tells what is damaged in a run: only the whole of it shows what is missing.
    fn check(&mut self, run: &RunReader) {
        let (_, damaged) = verify_run::check(run, &self.data.run_dir(run.name()));
        self.shown.damaged.extend(damaged);
    }

    fn live(&mut self, name: RunName) {
        let all = self.query.destinations == Destinations::default();
        let limit = self.query.limit.filter(|_| all).map(|limit| limit as u64);
        let wanted = Wanted { payload: true, limit, ..Wanted::default() };
        let mut sink = Sink { show: self, name };
        match read_run(sink.show.data, name, &wanted, &mut sink) {
            Ok(Whereabouts::Read | Whereabouts::Gone) => {}
            Ok(Whereabouts::Sealed(part)) => self.part(part),
            Err(error) => self.failed(error, None),
        }
    }

    fn event(&mut self, minute: Minute, destination: &Destination, event: &EventRef<'_>) {
        let (id, name, payload) = (event.id, event.event_name(), event.payload);
        self.hand_out(ShownEvent { minute, id, event: name.as_ref(), destination, payload });
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

    fn copy(&mut self, reader: &RunReader) {
        self.show.check(reader);
    }

    /// Only a copy has damage, and that is told by then.
    fn damage(&mut self, _damage: Damage) {}
}
