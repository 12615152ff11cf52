//! The flusher at work: the sealer on a thread of its own, and passes over parts side by side.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use model::{Clock, UnixMillis};
use store::Store;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wal::{DataDir, Lock, PartName, Stage, bytes_on_disk};

use crate::config::{Change, Config};
use crate::deliver::{Delivery, PassEnd};
use crate::error::Error;
use crate::health::is_due;
use crate::ops::Readiness;
use crate::part::{DestinationFilter, Part};
use crate::sealer::Sealer;
use crate::settle::Permission;
use crate::turns::Turns;
use crate::{control, faults, metrics, ops, retention};

/// How often finished minutes are looked for.
const SCAN_PERIOD: Duration = Duration::from_millis(100);

/// How long the lock of a flusher before this one is waited for: the system may lift it a moment
/// after a killed process has gone.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// How long the sealer and a part wait after an error of the disk.
const ERROR_PAUSE: Duration = Duration::from_secs(2);

/// How many sealed parts may wait for their first pass; the sealer waits beyond that.
pub(crate) const SEALED_AHEAD: usize = 4;

/// How many parts are in their first pass at a time, and how many are tried again.
pub(crate) const FIRST_PASSES: usize = 4;
const LATER_PASSES: usize = 4;

/// How often parts that wait are looked at, and the log is measured.
const WAITING_PERIOD: Duration = Duration::from_millis(100);
const HOUSEKEEPING_PERIOD: Duration = Duration::from_secs(5);

/// Whether what nobody holds is sealed before its minute is over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Early(Arc<AtomicBool>);

impl Early {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// A flusher that has the data directory to itself.
pub(crate) struct Flusher {
    config: Config,
    pub(crate) data: DataDir,
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) sealer: Sealer,
    pub(crate) lock: Lock,
}

impl Flusher {
    /// Takes the data directory and cleans up after a crash.
    pub(crate) fn start(
        config: Config,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        faults::install();
        let data = DataDir::create(&config.data_dir)?;
        let lock = Lock::exclusive_within(&data.flusher_lock(), LOCK_PATIENCE);
        let lock = lock.map_err(|error| match error {
            wal::Error::Busy { path } => Error::SecondFlusher(path),
            other => other.into(),
        })?;
        let (level, window) = (config.gzip_level, config.idempotency_window);
        let sealer = Sealer::start(data.clone(), level, window, stop.clone())?;
        let delivery = Arc::new(Delivery::new(data.clone(), store, clock, &config, stop));
        Ok(Self { config, data, delivery, sealer, lock })
    }
}

/// Works until `shutdown`: seals what is finished, delivers it, tries again what failed.
///
/// On `shutdown` it starts no further uploads and lets those under way end, for 5 s; whatever is left
/// goes on at the next start, to the same keys. What comes from `changes` is taken up at once.
pub async fn run(
    config: Config,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
    changes: mpsc::Receiver<Change>,
) -> Result<(), Error> {
    let start = {
        let (shutdown, config) = (shutdown.clone(), config.clone());
        move || Flusher::start(config, store, clock, shutdown)
    };
    let flusher = tokio::task::spawn_blocking(start).await??;
    let readiness = Readiness::new(Arc::clone(&flusher.delivery));
    let (early, wake, turns) = (Early::default(), Arc::new(Notify::new()), Turns::default());
    let delivery = Arc::clone(&flusher.delivery);
    // Before anybody can see that it lives: who sees that may ask.
    let (asked_early, asked, seen) = (early.clone(), Arc::clone(&wake), turns.clone());
    let _control = control::serve(&flusher.data, delivery, asked_early, asked, seen)?;
    ops::serve(config.ops_listen, Arc::clone(&readiness), shutdown.clone()).await?;
    tracing::info!(data_dir = %config.data_dir.display(), "the flusher works");
    let waiting = flusher.sealer.parts()?;
    let (sealed, sealer) =
        spawn_sealer(flusher.sealer, &flusher.delivery, early, Arc::clone(&readiness))?;
    let housekeeping = tokio::spawn(housekeeping(flusher.config, Arc::clone(&flusher.delivery)));
    let mut work = Loop {
        delivery: flusher.delivery,
        readiness,
        turns,
        waiting: BTreeMap::new(),
        passes: JoinSet::new(),
        first: Arc::new(Semaphore::new(FIRST_PASSES)),
        later: Arc::new(Semaphore::new(LATER_PASSES)),
    };
    for (name, stage) in waiting {
        work.waiting.insert(name, Waiting { stage, due: UnixMillis::new(0), recoveries: 0 });
    }
    let result = work.run(sealed, changes, &wake, &shutdown).await;
    housekeeping.abort();
    shutdown.cancel();
    // The lock on the data directory goes last.
    tokio::task::spawn_blocking(|| sealer.join()).await?.ok();
    result
}

