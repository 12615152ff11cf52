//! From a request's headers and body to its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::HeaderMap;
use tokio::task::spawn_blocking;
use wal::{AppendError, Appended, Appender, Batch, Inspector, LogState};

use crate::accepted::Accepted;
use crate::auth::Gate;
use crate::body::{Loaded, Reader};
use crate::config::Config;
use crate::content::{Encoding, announced_bytes, bulk_form, require_json};
use crate::destinations::{check, event_name};
use crate::events::Lookups;
use crate::memory::Share;
use crate::metrics::Metrics;
use crate::payload::Limit;
use crate::problem::{Kind, Problem};
use crate::query::BulkQuery;
use crate::source::Upload;
use crate::{bulk, send};

/// Bodies above this are parsed on a thread of their own: at 1 GB/s it holds a thread for 0.25 ms.
const INLINE_BYTES: usize = 256 * 1024;
/// When to come back to a full log: space comes back when a minute is delivered.
const RETRY_FULL: Duration = Duration::from_secs(30);
/// When to come back to a service that is about to be restarted.
const RETRY_STOPPED: Duration = Duration::from_secs(5);

/// All that a request needs.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) gate: Gate,
    pub(crate) lookups: Lookups,
    pub(crate) metrics: Arc<Metrics>,
    reader: Reader,
    limit: Limit,
    max_destinations: u32,
    appender: Appender,
    stopping: AtomicBool,
}

impl Service {
    /// A service on this log.
    pub(crate) fn new(config: Config, appender: Appender, metrics: Arc<Metrics>) -> Self {
        Self {
            gate: Gate::new(config.auth),
            lookups: Lookups::new(Inspector::new(config.data_dir)),
            metrics,
            reader: Reader::new(config.max_request_bytes),
            limit: Limit { max_event_bytes: config.max_event_bytes },
            max_destinations: config.max_destinations_per_minute,
            appender,
            stopping: AtomicBool::new(false),
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
        upload: &mut Upload,
    ) -> Result<Accepted, Problem> {
        let grant = self.gate.identify(headers)?;
        require_json(headers)?;
        let Loaded { bytes, share } = self.load(headers, upload).await?;
        let limit = self.limit;
        let batch = parse(bytes, move |bytes, batch| {
            send::parse(bytes, limit, &grant, |to, name, payload| batch.push(to, name, payload))
        });
        let batch = batch.await?;
        let events = batch.events();
        let appended = self.append(batch, share).await?;
        Ok(Accepted::each(events, &appended))
    }

    /// `POST /v1/s3/{bucket}`.
    pub(crate) async fn bulk(
        &self,
        bucket: &str,
        query: &str,
        headers: &HeaderMap,
        upload: &mut Upload,
    ) -> Result<Accepted, Problem> {
        let grant = self.gate.identify(headers)?;
        let query = BulkQuery::parse(query)?;
        let destination = check(&grant, bucket, query.prefix.as_deref().unwrap_or_default())?;
        let name = query.event.as_deref().map(event_name).transpose()?;
        let form = bulk_form(headers)?;
        let Loaded { bytes, share } = self.load(headers, upload).await?;
        let limit = self.limit;
        let batch = parse(bytes, move |bytes, batch| {
            bulk::parse(form, bytes, limit, |it| batch.push(&destination, name.as_ref(), it))
        });
        let batch = batch.await?;
        let events = batch.events();
        let appended = self.append(batch, share).await?;
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
        self.fits_into_a_minute(&batch)?;
        let (events, payload_bytes) = (batch.events(), batch.payload_bytes());
        let appended = self.appender.append(batch).await.map_err(refused)?;
        drop(share);
        self.metrics.accepted(events, payload_bytes);
        Ok(appended)
    }

    /// What no minute can take would be told to come back in each of them.
    fn fits_into_a_minute(&self, batch: &Batch) -> Result<(), Problem> {
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

/// Makes a batch of a body; away from the threads that serve connections if it is large.
async fn parse(
    bytes: Vec<u8>,
    read: impl FnOnce(&[u8], &mut Batch) -> Result<(), Problem> + Send + 'static,
) -> Result<Batch, Problem> {
    let inline = bytes.len() <= INLINE_BYTES;
    let work = move || {
        let mut batch = Batch::new();
        read(&bytes, &mut batch).map(|()| batch)
    };
    if inline {
        return work();
    }
    spawn_blocking(work).await.unwrap_or_else(|error| {
        tracing::error!(%error, "parsing a body failed");
        Err(Problem::new(Kind::Internal, "the body could not be parsed: report this as a defect"))
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
