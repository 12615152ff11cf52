//! From a request's headers and body to its answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::HeaderMap;
use model::Clock;
use tokio::task::spawn_blocking;
use wal::{AppendError, Appended, Appender, Batch, Inspector, LogState, MAX_IDENTIFIED_PLACES};

use crate::accepted::Accepted;
use crate::body::{Loaded, Reader};
use crate::bulk;
use crate::config::{Change, Config};
use crate::content::{Encoding, announced_bytes, bulk_form, require_json};
use crate::destinations::{check, event_name};
use crate::events::Lookups;
use crate::idempotency::{Table, request_key};
use crate::judge::Judge;
use crate::memory::Share;
use crate::meter::Meter;
use crate::metrics::Metrics;
use crate::problem::{Kind, Problem};
use crate::query::BulkQuery;
use crate::sent::{Once, SentBody};
use crate::source::Upload;

mod once;
mod records;

/// Bodies above this are parsed on a thread of their own: at 1 GB/s it holds a thread for 0.25 ms.
const INLINE_BYTES: usize = 256 * 1024;
/// When to come back to a full log: space comes back when a minute is delivered.
const RETRY_FULL: Duration = Duration::from_secs(30);
/// When to come back to a service that is about to be restarted.
const RETRY_STOPPED: Duration = Duration::from_secs(5);

/// All that a request needs.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) lookups: Lookups,
    pub(crate) metrics: Arc<Metrics>,
    reader: Reader,
    /// A request holds the lock for no longer than it takes to look.
    judge: RwLock<Arc<Judge>>,
    max_destinations: u32,
    appender: Appender,
    keys: Arc<Table>,
    stopping: AtomicBool,
}

impl Service {
    /// A service on this log.
    pub(crate) fn new(
        config: Config,
        appender: Appender,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            judge: RwLock::new(Arc::new(Judge::new(config.rules, clock))),
            lookups: Lookups::new(Inspector::new(config.data_dir)),
            metrics,
            reader: Reader::new(config.max_request_bytes),
            max_destinations: config.max_destinations_per_minute,
            appender,
            keys: Table::new(config.idempotency_window),
            stopping: AtomicBool::new(false),
        }
    }

    /// By what a request that begins now is judged, to its end.
    pub(crate) fn judge(&self) -> Arc<Judge> {
        Arc::clone(&self.judge.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes up other rules, or notes that there are some that can't be used.
    pub(crate) fn take_up(&self, change: Change) {
        if let Change::Rules(rules) = change {
            let judge = Arc::new(self.judge().renewed(*rules));
            *self.judge.write().unwrap_or_else(PoisonError::into_inner) = judge;
            self.metrics.config_reloaded();
        } else {
            self.metrics.config_refused();
        }
    }

    /// Whether an event would be accepted now; the reason if not.
    pub(crate) fn ready(&self) -> Result<(), String> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err("the service is stopping".to_owned());
        }
        match self.appender.state() {
            LogState::Accepting => Ok(()),
            LogState::Full(reason) => Err(format!("the log is full: {reason}")),
            LogState::Draining => Err("the log is being drained".to_owned()),
            LogState::Stopped(reason) => Err(format!("the log has stopped: {reason}")),
        }
    }

    /// From here on the service is not ready. Requests that still come are answered as before.
    pub(crate) fn begin_stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// `POST /v1/send/s3`.
    pub(crate) async fn send(
        &self,
        headers: &HeaderMap,
        connection: Option<Arc<Meter>>,
        upload: &mut Upload,
    ) -> Result<Accepted, Problem> {
        let judge = self.judge();
        let (grant, meters) = judge.gate.admit(headers, connection)?;
        let key = request_key(headers, &grant)?;
        require_json(headers)?;
        let Loaded { bytes, share } = self.load(headers, upload).await?;
        let size = bytes.len();
        let body = SentBody { bytes, limit: judge.limit, grant };
        let sent = work(size, move || body.read(key)).await?;
        let events = sent.batch.events();
        self.fits_into_a_minute(&sent.batch)?;
        meters.charge(u64::try_from(size).unwrap_or(u64::MAX), &sent.batch)?;
        match sent.once {
            Once::No => Ok(Accepted::each(events, &self.append(sent.batch, share).await?)),
            Once::Request(key, content) => {
                let appended = self.append_once(key, content, sent.batch, share).await?;
                Ok(Accepted::each(events, &appended))
            }
            Once::Events(keys, body) => {
                let ids = self.append_each(keys, body, sent.batch, share).await?;
                Ok(Accepted::ids(events, ids))
            }
        }
    }

    /// `POST /v1/s3/{bucket}`.
    pub(crate) async fn bulk(
        &self,
        bucket: &str,
        query: &str,
        headers: &HeaderMap,
        connection: Option<Arc<Meter>>,
        upload: &mut Upload,
    ) -> Result<Accepted, Problem> {
        let judge = self.judge();
        let (grant, meters) = judge.gate.admit(headers, connection)?;
        let key = request_key(headers, &grant)?;
        let query = BulkQuery::parse(query)?;
        let destination = check(&grant, bucket, query.prefix.as_deref().unwrap_or_default())?;
        let name = query.event.as_deref().map(event_name).transpose()?;
        let form = bulk_form(headers)?;
        let Loaded { bytes, share } = self.load(headers, upload).await?;
        let (size, limit) = (bytes.len(), judge.limit);
        let read = move || {
            let mut batch = Batch::new();
            bulk::parse(form, &bytes, limit, |it| batch.push(&destination, name.as_ref(), it))?;
            batch.pack();
            let content = |_| bulk::content(form, &destination, name.as_ref(), &bytes);
            Ok((batch, key.map(content)))
        };
        let (batch, content) = work(size, read).await?;
        let events = batch.events();
        self.fits_into_a_minute(&batch)?;
        meters.charge(u64::try_from(size).unwrap_or(u64::MAX), &batch)?;
        let appended = match (key, content) {
            (Some(key), Some(content)) => self.append_once(key, content, batch, share).await?,
            _ => self.append(batch, share).await?,
        };
        Ok(Accepted::range(events, &appended))
    }

    async fn load(&self, headers: &HeaderMap, upload: &mut Upload) -> Result<Loaded, Problem> {
        let encoding = Encoding::of(headers)?;
        // A log that takes nothing now needs no body to say so.
        match self.appender.state() {
            LogState::Accepting => {}
            LogState::Full(message) => return Err(refused(AppendError::Full { message })),
            LogState::Draining => return Err(refused(AppendError::Draining)),
            LogState::Stopped(message) => return Err(refused(AppendError::Stopped { message })),
        }
        let loaded = self.reader.read(upload, encoding, announced_bytes(headers)).await?;
        self.metrics.request_bytes(loaded.bytes.len());
        Ok(loaded)
    }

    /// G1: this resolves when the events are on stable storage, and the answer is made after it.
    /// Until then they take about the memory that the body's share stands for.
    async fn append(&self, batch: Batch, share: Share) -> Result<Appended, Problem> {
        let (events, payload_bytes) = (batch.events(), batch.payload_bytes());
        let appended = self.appender.append(batch).await.map_err(refused)?;
        drop(share);
        self.metrics.accepted(events, payload_bytes);
        Ok(appended)
    }

    /// What no minute can take would be told to come back in each of them.
    fn fits_into_a_minute(&self, batch: &Batch) -> Result<(), Problem> {
        let places = u32::try_from(batch.identified_places()).unwrap_or(u32::MAX);
        if places > MAX_IDENTIFIED_PLACES {
            let detail = format!(
                "the request has a key and {places} destinations, and a minute may have \
                 {MAX_IDENTIFIED_PLACES}: split the request"
            );
            return Err(Problem::new(Kind::TooManyDestinationsInRequest, detail));
        }
        let (destinations, limit) = (batch.destinations(), self.max_destinations);
        if u32::try_from(destinations).is_ok_and(|destinations| destinations <= limit) {
            return Ok(());
        }
        let detail = format!(
            "the request has {destinations} destinations, and a minute may have {limit}, the limit \
             of `ingest.max_destinations_per_minute`: split the request, and send the parts in \
             different minutes"
        );
        Err(Problem::new(Kind::TooManyDestinationsInRequest, detail))
    }
}

