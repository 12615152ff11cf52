//! The events of one minute, from wherever they are, into a window.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Destination, EventId, EventName, RunId};

use crate::error::{Error, Result};
use crate::index::IndexedLine;
use crate::inspect::census::MinuteDirs;
use crate::inspect::part::PartView;
use crate::inspect::run::{RunSink, Wanted, Whereabouts, read_run};
use crate::inspect::window::{Place, Window};
use crate::layout::{DataDir, PartName, RunName};
use crate::manifest::SealedObject;
use crate::reader::{Damage, DestinationId, EventRef};

/// Reads minutes into a window.
#[derive(Debug)]
pub(crate) struct EventScan<'s> {
    data: &'s DataDir,
    wanted: Wanted<'s>,
    pub(crate) window: Window,
    pub(crate) warnings: BTreeSet<String>,
    /// The first thing that could not be read.
    pub(crate) failure: Option<Error>,
}

impl<'s> EventScan<'s> {
    /// A scan for the event with this id, or for those with this name, or for all.
    pub(crate) fn new(
        data: &'s DataDir,
        id: Option<EventId>,
        name: Option<&'s EventName>,
        window: Window,
    ) -> Self {
        let wanted = Wanted { id, name, payload: false, limit: None };
        Self { data, wanted, window, warnings: BTreeSet::new(), failure: None }
    }

    /// Reads a minute. What can't be read becomes a warning.
    pub(crate) fn read(&mut self, dirs: &MinuteDirs) {
        let mut read = BTreeSet::new();
        let mut sealed = BTreeSet::new();
        for part in &dirs.parts {
            self.read_part(*part, &mut read, &mut sealed);
        }
        for run in &dirs.runs {
            // A run that is in a part is there to be removed: its events are the part's.
            let wanted = self.wanted.id.is_none_or(|id| id.run() == run.run);
            if wanted && !sealed.contains(&run.run) {
                self.read_run(*run, &mut read, &mut sealed);
            }
        }
    }

    fn read_part(
        &mut self,
        name: PartName,
        read: &mut BTreeSet<PartName>,
        sealed: &mut BTreeSet<RunId>,
    ) {
        if !read.insert(name) {
            return;
        }
        let result = PartView::open(self.data, name).and_then(|view| {
            let Some(mut view) = view else { return Ok(()) };
            let runs = &view.manifest.head().runs;
            sealed.extend(runs);
            if self.wanted.id.is_none_or(|id| runs.contains(&id.run())) {
                self.read_objects(&mut view)
            } else {
                Ok(())
            }
        });
        if let Err(error) = result {
            self.fail(error);
        }
    }

    fn read_objects(&mut self, view: &mut PartView) -> Result<()> {
        while let Some((number, object)) = view.manifest.next_object()? {
            if self.wanted.id.is_some_and(|id| id < object.first || object.last < id)
                || self.window.is_beyond(object.first, object.last)
            {
                continue;
            }
            let (state, error) = view.state_of(number);
            let place = Arc::new(Place {
                destination_id: DestinationId::of(&object.destination),
                destination: object.destination.clone(),
                state,
                key: Some(object.key.clone()),
                error: error.map(str::to_owned),
                mean_bytes: None,
            });
            self.read_lines(view, &object, &place)?;
        }
        Ok(())
    }

    fn read_lines(
        &mut self,
        view: &mut PartView,
        object: &SealedObject,
        place: &Arc<Place>,
    ) -> Result<()> {
        let window = &mut self.window;
        let mut offer = |line: &IndexedLine| {
            window.offer(
                line.id,
                line.name.as_ref().map(EventName::as_str),
                Some(line.line),
                place,
            );
        };
        if let Some(id) = self.wanted.id {
            if let Some(line) = view.index.reader()?.find(object.index, id)? {
                offer(&line);
            }
            return Ok(());
        }
        view.index.reader()?.lines(object.index, |line| {
            if self.wanted.name.is_none() || self.wanted.name == line.name.as_ref() {
                offer(&line);
            }
            true
        })
    }

    fn read_run(
        &mut self,
        name: RunName,
        read: &mut BTreeSet<PartName>,
        sealed: &mut BTreeSet<RunId>,
    ) {
        let mut lines =
            RunLines { name, window: &mut self.window, warnings: &mut self.warnings, place: None };
        match read_run(self.data, name, &self.wanted, &mut lines) {
            Ok(Whereabouts::Sealed(part)) => self.read_part(part, read, sealed),
            Ok(Whereabouts::Read | Whereabouts::Gone) => {}
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: Error) {
        self.warnings.insert(error.to_string());
        self.failure.get_or_insert(error);
    }
}

/// Puts the events of a run into the window.
struct RunLines<'w> {
    name: RunName,
    window: &'w mut Window,
    warnings: &'w mut BTreeSet<String>,
    /// The destination of the last event.
    place: Option<Arc<Place>>,
}

impl RunSink for RunLines<'_> {
    fn event(&mut self, destination: &Destination, event: &EventRef<'_>) {
        let place = match &self.place {
            Some(place) if place.destination == *destination => place,
            _ => self.place.insert(Arc::new(Place::logged(destination))),
        };
        let name = (!event.name.is_empty()).then_some(event.name);
        self.window.offer(event.id, name, None, place);
    }

    fn damage(&mut self, damage: Damage) {
        self.warnings.insert(format!("run {}: damaged: {}", self.name, damage.what));
    }
}
