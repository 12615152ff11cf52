//! One pass over a part: every object that is not settled is sent once, if it may be.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::{Clock, Destination, UnixMillis};
use store::{Class, Proof, PutError, Store};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wal::{DataDir, Failure, Outcome, Receipt, SealedObject};

use crate::error::Error;
use crate::faults::fault_point;
use crate::health::{Gate, Health};
use crate::lanes::{Lanes, Place};
use crate::metrics;
use crate::part::{DestinationFilter, JournalHandle, Part, now_ms};
use crate::settle::{self, Permission};

/// When what found no place in the slow lane is tried again.
const CROWDED_PAUSE: Duration = Duration::from_millis(100);

/// What all passes share.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) data: DataDir,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lanes: Lanes,
    /// Starts no further uploads once it is cancelled.
    pub(crate) stop: CancellationToken,
    health: Mutex<Health>,
}

/// What came of a pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PassEnd {
    pub(crate) permission: Permission,
    /// When something that was left is due, if anything was.
    pub(crate) next_try: Option<UnixMillis>,
    /// How many objects S3 has confirmed in this pass.
    pub(crate) delivered: u32,
}

impl Delivery {
    pub(crate) fn new(
        data: DataDir,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        concurrency: usize,
        stop: CancellationToken,
    ) -> Self {
        let lanes = Lanes::new(concurrency);
        Self { data, store, clock, lanes, stop, health: Mutex::default() }
    }

