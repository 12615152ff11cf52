//! What is to be seen of a data directory and of the services that work on it: what the inspector's
//! page shows, and what `top` shows at a terminal.
//!
//! It reads, asks, and changes nothing. A service that does not run, or does not answer, is told as
//! such beside all the rest.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flusher::Failing;
use model::{Bucket, Clock, EventId, Prefix, UnixMillis};
use serde::Serialize;
use wal::inspect::{EventDetail, EventPayload, Overview, Stream, StreamPage, StreamQuery};
use wal::{DataDir, Room};

use crate::error::Result;

/// How long a page goes on looking for its rows; it then goes on with the next one.
const PAGE: Duration = Duration::from_millis(700);

/// How many minutes and destinations are told.
const MINUTES: usize = 120;
const DESTINATIONS: usize = 500;

/// How long a flusher that did not answer is left alone.
const SILENCE: Duration = Duration::from_secs(30);

/// Looks, again and again.
#[derive(Debug)]
pub(crate) struct View {
    data: DataDir,
    stream: Stream,
    ingest: String,
    clock: Arc<dyn Clock>,
    silent_until: Mutex<Option<(Instant, String)>>,
}

/// Which services run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Services {
    pub(crate) ingest: ServiceState,
    /// Why ingest does not answer.
    pub(crate) ingest_error: Option<String>,
    pub(crate) flusher: ServiceState,
    /// Why the flusher does not answer.
    pub(crate) flusher_error: Option<String>,
    /// Where ingest is meant to be.
    pub(crate) ingest_url: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ServiceState {
    Running,
    Stopped,
    Silent,
}

/// Services, minutes and destinations at one time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Situation {
    pub(crate) now: UnixMillis,
    pub(crate) services: Services,
    pub(crate) failing: Vec<Failing>,
    #[serde(flatten)]
    pub(crate) overview: Overview,
}

/// All that is known of an event.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct EventView {
    #[serde(flatten)]
    pub(crate) detail: EventDetail,
    /// When each delivery is tried again, as far as the flusher has told.
    pub(crate) next_tries: Vec<Option<UnixMillis>>,
    pub(crate) flusher: ServiceState,
}

impl View {
    /// Looks into `data`; `ingest` is where ingest is meant to be.
    pub(crate) fn new(data: DataDir, ingest: String, clock: Arc<dyn Clock>) -> Self {
        let stream = Stream::new(data.clone());
        Self { data, stream, ingest, clock, silent_until: Mutex::default() }
    }

    /// The time.
    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// A number that changes with what there is to see.
    pub(crate) fn version(&self) -> Result<u64> {
        let (state, _, failing) = self.flusher();
        let mut hasher = DefaultHasher::new();
        (self.stream.version()?, state).hash(&mut hasher);
        for it in &failing {
            (it.failures, it.next_try.as_millis()).hash(&mut hasher);
        }
        Ok(hasher.finish())
    }

    /// Services, minutes and destinations.
    pub(crate) fn situation(&self) -> Result<Situation> {
        let overview = self.stream.overview(MINUTES, DESTINATIONS)?;
        let (flusher, flusher_error, failing) = self.flusher();
        let services = Services {
            ingest: match (&overview.silence, overview.ingests) {
                (Some(_), _) => ServiceState::Silent,
                (None, 0) => ServiceState::Stopped,
                (None, _) => ServiceState::Running,
            },
            ingest_error: overview.silence.clone(),
            flusher,
            flusher_error,
            ingest_url: self.ingest.clone(),
        };
        Ok(Situation { now: self.clock.now(), services, failing, overview })
    }

    /// What room the log takes and has.
    pub(crate) fn room(&self) -> Result<Room> {
        Ok(Room::measure(&self.data)?)
    }

    /// A page of the stream.
    pub(crate) fn page(&self, query: &StreamQuery) -> Result<StreamPage> {
        Ok(self.stream.page(query, Instant::now() + PAGE)?)
    }

    /// The one event with this id, as a page.
    pub(crate) fn page_of(&self, id: EventId) -> Result<StreamPage> {
        let (events, warnings) = match self.stream.event(id)? {
            Some(detail) => (vec![detail.row], detail.warnings),
            None => (Vec::new(), Vec::new()),
        };
        Ok(StreamPage { events, warnings, ..StreamPage::default() })
    }

    /// All that is known of an event; `None` where nothing is.
    pub(crate) fn event(&self, id: EventId) -> Result<Option<EventView>> {
        let Some(detail) = self.stream.event(id)? else { return Ok(None) };
        let (flusher, _, failing) = self.flusher();
        let deliveries = detail.row.row.deliveries.iter();
        let next_tries = deliveries.map(|it| next_try(&failing, &it.bucket, &it.prefix)).collect();
        Ok(Some(EventView { detail, next_tries, flusher }))
    }

    /// The payload of an event, up to `max_bytes` of it.
    pub(crate) fn payload(&self, id: EventId, max_bytes: usize) -> Result<EventPayload> {
        Ok(self.stream.payload(id, max_bytes)?)
    }

    /// What the flusher tells of itself.
    fn flusher(&self) -> (ServiceState, Option<String>, Vec<Failing>) {
        let mut silent = self.silent_until.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((until, why)) = &*silent
            && Instant::now() < *until
        {
            return (ServiceState::Silent, Some(why.clone()), Vec::new());
        }
        *silent = None;
        match flusher::ask_failing(&self.data) {
            Ok(Some(failing)) => (ServiceState::Running, None, failing),
            Ok(None) => (ServiceState::Stopped, None, Vec::new()),
            Err(error) => {
                let why = error.to_string();
                *silent = Some((Instant::now() + SILENCE, why.clone()));
                (ServiceState::Silent, Some(why), Vec::new())
            }
        }
    }
}

/// When a destination is tried again, as far as the flusher has told.
pub(crate) fn next_try(
    failing: &[Failing],
    bucket: &Bucket,
    prefix: &Prefix,
) -> Option<UnixMillis> {
    let of =
        |it: &&Failing| it.bucket == *bucket && it.prefix.as_ref().is_none_or(|it| it == prefix);
    failing.iter().filter(of).map(|it| it.next_try).max()
}
