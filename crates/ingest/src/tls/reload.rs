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

use super::{Contents, TlsError, TlsFiles, Validity, server_config};
use crate::metrics::Metrics;

/// How often the files are read.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Looks after the files.
pub(crate) struct Reload {
    files: TlsFiles,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    sender: watch::Sender<Arc<ServerConfig>>,
    /// What new connections are served with, and how long its certificate is good.
    served: Hash,
    validity: Validity,
    /// What the last look saw.
    seen: Hash,
    /// What was last found to be good or bad.
    judged: Hash,
    /// What was found to be of another time than now, and may be good later.
    early: Option<Hash>,
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
        let validity = contents.validity(&files)?;
        if let Some(problem) = validity.problem(clock.now()) {
            tracing::error!(
                certificate = %files.certificate.display(), %problem,
                "clients will refuse to connect: put a valid certificate in its place"
            );
        }
        metrics.tls_expires(validity.not_after);
        let (sender, receiver) = watch::channel(config);
        let served = contents.digest();
        let (seen, judged, early) = (served, served, None);
        let this = Self { files, clock, metrics, sender, served, validity, seen, judged, early };
        Ok((this, receiver))
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
        if !twice || (self.judged == seen && self.early.is_none()) {
            return;
        }
        if self.served == seen {
            (self.judged, self.early) = (seen, None);
            tracing::info!("the TLS files are again what is served");
            self.metrics.tls_files_refused(false);
            return;
        }
        let made = contents.and_then(|contents| {
            let config = server_config(&self.files, &contents, Arc::clone(&self.clock))?;
            Ok((config, contents.validity(&self.files)?))
        });
        if let Ok((_, validity)) = &made
            && self.is_worse(validity, seen)
        {
            return;
        }
        (self.judged, self.early) = (seen, None);
        match made {
            Ok((config, validity)) => {
                self.served = seen;
                self.validity = validity;
                self.sender.send_replace(config);
                self.metrics.tls_reloaded();
                self.metrics.tls_expires(validity.not_after);
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

    /// Whether a certificate is not good now while the one that is served is: it is not taken up
    /// before it is. That is said once.
    fn is_worse(&mut self, validity: &Validity, seen: Hash) -> bool {
        let now = self.clock.now();
        let Some(problem) = validity.problem(now) else { return false };
        if self.validity.problem(now).is_some() {
            return false;
        }
        if self.early.replace(seen) != Some(seen) {
            self.metrics.tls_files_refused(true);
            tracing::error!(
                certificate = %self.files.certificate.display(), %problem,
                "the TLS files have changed and are of no use now: those from before still are"
            );
        }
        true
    }
}