    /// Does something with what is known of the destinations.
    pub(crate) fn health<T>(&self, with: impl FnOnce(&mut Health) -> T) -> T {
        with(&mut self.health.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends what may be sent of a part, then settles it. `started` is dropped when every object
    /// has been started that is going to be: what is left takes no place from other parts.
    pub(crate) async fn pass<T>(
        self: &Arc<Self>,
        part: &Part,
        filter: &DestinationFilter,
        started: T,
    ) -> Result<PassEnd, Error> {
        match self.try_pass(part, filter, started).await {
            Err(Error::Log(error @ wal::Error::Damaged { .. })) => {
                tracing::error!(part = %part.name, %error, "a part cannot be read");
                metrics::quarantined();
                let of = part.clone();
                tokio::task::spawn_blocking(move || settle::quarantine_minute(&of)).await??;
                Ok(PassEnd { permission: Permission::Quarantine, next_try: None, delivered: 0 })
            }
            other => other,
        }
    }

    async fn try_pass<T>(
        self: &Arc<Self>,
        part: &Part,
        filter: &DestinationFilter,
        started: T,
    ) -> Result<PassEnd, Error> {
        let (mut unsettled, journal) = part.open().await?;
        let mut uploads = JoinSet::new();
        let mut left = Left::default();
        while let Some((number, object)) = unsettled.next().await {
            if self.stop.is_cancelled() {
                left.until(self.clock.now());
                break;
            }
            if !filter.matches(&object.destination) {
                left.until(self.clock.now());
                continue;
            }
            match self.place(&object.destination).await {
                Ok(place) => {
                    let (this, part) = (Arc::clone(self), part.clone());
                    let journal = journal.handle();
                    uploads.spawn(async move {
                        this.upload(&part, number, object, place, &journal).await
                    });
                }
                Err(Refused::Later(at)) => left.until(at),
                Err(Refused::Parked(at, why)) => {
                    left.until(at);
                    let at_ms = now_ms(&*self.clock);
                    let failure = Failure { at_ms, error: why.to_string() };
                    journal.handle().record(number, Outcome::Parked(failure)).await;
                }
            }
            while let Some(upload) = uploads.try_join_next() {
                left.count(upload?);
            }
        }
        drop(started);
        while let Some(upload) = uploads.join_next().await {
            left.count(upload?);
        }
        unsettled.finish().await?;
        let journal = journal.finish().await?;
        let of = part.clone();
        let permission =
            tokio::task::spawn_blocking(move || settle::settle(&of, journal)).await??;
        metrics::parked_destinations(self.health(|health| health.parked()));
        Ok(PassEnd { permission, next_try: left.next_try, delivered: left.delivered })
    }

    /// A place for an upload to this destination, or why there is none now. Waits only for what
    /// has not failed.
    async fn place(&self, destination: &Destination) -> Result<Place, Refused> {
        let now = self.clock.now();
        match self.health(|health| health.gate(destination, now)) {
            Gate::Open => tokio::select! {
                place = self.lanes.fast() => Ok(place),
                () = self.stop.cancelled() => Err(Refused::Later(now)),
            },
            Gate::Probe => {
                let place = self.lanes.slow().ok_or(Refused::Later(now.after(CROWDED_PAUSE)))?;
                self.health(|health| health.probing(destination, now));
                Ok(place)
            }
            Gate::Closed(at) => Err(Refused::Later(at)),
            Gate::Parked(at, why) => Err(Refused::Parked(at, why)),
        }
    }

    async fn upload(
        &self,
        part: &Part,
        number: u32,
        sealed: SealedObject,
        place: Place,
        journal: &JournalHandle,
    ) -> Upload {
        let object = part.object(sealed);
        let started = Instant::now();
        let result = self.lanes.run(place, self.store.put(&object)).await;
        fault_point!("flusher::uploaded");
        metrics::attempt(&result, started.elapsed());
        let at_ms = now_ms(&*self.clock);
        match result {
            Ok(confirmation) => {
                self.health(|health| health.succeeded(&object.destination));
                let receipt = Receipt {
                    at_ms,
                    etag: confirmation.etag,
                    checksum: confirmation.checksum,
                    already_there: confirmation.proof == Proof::AlreadyThere,
                };
                // F2: the receipt is written only here, where S3 has confirmed the object.
                let durable = journal.record(number, Outcome::Delivered(receipt)).await;
                metrics::delivered(&object, self.clock.now());
                tracing::info!(
                    minute = %part.name.minute, bucket = %object.destination.bucket(),
                    key = %object.key, events = object.events, bytes = object.length, "delivered"
                );
                if durable { Upload::Delivered } else { Upload::Left(self.clock.now()) }
            }
            Err(error) => {
                let outcome = self.failed(&object.destination, &error, at_ms);
                journal.record(number, outcome).await;
                let gate = self.health(|health| health.gate(&object.destination, self.clock.now()));
                match gate {
                    Gate::Closed(at) | Gate::Parked(at, _) => Upload::Left(at),
                    Gate::Open | Gate::Probe => Upload::Left(self.clock.now()),
                }
            }
        }
    }

    /// Notes a failure; the outcome that goes into the journal.
    fn failed(&self, destination: &Destination, error: &PutError, at_ms: u64) -> Outcome {
        let failure = Failure { at_ms, error: error.message().to_owned() };
        if error.class() == Class::Damaged {
            metrics::quarantined();
            tracing::error!(%destination, %error, "sealed bytes are damaged: kept, not sent");
            return Outcome::Quarantined(failure);
        }
        let now = UnixMillis::new(at_ms);
        let parked = self.health(|health| {
            health.failed(destination, error.class(), error.message(), now, random_fraction())
        });
        if parked {
            tracing::error!(%destination, %error, "parked: a person has to mend this");
            Outcome::Parked(failure)
        } else {
            tracing::warn!(%destination, %error, "not delivered; tried again");
            Outcome::Failed(failure)
        }
    }
}

enum Refused {
    Later(UnixMillis),
    Parked(UnixMillis, Arc<str>),
}

#[derive(Clone, Copy)]
enum Upload {
    Delivered,
    Left(UnixMillis),
}

/// What a pass leaves behind.
#[derive(Default)]
struct Left {
    next_try: Option<UnixMillis>,
    delivered: u32,
}

impl Left {
    fn until(&mut self, at: UnixMillis) {
        self.next_try = Some(self.next_try.map_or(at, |earlier| earlier.min(at)));
    }

    fn count(&mut self, upload: Upload) {
        match upload {
            Upload::Delivered => self.delivered += 1,
            Upload::Left(at) => self.until(at),
        }
    }
}

/// A random number from 0 to 1.
fn random_fraction() -> f64 {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).expect("Linux has random bytes");
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}
