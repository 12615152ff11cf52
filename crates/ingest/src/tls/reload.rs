//! TLS files that change while the service runs.
//!
//! The contents count, not the times of the files: it makes no difference whether a file is
//! written over, renamed into place, or reached by a symbolic link that turns. A certificate and
//! its key are two files, and cannot change at one moment: what was seen twice in a row is taken
//! for whole.

use std::sync::Arc;
use std::time::Duration;

use blake3::Hash;
use model::Clock;
use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::{Contents, TlsError, TlsFiles, server_config};
use crate::metrics::Metrics;

/// How often the files are read.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Looks after the files.
pub(crate) struct Reload {
    files: TlsFiles,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    sender: watch::Sender<Arc<ServerConfig>>,
    /// What new connections are served with.
    served: Hash,
    /// What the last look saw.
    seen: Hash,
    /// What was last found to be good or bad.
    judged: Hash,
}

impl Reload {
    /// Reads the files for the first time. New connections are served with what the receiver has.
    /// Reads the disk.
    pub(crate) fn open(
        files: TlsFiles,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, watch::Receiver<Arc<ServerConfig>>), TlsError> {
        let contents = Contents::read(&files)?;
        let config = server_config(&files, &contents, Arc::clone(&clock))?;
        let (sender, receiver) = watch::channel(config);
        let served = contents.digest();
        Ok((Self { files, clock, metrics, sender, served, seen: served, judged: served }, receiver))
    }

    /// Looks every few seconds, on a thread that may wait for the disk, until it is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            sleep(LOOK_EVERY).await;
            let looked = spawn_blocking(move || {
                self.look();
                self
            });
            match looked.await {
                Ok(reload) => self = reload,
                Err(error) => {
                    tracing::error!(%error, "the TLS files are not looked after any more");
                    return;
                }
            }
        }
    }

    /// Takes up what is new and good; what is new and bad is said once, and changes nothing.
    pub(super) fn look(&mut self) {
        let contents = Contents::read(&self.files);
        let seen = match &contents {
            Ok(contents) => contents.digest(),
            Err(error) => blake3::hash(error.to_string().as_bytes()),
        };
        let twice = std::mem::replace(&mut self.seen, seen) == seen;
        if !twice || self.judged == seen {
            return;
        }
        self.judged = seen;
        if self.served == seen {
            tracing::info!("the TLS files are again what is served");
            self.metrics.tls_files_refused(false);
            return;
        }
        let made = contents
            .and_then(|contents| server_config(&self.files, &contents, Arc::clone(&self.clock)));
        match made {
            Ok(config) => {
                self.served = seen;
                self.sender.send_replace(config);
                self.metrics.tls_reloaded();
                tracing::info!(
                    certificate = %self.files.certificate.display(),
                    "the TLS files have changed: new connections are served with them"
                );
            }
            Err(error) => {
                self.metrics.tls_files_refused(true);
                tracing::error!(
                    %error,
                    "the TLS files have changed and can't be used: those from before still are"
                );
            }
        }
    }
}
