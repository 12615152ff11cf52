//! SIGHUP: the configuration is read again, and a running service takes up what it can.
//!
//! It is taken up whole or not at all. What can't be used changes nothing, and is said in the log and
//! in a metric. What can only be changed by a new start is named in the log, and waits for that.

use std::convert::Infallible;
use std::future::pending;

use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::args::Global;
use crate::commands::{load_config, warn};
use crate::config::{Config, Live, Loaded};
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
            let told = match self.read().await {
                Ok((config, waiting)) => match change(&self.running, &config).await {
                    Ok(change) => {
                        self.hold(config, &waiting);
                        change
                    }
                    Err(failure) => refuse(&failure, &refused),
                },
                Err(failure) => refuse(&failure, &refused),
            };
            if changes.send(told).await.is_err() {
                break;
            }
        }
        // The service is about to end, and is not to be cut off by this.
        pending().await
    }

    /// What holds by the configuration as it is read now, and the keys that wait for a new start.
    async fn read(&self) -> Result<(Config, Vec<String>), Failure> {
        let (global, live) = (self.global.clone(), self.live);
        let read = move || -> Result<Loaded, Failure> {
            let loaded = load_config(&global)?;
            if live == Live::Ingest {
                loaded.check_for_ingest()?;
            }
            Ok(loaded)
        };
        let loaded = spawn_blocking(read)
            .await
            .map_err(|error| Failure::new(Code::Internal, format!("configuration: {error}")))??;
        Ok(loaded.taken_up(&self.running, self.live)?)
    }

    fn hold(&mut self, config: Config, waiting: &[String]) {
        self.level.follow(config.log_level.as_ref());
        tracing::info!("the configuration was read again, and what can be taken up is");
        if !waiting.is_empty() {
            let keys = waiting.join(", ");
            tracing::warn!(keys, "these keys have changed, and hold from the next start on");
        }
        let service = match self.live {
            Live::Ingest => "ingest",
            Live::Flusher => "flusher",
        };
        warn(&config, service);
        self.running = config;
    }
}

fn refuse<C>(failure: &Failure, refused: impl Fn() -> C) -> C {
    tracing::error!(
        error = %failure,
        "the configuration was read again and can't be used: the one from before still holds"
    );
    refused()
}
