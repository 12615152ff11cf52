//! The flusher run until the log is empty, or as empty as it gets.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt as _};
use model::{Clock, UnixMillis};
use store::Store;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wal::{Lock, PartName, Stage};

use crate::config::Config;
use crate::deliver::Delivery;
use crate::error::Error;
use crate::flusher::{FIRST_PASSES, Flusher, SEALED_AHEAD};
use crate::part::{DestinationFilter, Part};
use crate::sealer::Sealer;
use crate::settle::Permission;

/// So many rounds in a row may deliver nothing before the rest is left.
const ROUNDS_WITHOUT_PROGRESS: u32 = 4;

/// How long is waited at least and at most before what may mend itself is tried again.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Whether the log is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Everything is in S3.
    Yes,
    /// Something is still undelivered.
    No,
}

/// Seals what nobody holds and delivers it, trying again what may mend itself soon; then ends.
pub async fn run_once(
    config: Config,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
) -> Result<Drained, Error> {
    run_once_for(config, store, clock, shutdown, DestinationFilter::default()).await
}

/// The same for some destinations only.
pub async fn run_once_for(
    config: Config,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
    filter: DestinationFilter,
) -> Result<Drained, Error> {
    let stop = shutdown.clone();
    let start = move || Flusher::start(config, store, clock, stop);
    let Flusher { data, delivery, sealer, lock, .. } = tokio::task::spawn_blocking(start).await??;
    let waiting = sealer.parts()?;
    let (mut sealed, sealing) = spawn_sealing(sealer, lock, &delivery);
    let parts = stream::iter(waiting).chain(stream::poll_fn(move |cx| sealed.poll_recv(cx)));
    let mut round = Round::of(&delivery, &filter, parts).await;
    // What cannot be sealed or delivered now holds up nothing else.
    let (sealer, _lock, failed) = sealing.await??;
    let mut failed = failed.or(round.failed.take());
    let mut idle_rounds = 0;
    loop {
        idle_rounds = if round.delivered > 0 { 0 } else { idle_rounds + 1 };
        let Some(next_try) = round.next_try else { break };
        if idle_rounds == ROUNDS_WITHOUT_PROGRESS {
            break;
        }
        let pause = next_try.since(delivery.clock.now()).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => break,
        }
        round = Round::of(&delivery, &filter, stream::iter(sealer.parts()?)).await;
        failed = failed.or(round.failed.take());
    }
    if let Some(error) = failed {
        return Err(error);
    }
    let left =
        sealer.has_unsealed()? || !sealer.parts()?.is_empty() || !data.quarantined()?.is_empty();
    Ok(if left { Drained::No } else { Drained::Yes })
}

type Sealing = JoinHandle<Result<(Sealer, Lock, Option<Error>), Error>>;

/// Seals all that nobody holds, on a thread of its own. The parts come out of the channel; in the end
/// the sealer comes back, with what could not be sealed. Nobody else gets the lock while it works, also
/// where nobody waits for it any more.
fn spawn_sealing(
    mut sealer: Sealer,
    lock: Lock,
    delivery: &Arc<Delivery>,
) -> (mpsc::Receiver<(PartName, Stage)>, Sealing) {
    let (parts, sealed) = mpsc::channel(SEALED_AHEAD);
    let clock = Arc::clone(&delivery.clock);
    let seal = move || {
        let done =
            |part: crate::seal::SealedPart| parts.blocking_send((part.name, Stage::Sealed)).is_ok();
        match sealer.seal_finished(&*clock, true, done) {
            Err(error) if sealer.is_unsure() => Err(error.into()),
            sealed => Ok((sealer, lock, sealed.err().map(Error::from))),
        }
    };
    (sealed, tokio::task::spawn_blocking(seal))
}

/// What came of one pass over each of several parts.
#[derive(Default)]
struct Round {
    delivered: u32,
    /// When what may mend itself is due.
    next_try: Option<UnixMillis>,
    /// The first error.
    failed: Option<Error>,
}

impl Round {
    async fn of(
        delivery: &Arc<Delivery>,
        filter: &DestinationFilter,
        parts: impl Stream<Item = (PartName, Stage)>,
    ) -> Self {
        let passes = parts.map(async |(name, stage)| {
            let part = Part { data: delivery.data.clone(), stage, name };
            (name, delivery.pass(&part, filter, ()).await)
        });
        let mut passes = std::pin::pin!(passes.buffer_unordered(FIRST_PASSES));
        let mut round = Self::default();
        while let Some((name, end)) = passes.next().await {
            match end {
                Ok(end) => {
                    round.delivered += end.delivered;
                    // What waits for a person has been tried; what may mend itself is tried again.
                    if matches!(end.permission, Permission::Keep | Permission::Release) {
                        round.next_try = round.next_try.into_iter().chain(end.next_try).min();
                    }
                }
                Err(error) => {
                    tracing::error!(part = %name, %error, "a pass has failed");
                    round.failed.get_or_insert(error);
                }
            }
        }
        round
    }
}