/// Reads a body of so many bytes; away from the threads that serve connections if it is large.
async fn work<T: Send + 'static, E: From<Problem> + Send + 'static>(
    bytes: usize,
    read: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    if bytes <= INLINE_BYTES {
        return read();
    }
    spawn_blocking(read).await.unwrap_or_else(|error| {
        tracing::error!(%error, "parsing a body failed");
        let detail = "the body could not be parsed: report this as a defect";
        Err(Problem::new(Kind::Internal, detail).into())
    })
}

fn refused(error: AppendError) -> Problem {
    match error {
        AppendError::Full { message } => {
            let detail = format!("the log is full: {message}: send it again later");
            Problem::new(Kind::LogFull, detail).retry_after(RETRY_FULL)
        }
        AppendError::TooManyDestinations { limit, retry_after } => {
            let detail = format!(
                "this minute would have more than {limit} destinations, the limit of \
                 `ingest.max_destinations_per_minute`: send it again in the next minute"
            );
            Problem::new(Kind::TooManyDestinations, detail).retry_after(retry_after)
        }
        AppendError::TooManyIdentities { limit, retry_after } => {
            let detail = format!(
                "this minute would have more than {limit} keys and ids, each counted once for each \
                 destination: send it again in the next minute, or fewer requests with more events"
            );
            Problem::new(Kind::TooManyKeys, detail).retry_after(retry_after)
        }
        AppendError::Draining => {
            let detail =
                "the log is being drained, so as to take the machine out: send it elsewhere";
            Problem::new(Kind::Draining, detail).retry_after(RETRY_FULL)
        }
        AppendError::Stopped { message } => {
            let detail = format!("the log has stopped: {message}: send it again later");
            Problem::new(Kind::LogStopped, detail).retry_after(RETRY_STOPPED)
        }
    }
}