/// Starts the sealer's thread; what it makes comes out of the channel, and what ends it.
fn spawn_sealer(
    mut sealer: Sealer,
    delivery: &Arc<Delivery>,
    early: Early,
    readiness: Arc<Readiness>,
) -> Result<(mpsc::Receiver<wal::Result<PartName>>, JoinHandle<()>), Error> {
    let (parts, sealed) = mpsc::channel(SEALED_AHEAD);
    let delivery = Arc::clone(delivery);
    let work = move || {
        while !delivery.stop.is_cancelled() {
            let done = |part: crate::seal::SealedPart| {
                parts.blocking_send(Ok(part.name)).is_ok() && !delivery.stop.is_cancelled()
            };
            let mut pause = SCAN_PERIOD;
            let result = sealer.seal_finished(&*delivery.clock, early.get(), done);
            readiness.sealing(result.as_ref().err().map(|error| format!("cannot seal: {error}")));
            let result = match result {
                // Seals what is finished first, whatever there is to go ahead with.
                Ok(()) => sealer.go_ahead(&*delivery.clock).map(|more| {
                    pause = if more { Duration::ZERO } else { SCAN_PERIOD };
                }),
                failed => failed,
            };
            if let Err(error) = result {
                if sealer.is_unsure() {
                    parts.blocking_send(Err(error)).ok();
                    return;
                }
                // Nothing is lost: the events are in the log, and the next try begins anew.
                tracing::error!(%error, "cannot seal; tried again");
                metrics::error();
                pause = ERROR_PAUSE;
            }
            std::thread::sleep(pause);
        }
    };
    let thread = std::thread::Builder::new()
        .name("sealer".to_owned())
        .spawn(work)
        .map_err(|error| Error::Internal(error.to_string()))?;
    Ok((sealed, thread))
}

/// A part that was tried and is not settled.
struct Waiting {
    stage: Stage,
    due: UnixMillis,
    /// The number of recoveries when it was tried: if something works again since, it is due.
    recoveries: u64,
}

struct Finished {
    part: Part,
    recoveries: u64,
    end: Result<PassEnd, Error>,
}

struct Loop {
    delivery: Arc<Delivery>,
    readiness: Arc<Readiness>,
    turns: Turns,
    waiting: BTreeMap<PartName, Waiting>,
    passes: JoinSet<Finished>,
    first: Arc<Semaphore>,
    later: Arc<Semaphore>,
}

