//! Reads off the data directory what is shown, away from the keys.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{EventId, UnixMillis};
use wal::Room;
use wal::inspect::EventPayload;

use crate::error::Result;
use crate::top::desk::Desk;
use crate::top::rates::{Rate, Rates};
use crate::top::search::{EventList, Filter, Search};
use crate::view::{EventView, Situation, View};

/// The pause between two looks is so much longer than a look at least, up to a time: a log that is slow
/// to read is read seldom.
const PAUSE_PER_LOOK: u32 = 4;
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// The most of a payload that is shown, in bytes (T4).
const PAYLOAD_BYTES: usize = 16 * 1024;

/// What is to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Which events.
    pub(crate) filter: Filter,
    /// How many of them.
    pub(crate) rows: usize,
    /// The one of which all is to be known.
    pub(crate) open: Option<EventId>,
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    /// When it was looked for last.
    pub(crate) at: Option<UnixMillis>,
    pub(crate) situation: Option<Arc<Situation>>,
    pub(crate) room: Option<Room>,
    pub(crate) rate: Rate,
    /// Which events are in the list.
    pub(crate) filter: Filter,
    /// `None` before they were read.
    pub(crate) events: Option<Arc<EventList>>,
    /// The event that was opened, and all that is known of it.
    pub(crate) event: Option<(EventId, Option<Arc<OpenEvent>>)>,
    /// What went wrong.
    pub(crate) error: Option<String>,
}

/// All that is known of an event, and its payload.
#[derive(Debug)]
pub(crate) struct OpenEvent {
    pub(crate) event: EventView,
    pub(crate) payload: EventPayload,
}

/// Reads until the desk is closed.
pub(crate) fn run(view: &View, desk: &Desk, interval: Duration) {
    let mut reader = Reader::new(view);
    let mut pause = Duration::ZERO;
    while let Some(wanted) = desk.next(pause) {
        let began = Instant::now();
        let looked = reader.look(&wanted, &|shown| desk.put(shown.clone()));
        reader.shown.error = looked.as_ref().err().map(ToString::to_string);
        desk.put(reader.shown.clone());
        pause = match looked {
            // There is more to look through.
            Ok(true) => Duration::ZERO,
            _ => interval.max((began.elapsed() * PAUSE_PER_LOOK).min(MAX_PAUSE)),
        };
    }
}

/// Reads for those who ask, one look after the other.
#[derive(Debug)]
pub(crate) struct Reader<'v> {
    view: &'v View,
    version: Option<u64>,
    search: Option<Search>,
    rates: Rates,
    pub(crate) shown: Shown,
}

impl<'v> Reader<'v> {
    pub(crate) fn new(view: &'v View) -> Self {
        let (rates, shown) = (Rates::default(), Shown::default());
        Self { view, version: None, search: None, rates, shown }
    }

    /// Looks once; `true` where there is more to look through. What is read early is put early.
    pub(crate) fn look(&mut self, wanted: &Wanted, put: &dyn Fn(&Shown)) -> Result<bool> {
        // What changes meanwhile is read with the next look.
        let version = self.view.version()?;
        let has_changed = self.version != Some(version);
        if has_changed {
            self.shown.situation = Some(Arc::new(self.view.situation()?));
        }
        if let Some(situation) = &self.shown.situation {
            self.shown.rate = self.rates.take(Instant::now(), &situation.overview.minutes);
        }
        self.shown.room = Some(self.view.room()?);
        self.shown.at = Some(self.view.now());
        put(&self.shown);
        let is_open = self.shown.event.as_ref().map(|(id, _)| *id);
        if has_changed || is_open != wanted.open {
            let event = wanted.open.map(|id| Ok::<_, crate::Error>((id, self.open(id)?)));
            self.shown.event = event.transpose()?;
            put(&self.shown);
        }
        let is_more = self.find(wanted, has_changed)?;
        self.version = Some(version);
        Ok(is_more)
    }

    fn find(&mut self, wanted: &Wanted, has_changed: bool) -> Result<bool> {
        let is_other = self.search.is_none() || self.shown.filter != wanted.filter;
        if is_other {
            self.search = Some(Search::new(&wanted.filter));
            self.shown.filter = wanted.filter.clone();
            self.shown.events = None;
        }
        let Some(search) = &mut self.search else { return Ok(false) };
        let is_more = if is_other || has_changed {
            search.refresh(self.view, wanted.rows)?;
            true
        } else {
            search.more(self.view, wanted.rows)?
        };
        if is_more {
            self.shown.events = Some(Arc::new(search.list()));
        }
        Ok(is_more)
    }

    fn open(&self, id: EventId) -> Result<Option<Arc<OpenEvent>>> {
        let Some(event) = self.view.event(id)? else { return Ok(None) };
        let deliveries = &event.detail.row.row.deliveries;
        let waits = deliveries.iter().find(|it| it.state != wal::DeliveryState::Delivered);
        let of = waits.or(deliveries.first()).map_or(id, |it| it.id);
        let payload = self.view.payload(of, PAYLOAD_BYTES)?;
        Ok(Some(Arc::new(OpenEvent { event, payload })))
    }
}
