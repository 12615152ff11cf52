//! What the page is told: read off the data directory away from the async threads, a few at a time,
//! and once for all who ask for the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flusher::Failing;
use model::{Bucket, Clock, EventId, Prefix, UnixMillis};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use wal::DataDir;
use wal::inspect::{EventDetail, Overview, Stream, StreamPage, StreamQuery};

use crate::error::{Error, Result};

/// So many looks at the disk are under way at a time.
const READERS: usize = 4;

/// How long a look may wait for its turn.
const TURN: Duration = Duration::from_secs(10);

/// How long a page goes on looking for its rows; it then goes on with the next one.
const PAGE: Duration = Duration::from_millis(700);

/// How many minutes and destinations are told.
const MINUTES: usize = 120;
const DESTINATIONS: usize = 500;

/// How long a flusher that did not answer is left alone.
const SILENCE: Duration = Duration::from_secs(30);

/// So many pages are kept for those who ask for the same.
const KEPT_PAGES: usize = 16;

/// The most of a payload that is shown, in bytes.
const PAYLOAD_BYTES: usize = 256 * 1024;

/// Reads for the page.
#[derive(Debug)]
pub(crate) struct Reader {
    data: DataDir,
    stream: Stream,
    ingest: String,
    clock: Arc<dyn Clock>,
    turns: Semaphore,
    silent_until: Mutex<Option<(Instant, String)>>,
    kept: Mutex<Kept>,
}

/// Answers for one version of what there is to see.
#[derive(Debug, Default)]
struct Kept {
    version: u64,
    answers: BTreeMap<String, Bytes>,
}

/// Which services run.
#[derive(Clone, Debug, Serialize)]
struct Services {
    ingest: ServiceState,
    /// Why ingest does not answer.
    ingest_error: Option<String>,
    flusher: ServiceState,
    /// Why the flusher does not answer.
    flusher_error: Option<String>,
    /// Where ingest is meant to be.
    ingest_url: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
enum ServiceState {
    Running,
    Stopped,
    Silent,
}

#[derive(Debug, Serialize)]
struct OverviewDocument {
    now: UnixMillis,
    services: Services,
    failing: Vec<Failing>,
    #[serde(flatten)]
    overview: Overview,
}

#[derive(Debug, Serialize)]
struct DetailDocument {
    #[serde(flatten)]
    detail: EventDetail,
    /// When each delivery is tried again, as far as the flusher has told.
    next_tries: Vec<Option<UnixMillis>>,
    flusher: ServiceState,
}

impl Reader {
    pub(crate) fn new(data: DataDir, ingest: String, clock: Arc<dyn Clock>) -> Self {
        Self {
            stream: Stream::new(data.clone()),
            data,
            ingest,
            clock,
            turns: Semaphore::new(READERS),
            silent_until: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    /// Does `work` where it may block, when it is its turn.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let turn = timeout(TURN, self.turns.acquire()).await;
        let _turn = turn.map_err(|_| Error::NotLookedAt(1))?;
        let this = Arc::clone(self);
        spawn_blocking(move || work(&this)).await?
    }

    /// A number that changes with what there is to see.
    pub(crate) fn version(&self) -> Result<u64> {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let (state, _, failing) = self.flusher();
        let mut hasher = DefaultHasher::new();
        (self.stream.version()?, state).hash(&mut hasher);
        for it in &failing {
            (it.failures, it.next_try.as_millis()).hash(&mut hasher);
        }
        let version = hasher.finish();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.version != version {
            *kept = Kept { version, answers: BTreeMap::new() };
        }
        Ok(version)
    }

    /// The answer that `make` makes, or one that was made since something has changed. It is kept
    /// only while somebody listens for changes, as `is_watched` says.
    fn kept(
        &self,
        key: String,
        is_watched: bool,
        make: impl FnOnce() -> Result<Bytes>,
    ) -> Result<Bytes> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let version = {
            let kept = kept();
            if let Some(answer) = kept.answers.get(&key).filter(|_| is_watched) {
                return Ok(answer.clone());
            }
            kept.version
        };
        let answer = make()?;
        let mut kept = kept();
        if is_watched && kept.version == version && kept.answers.len() < KEPT_PAGES {
            kept.answers.insert(key, answer.clone());
        }
        Ok(answer)
    }

    /// Services, minutes and destinations.
    pub(crate) fn overview(&self, is_watched: bool) -> Result<Bytes> {
        self.kept("overview".to_owned(), is_watched, || {
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
            let now = self.clock.now();
            json(&OverviewDocument { now, services, failing, overview })
        })
    }

    /// A page of the stream.
    pub(crate) fn page(&self, query: &StreamQuery, is_watched: bool) -> Result<Bytes> {
        self.kept(format!("{query:?}"), is_watched, || {
            json(&self.stream.page(query, Instant::now() + PAGE)?)
        })
    }

    /// The one event with this id, as a page.
    pub(crate) fn page_of(&self, id: EventId) -> Result<Bytes> {
        let detail = self.stream.event(id)?;
        let (events, warnings) = match detail {
            Some(detail) => (vec![detail.row], detail.warnings),
            None => (Vec::new(), Vec::new()),
        };
        json(&StreamPage { events, warnings, ..StreamPage::default() })
    }

    /// All that is known of an event; `None` where nothing is.
    pub(crate) fn event(&self, id: EventId) -> Result<Option<Bytes>> {
        let Some(detail) = self.stream.event(id)? else { return Ok(None) };
        let (flusher, _, failing) = self.flusher();
        let tries = |bucket: &Bucket, prefix: &Prefix| {
            let of = |it: &&Failing| {
                it.bucket == *bucket && it.prefix.as_ref().is_none_or(|it| it == prefix)
            };
            failing.iter().filter(of).map(|it| it.next_try).max()
        };
        let deliveries = detail.row.row.deliveries.iter();
        let next_tries = deliveries.map(|it| tries(&it.bucket, &it.prefix)).collect();
        json(&DetailDocument { detail, next_tries, flusher }).map(Some)
    }

    /// The payload of an event.
    pub(crate) fn payload(&self, id: EventId) -> Result<Bytes> {
        json(&self.stream.payload(id, PAYLOAD_BYTES)?)
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

fn json(document: &impl Serialize) -> Result<Bytes> {
    Ok(serde_json::to_vec(document)?.into())
}
