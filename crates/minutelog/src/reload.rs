//! SIGHUP: the configuration is read again, and a running service takes up what it can.
//!
//! It is taken up whole or not at all. What can't be used changes nothing, and is said in the log and
//! in a metric. What can only be changed by a new start is named in the log, and waits for that.

use std::convert::Infallible;
use std::env;
use std::fs;
use std::future::pending;

use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::args::Global;
use crate::commands::{load_config, warn};
use crate::config::{Config, Live, TakenUp, config_file};
use crate::failure::{Code, Failure};
use crate::telemetry::Level;

/// How many changes may wait for the service. One that waits is as good as ten.
pub(crate) const WAITING: usize = 1;

/// Follows SIGHUP for a service.
pub(crate) struct Reload {
    pub(crate) hangups: Signal,
    pub(crate) global: Global,
    /// By which the service runs now.
    pub(crate) running: Config,
    pub(crate) level: Level,
    pub(crate) live: Live,
}

impl Reload {
    /// Reads the configuration at each SIGHUP, as long as the service takes changes; never ends by
    /// itself. `change` makes a change of the configuration that held and the one that is to hold.
    pub(crate) async fn run<C>(
        mut self,
        changes: mpsc::Sender<C>,
        refused: impl Fn() -> C,
        change: impl AsyncFn(&Config, &Config) -> Result<C, Failure>,
    ) -> Infallible {
        while self.hangups.recv().await.is_some() {
            let sent = match self.read(&change).await {
                Ok((taken, change)) => {
                    let sent = changes.send(change).await;
                    if sent.is_ok() {
                        self.hold(taken);
                    }
                    sent
                }
                Err(failure) => {
                    tracing::error!(
                        error = %failure,
                        "the configuration was read again and can't be used: the one from before still holds"
                    );
                    changes.send(refused()).await
                }
            };
            if sent.is_err() {
                tracing::info!("stopping: the configuration is not read again");
                break;
            }
        }
        // The service is about to end, and is not to be cut off by this.
        pending().await
    }

    /// What holds by the configuration as it is read now, and what the service is told of it.
    async fn read<C>(
        &self,
        change: impl AsyncFn(&Config, &Config) -> Result<C, Failure>,
    ) -> Result<(TakenUp, C), Failure> {
        let (global, live, running) = (self.global.clone(), self.live, self.running.clone());
        let read = move || -> Result<TakenUp, Failure> {
            refuse_pipe(&global)?;
            Ok(load_config(&global)?.taken_up(&running, live)?)
        };
        let taken = from_disk(read).await?;
        let change = change(&self.running, &taken.config).await?;
        Ok((taken, change))
    }

    fn hold(&mut self, TakenUp { config, changed, waiting }: TakenUp) {
        let keys = changed.join(", ");
        tracing::info!(keys, "the configuration was read again, and what can be taken up is");
        if !waiting.is_empty() {
            let keys = waiting.join(", ");
            tracing::warn!(keys, "these keys have changed, and hold from the next start on");
        }
        if self.level.is_given() && changed.iter().any(|key| key == "log_level") {
            tracing::warn!("log_level has no say: --log-level or MINUTELOG_LOG was given");
        }
        let service = match self.live {
            Live::Ingest => "ingest",
            Live::Flusher => "flusher",
        };
        warn(&config, service);
        self.level.follow(config.log_level.as_ref());
        self.running = config;
    }
}

/// Reads a part of the configuration on a thread that may wait for the disk.
pub(crate) async fn from_disk<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    spawn_blocking(read)
        .await
        .map_err(|error| Failure::new(Code::Internal, format!("configuration: {error}")))?
}

/// A pipe can be read once: it would be waited for, or found empty.
fn refuse_pipe(global: &Global) -> Result<(), Failure> {
    let file = config_file(global.config.as_deref(), env::var_os("MINUTELOG_CONFIG"));
    match file.as_ref().map(fs::metadata) {
        Some(Ok(of)) if !of.is_file() => {
            let path = file.unwrap_or_default();
            let what = "is no file that can be read again: give one with --config";
            Err(Failure::new(Code::Config, format!("{}: {what}", path.display())))
        }
        _ => Ok(()),
    }
}