impl Loop {
    async fn run(
        &mut self,
        mut sealed: mpsc::Receiver<wal::Result<PartName>>,
        mut changes: mpsc::Receiver<Change>,
        wake: &Notify,
        shutdown: &CancellationToken,
    ) -> Result<(), Error> {
        let mut tick = tokio::time::interval(WAITING_PERIOD);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.turns.turn();
            let first = Arc::clone(&self.first);
            let next_sealed = async {
                let place = first.acquire_owned().await;
                (sealed.recv().await, place)
            };
            tokio::select! {
                (name, place) = next_sealed => match name {
                    Some(name) => self.spawn(Stage::Sealed, name?, place.ok()),
                    None if shutdown.is_cancelled() => break,
                    None => return Err(Error::Internal("the sealer has gone".to_owned())),
                },
                Some(finished) = self.passes.join_next() => self.finished(finished?),
                _ = tick.tick() => self.spawn_what_is_due(),
                Some(change) = changes.recv() => self.take_up(change),
                () = wake.notified() => self.spawn_what_is_due(),
                () = shutdown.cancelled() => break,
            }
        }
        drop(changes);
        while self.passes.join_next().await.is_some() {}
        Ok(())
    }

    fn take_up(&mut self, change: Change) {
        match change {
            Change::Store(store) => self.delivery.start_over(Some(store)),
            Change::Retry => self.delivery.start_over(None),
            Change::Refused => return metrics::config_refused(),
        }
        metrics::config_reloaded();
        self.spawn_what_is_due();
    }

    fn spawn<T: Send + 'static>(&mut self, stage: Stage, name: PartName, place: T) {
        let delivery = Arc::clone(&self.delivery);
        let part = Part { data: delivery.data.clone(), stage, name };
        let recoveries = delivery.health(|health| health.recoveries());
        self.passes.spawn(async move {
            let end = delivery.pass(&part, &DestinationFilter::default(), place).await;
            Finished { part, recoveries, end }
        });
    }

    fn spawn_what_is_due(&mut self) {
        let now = self.delivery.clock.now();
        let recoveries = self.delivery.health(|health| health.recoveries());
        let due = |waiting: &Waiting| is_due(waiting.due, now) || waiting.recoveries != recoveries;
        let names: Vec<PartName> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| due(waiting))
            .map(|(name, _)| *name)
            .take(LATER_PASSES)
            .collect();
        for name in names {
            let Ok(place) = Arc::clone(&self.later).try_acquire_owned() else { return };
            if let Some(waiting) = self.waiting.remove(&name) {
                self.spawn(waiting.stage, name, place);
            }
        }
    }

    fn finished(&mut self, Finished { part, recoveries, end }: Finished) {
        let now = self.delivery.clock.now();
        self.readiness.passing(end.as_ref().err().map(ToString::to_string));
        let (stage, due) = match end {
            Ok(PassEnd { permission: Permission::Remove | Permission::Quarantine, .. }) => return,
            Ok(PassEnd { permission: Permission::Park, next_try, .. }) => {
                (Stage::Parked, next_try.unwrap_or(now))
            }
            Ok(PassEnd {
                permission: Permission::Keep | Permission::Release, next_try, ..
            }) => (part.stage, next_try.unwrap_or(now)),
            Err(error) => {
                tracing::error!(part = %part.name, %error, "a pass has failed; tried again");
                metrics::error();
                (part.stage, now.after(ERROR_PAUSE))
            }
        };
        self.waiting.insert(part.name, Waiting { stage, due, recoveries });
    }
}

/// Removes old receipts and measures the log, now and then.
async fn housekeeping(config: Config, delivery: Arc<Delivery>) {
    loop {
        let (data, clock) = (delivery.data.clone(), Arc::clone(&delivery.clock));
        let (retention, window) = (config.receipt_retention, config.idempotency_window);
        let keep = config.keep_delivered;
        let work = move || {
            let now = clock.now();
            if let Err(error) = retention::remove_old_receipts(&data, now, retention, window) {
                tracing::warn!(%error, "cannot remove old receipts");
            }
            if let Err(error) = retention::remove_kept_segments(&data, now, keep, || {
                retention::lacking_bytes(&data)
            }) {
                tracing::warn!(%error, "cannot remove sealed bytes that were kept");
            }
            if let Err(error) = data.remove_unborn_runs() {
                tracing::warn!(%error, "cannot remove what a crash has left of a run's making");
            }
            measure(&data, now);
        };
        tokio::task::spawn_blocking(work).await.ok();
        tokio::time::sleep(HOUSEKEEPING_PERIOD).await;
    }
}

fn measure(data: &DataDir, now: UnixMillis) {
    let dirs = [
        data.open_dir(),
        data.sealing_dir(),
        data.stage_dir(Stage::Sealed),
        data.stage_dir(Stage::Parked),
        data.quarantine_dir(),
    ];
    let bytes = dirs.iter().map(|dir| bytes_on_disk(dir)).sum();
    let runs = data.runs().unwrap_or_default().into_iter().map(|run| run.minute);
    let parts = [Stage::Sealed, Stage::Parked]
        .into_iter()
        .flat_map(|stage| data.parts(stage).unwrap_or_default())
        .map(|part| part.minute);
    let oldest = runs.chain(parts).min();
    metrics::log(bytes, oldest.map_or(Duration::ZERO, |minute| now.since(minute.start())));
}
