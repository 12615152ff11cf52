//! One pass over a part: every object that is not settled is sent once, if it may be.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use model::{Clock, Destination, UnixMillis};
use store::{Class, Proof, PutError, Store};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wal::{DataDir, Failure, Outcome, Receipt, SealedObject, SettledObjects};

use crate::config::Config;
use crate::error::Error;
use crate::faults::fault_point;
use crate::health::{Gate, Health, is_due};
use crate::lanes::{Lanes, Place};
use crate::metrics;
use crate::part::{DestinationFilter, JournalHandle, JournalTask, Part, now_ms};
use crate::settle::{self, Permission};

/// When what found no place in the slow lane is tried again.
const CROWDED_PAUSE: Duration = Duration::from_millis(100);

/// While uploads are under way, what was left of their part is looked at again after this long, or
/// after ten times what a look takes.
const ROUND_PAUSE: Duration = Duration::from_millis(100);

/// How long uploads that are under way may go on after the flusher was told to stop. What is cut off
/// goes on at the next start: the same bytes to the same key.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// What all passes share.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) data: DataDir,
    /// An upload holds the lock for no longer than it takes to look.
    store: RwLock<Arc<dyn Store>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lanes: Lanes,
    keep_delivered: Duration,
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
        config: &Config,
        stop: CancellationToken,
    ) -> Self {
        let lanes = Lanes::new(config.upload_concurrency);
        let (keep_delivered, store) = (config.keep_delivered, RwLock::new(store));
        Self { data, store, clock, lanes, keep_delivered, stop, health: Mutex::default() }
    }

    /// By what an upload that begins now goes.
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Nothing is held against any destination any more; with a store, uploads go by that from now on,
    /// and a failure by the one before says nothing of it.
    pub(crate) fn start_over(&self, store: Option<Arc<dyn Store>>) {
        self.health(|health| {
            if let Some(store) = store {
                *self.store.write().unwrap_or_else(PoisonError::into_inner) = store;
            }
            health.forget();
        });
        metrics::parked_destinations(0);
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
            // Only this flusher moves a part: a file of it that is not there is lost.
            Err(Error::Log(error))
                if matches!(error, wal::Error::Damaged { .. }) || error.is_not_found() =>
            {
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
        let (journal, settled) = part.journal().await?;
        let mut pass = Pass::new(settled);
        let mut started = Some(started);
        loop {
            let recoveries = self.health(|health| health.recoveries());
            let round = Instant::now();
            self.start_round(part, filter, &journal, &mut pass).await?;
            drop(started.take());
            let pause = ROUND_PAUSE.max(round.elapsed() * 10);
            if !self.wait_for_uploads(&mut pass, recoveries, pause).await? {
                break;
            }
        }
        let journal = journal.finish().await?;
        let (of, now, keep) = (part.clone(), self.clock.now(), self.keep_delivered);
        let settling = move || settle::settle(&of, journal, now, keep);
        let permission = tokio::task::spawn_blocking(settling).await??;
        Ok(PassEnd { permission, next_try: pass.next_try, delivered: pass.delivered })
    }

    /// Starts every object that may be sent now and is not under way.
    async fn start_round(
        self: &Arc<Self>,
        part: &Part,
        filter: &DestinationFilter,
        journal: &JournalTask,
        pass: &mut Pass,
    ) -> Result<(), Error> {
        pass.next_try = None;
        let mut objects = part.objects(pass.open_objects());
        while let Some((number, object)) = objects.next().await {
            if self.stop.is_cancelled() {
                pass.left_until(self.clock.now());
                break;
            }
            if !filter.matches(&object.destination) {
                pass.left_until(self.clock.now());
                continue;
            }
            match self.place(&object.destination).await {
                Ok(place) => {
                    let (this, part) = (Arc::clone(self), part.clone());
                    let journal = journal.handle();
                    pass.under_way.insert(number);
                    pass.uploads.spawn(async move {
                        let end = this.upload(&part, number, object, place, &journal).await;
                        (number, end)
                    });
                }
                Err(refused) => {
                    pass.left_until(refused.until);
                    if let Some(outcome) = refused.outcome {
                        journal.handle().note(number, outcome).await;
                    }
                }
            }
            while let Some(upload) = pass.uploads.try_join_next() {
                pass.ended(upload?);
            }
        }
        objects.finish().await
    }

    /// Waits for the uploads that are under way; says whether something that was left is due
    /// before they have ended. A slow upload delays nothing else of its own minute either.
    async fn wait_for_uploads(
        &self,
        pass: &mut Pass,
        recoveries: u64,
        pause: Duration,
    ) -> Result<bool, Error> {
        let mut again = tokio::time::interval(pause);
        again.reset();
        let patience = async {
            self.stop.cancelled().await;
            tokio::time::sleep(STOP_PATIENCE).await;
        };
        tokio::pin!(patience);
        loop {
            tokio::select! {
                () = &mut patience => {
                    tracing::warn!(uploads = pass.uploads.len(), "cut off; they go on at the next start");
                    pass.left_until(self.clock.now());
                    pass.uploads.shutdown().await;
                    return Ok(false);
                }
                upload = pass.uploads.join_next() => match upload {
                    Some(upload) => pass.ended(upload?),
                    None => return Ok(false),
                },
                _ = again.tick() => {
                    let now = self.clock.now();
                    let recovered = self.health(|health| health.recoveries()) != recoveries;
                    let due = pass.next_try.is_some_and(|at| is_due(at, now) || recovered);
                    if due && !self.stop.is_cancelled() {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// A place for an upload to this destination, or why there is none now. Waits only for what
    /// has not failed.
    async fn place(&self, destination: &Destination) -> Result<Place, Refused> {
        let now = self.clock.now();
        let hangs = self.lanes.is_slow(destination.bucket());
        let gate = match self.health(|health| health.gate(destination, now)) {
            Gate::Open if hangs => Gate::Probe,
            gate => gate,
        };
        match gate {
            Gate::Open => tokio::select! {
                place = self.lanes.fast() => Ok(place),
                () = self.stop.cancelled() => Err(Refused { until: now, outcome: None }),
            },
            Gate::Probe => match self.lanes.slow() {
                Some(place) => {
                    self.health(|health| health.probing(destination, hangs, now));
                    Ok(place)
                }
                None => Err(Refused { until: now.after(CROWDED_PAUSE), outcome: None }),
            },
            Gate::Closed(until, why) => {
                let outcome = Outcome::Failed(failure(now, &why));
                Err(Refused { until, outcome: Some(outcome) })
            }
            Gate::Parked(until, why) => {
                let outcome = Outcome::Parked(failure(now, &why));
                Err(Refused { until, outcome: Some(outcome) })
            }
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
        let store = self.store();
        let put = store.put(&object);
        let (result, place) = self.lanes.run(place, object.destination.bucket(), put).await;
        fault_point!("flusher::uploaded");
        metrics::attempt(&result, started.elapsed());
        let at_ms = now_ms(&*self.clock);
        match result {
            Ok(confirmation) => {
                metrics::parked_destinations(self.health(|health| {
                    health.succeeded(&object.destination);
                    health.parked()
                }));
                let receipt = Receipt {
                    at_ms,
                    etag: confirmation.etag,
                    checksum: confirmation.checksum,
                    already_there: confirmation.proof == Proof::AlreadyThere,
                };
                // F2: the receipt is written only here, where S3 has confirmed the object.
                let durable = journal.record(number, Outcome::Delivered(receipt), place).await;
                metrics::delivered(&object, self.clock.now());
                tracing::info!(
                    minute = %part.name.minute, bucket = %object.destination.bucket(),
                    key = %object.key, events = object.events, bytes = object.extents.length(), "delivered"
                );
                if durable { Upload::Delivered } else { Upload::Left(self.clock.now()) }
            }
            Err(error) => {
                let outcome = self.failed(&store, &object.destination, &error, at_ms);
                let given_up = outcome.is_settled();
                if journal.record(number, outcome, place).await && given_up {
                    return Upload::GivenUp;
                }
                let gate = self.health(|health| health.gate(&object.destination, self.clock.now()));
                match gate {
                    Gate::Closed(at, _) | Gate::Parked(at, _) => Upload::Left(at),
                    Gate::Open | Gate::Probe => Upload::Left(self.clock.now()),
                }
            }
        }
    }

    /// Whether uploads still go by this store.
    fn goes_by(&self, store: &Arc<dyn Store>) -> bool {
        Arc::ptr_eq(store, &self.store())
    }

    /// Notes a failure; the outcome that goes into the journal.
    fn failed(
        &self,
        store: &Arc<dyn Store>,
        destination: &Destination,
        error: &PutError,
        at_ms: u64,
    ) -> Outcome {
        let failure = failure(UnixMillis::new(at_ms), error.message());
        if error.class() == Class::Damaged {
            metrics::quarantined();
            tracing::error!(%destination, %error, "sealed bytes are damaged: kept, not sent");
            return Outcome::Quarantined(failure);
        }
        let now = UnixMillis::new(at_ms);
        let (parked, count) = self.health(|health| {
            let why = error.message();
            let parked = self.goes_by(store)
                && health.failed(destination, error.class(), why, now, random_fraction());
            (parked, health.parked())
        });
        metrics::parked_destinations(count);
        if parked {
            tracing::error!(%destination, %error, "parked: a person has to mend this");
            Outcome::Parked(failure)
        } else {
            tracing::warn!(%destination, %error, "not delivered; tried again");
            Outcome::Failed(failure)
        }
    }
}

/// Why an object is not sent now.
struct Refused {
    until: UnixMillis,
    /// What a person who looks is told.
    outcome: Option<Outcome>,
}

fn failure(at: UnixMillis, error: &str) -> Failure {
    Failure { at_ms: at.as_millis(), error: error.to_owned() }
}

#[derive(Clone, Copy)]
enum Upload {
    Delivered,
    /// Nothing more is to be done, and it is not in S3.
    GivenUp,
    Left(UnixMillis),
}

/// A pass at work.
struct Pass {
    settled: SettledObjects,
    under_way: HashSet<u32>,
    uploads: JoinSet<(u32, Upload)>,
    /// When the first of what was left is due.
    next_try: Option<UnixMillis>,
    delivered: u32,
}

impl Pass {
    fn new(settled: SettledObjects) -> Self {
        let (under_way, uploads) = (HashSet::new(), JoinSet::new());
        Self { settled, under_way, uploads, next_try: None, delivered: 0 }
    }

    /// Which objects are neither settled nor under way now.
    fn open_objects(&self) -> impl Fn(u32) -> bool + Send + use<> {
        let (settled, under_way) = (self.settled.clone(), self.under_way.clone());
        move |object| !settled.contains(object) && !under_way.contains(&object)
    }

    fn left_until(&mut self, at: UnixMillis) {
        self.next_try = Some(self.next_try.map_or(at, |earlier| earlier.min(at)));
    }

    fn ended(&mut self, (number, upload): (u32, Upload)) {
        self.under_way.remove(&number);
        match upload {
            Upload::Delivered => {
                self.settled.insert(number);
                self.delivered += 1;
            }
            Upload::GivenUp => self.settled.insert(number),
            Upload::Left(at) => self.left_until(at),
        }
    }
}

/// A random number from 0 to 1.
fn random_fraction() -> f64 {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).expect("Linux has random bytes");
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}
