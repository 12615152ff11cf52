//! What systemd is told of a service: that it is ready, that it works, that it stops. Where no systemd
//! asks for it (`NOTIFY_SOCKET`, `WATCHDOG_USEC`), nothing is done.
//!
//! A service is ready, and works, when it has just shown so: the log's writer, or the flusher's main
//! loop, has come round to a request over the control socket. That it does not is all that a new
//! process could mend: what S3 refuses, and a full log, are no business of the watchdog.

use std::env;
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use wal::DataDir;

/// How long a proof is waited for where there is no watchdog.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait before the next try while the service is not ready.
const PAUSE: Duration = Duration::from_millis(50);

/// Shows that a service works: an error where it has not come round within the time given.
pub(crate) type Proof = fn(&DataDir, Duration) -> wal::Result<()>;

/// Tells systemd what becomes of the service whose log lies in `data_dir`, until `shutdown`.
///
/// It is a task of the service's own runtime: where no thread of that is free, it tells nothing.
pub(crate) fn start(data_dir: &Path, proof: Proof, shutdown: CancellationToken) {
    if env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let data = DataDir::at(data_dir);
    tokio::spawn(async move {
        shutdown.run_until_cancelled(tell(data, proof)).await;
        shutdown.cancelled().await;
        say(NotifyState::Stopping);
    });
}

/// Ready, once, and from then on that it works, where there is a watchdog.
async fn tell(data: DataDir, proof: Proof) {
    let watchdog = sd_notify::watchdog_enabled();
    // With the pause before it, the longest proof still comes in time.
    let patience = watchdog.map_or(PATIENCE, |time| time / 2);
    let mut ready = false;
    loop {
        match prove(&data, proof, patience).await {
            Ok(()) if !ready => {
                ready = true;
                say(NotifyState::Ready);
            }
            Ok(()) => say(NotifyState::Watchdog),
            Err(error) if ready => tracing::warn!(error, "systemd is not told that it works"),
            Err(error) => tracing::debug!(error, "not ready yet"),
        }
        let pause = match (ready, watchdog) {
            (false, _) => PAUSE,
            (true, Some(time)) => time / 4,
            (true, None) => return,
        };
        tokio::time::sleep(pause).await;
    }
}

/// On a thread that nobody waits for at the end, as the runtime would for one of its own.
async fn prove(data: &DataDir, proof: Proof, patience: Duration) -> Result<(), String> {
    let (answer, answered) = oneshot::channel();
    let data = data.clone();
    let work = move || drop(answer.send(proof(&data, patience).map_err(|it| it.to_string())));
    let started = thread::Builder::new().name("supervision".to_owned()).spawn(work);
    started.map_err(|error: io::Error| error.to_string())?;
    answered.await.unwrap_or_else(|error| Err(error.to_string()))
}

fn say(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd cannot be told what becomes of the service");
    }
}
