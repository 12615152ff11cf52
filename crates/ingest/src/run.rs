//! The life of the service: from the log's start to its closing.

use std::sync::Arc;
use std::time::Duration;

use model::Clock;
use rustls::ServerConfig;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use wal::{Appender, Log, LogObserver, LogOptions};

use crate::config::{Change, Config};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::server::{Server, bind};
use crate::service::Service;
use crate::tls::{Reload, TlsFiles};
use crate::{ops, routes};

const MAX_OPS_CONNECTIONS: usize = 100;
/// How long requests in flight may take once the service is to stop.
const GRACE: Duration = Duration::from_secs(30);
/// The same when the log has stopped: all that is left is to answer 503.
const GRACE_STOPPED: Duration = Duration::from_secs(2);
const GRACE_OPS: Duration = Duration::from_secs(1);
/// How often the metrics' buffers are emptied.
const UPKEEP: Duration = Duration::from_secs(5);

/// Why the service is to end.
enum End {
    Asked,
    Stopped(String),
}

/// Runs the service until `shutdown` is cancelled or the log stops.
///
/// On `shutdown` it takes no more connections, answers what is in flight (for up to 30 s), commits
/// what waits and closes the minute: then `Ok`. If the log stops after a disk error, what is in
/// flight and what still comes is answered with 503: then [`Error::Disk`].
///
/// What comes from `changes` is taken up at once, for requests and connections that begin after it.
pub async fn run(
    config: Config,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
    changes: mpsc::Receiver<Change>,
) -> Result<(), Error> {
    // What can be refused first: a service that can't serve leaves no run behind.
    let metrics = Arc::new(Metrics::new());
    metrics.log_may_have(config.max_log_bytes);
    let tls = open_tls(config.tls.clone(), Arc::clone(&clock), Arc::clone(&metrics)).await?;
    let ops_listener = bind("ingest.ops_listen", config.ops_listen)?;
    let listener = bind("ingest.listen", config.listen)?;
    let (log, appender) = start_log(&config, Arc::clone(&clock), Arc::clone(&metrics) as _).await?;
    tracing::info!(
        listen = %config.listen,
        ops_listen = %config.ops_listen,
        tls = config.tls.is_some(),
        data_dir = %config.data_dir.display(),
        "ingest is ready"
    );

    let (reload, tls) = tls.unzip();
    let reload = reload.map(|reload| AbortOnDropHandle::new(tokio::spawn(reload.run())));
    let max_connections = config.max_connections;
    let service = Arc::new(Service::new(config, appender, clock, Arc::clone(&metrics)));
    let upkeep = AbortOnDropHandle::new(tokio::spawn(keep_up(Arc::clone(&metrics))));
    let stop_ops = CancellationToken::new();
    let ops = Server::new(ops_listener, ops::router(&service), MAX_OPS_CONNECTIONS);
    let ops = AbortOnDropHandle::new(tokio::spawn(ops.serve(stop_ops.clone(), GRACE_OPS)));
    let clients = Server::new(listener, routes::router(&service), max_connections)
        .with_metrics(metrics)
        .with_tls(tls);

    let end = serve(clients, &log, &service, shutdown, changes).await;
    let outcome = match end {
        End::Asked => log.close().await.map_err(Error::Log),
        End::Stopped(reason) => {
            // It is closed already, in the only way that is left to it.
            drop(log);
            Err(Error::Disk { reason })
        }
    };
    stop_ops.cancel();
    joined(ops).await;
    drop((upkeep, reload));
    tracing::info!("ingest has stopped");
    outcome
}

/// Serves clients until there is a reason to end, and then lets them finish.
async fn serve(
    clients: Server,
    log: &Log,
    service: &Service,
    shutdown: CancellationToken,
    mut changes: mpsc::Receiver<Change>,
) -> End {
    let stop = CancellationToken::new();
    let mut clients = AbortOnDropHandle::new(tokio::spawn(clients.serve(stop.clone(), GRACE)));
    let mut drained = false;
    let end = loop {
        tokio::select! {
            () = shutdown.cancelled() => break End::Asked,
            reason = log.stopped() => break End::Stopped(reason),
            Some(change) = changes.recv() => service.take_up(change),
            () = log.drained(), if !drained => {
                drained = true;
                tracing::info!("the log is drained: new events are refused, lookups go on");
            }
        }
    };
    drop(changes);
    service.begin_stopping();
    stop.cancel();
    match &end {
        End::Asked => {
            tracing::info!("stopping: requests in flight finish, no new connections");
            joined(clients).await;
        }
        End::Stopped(reason) => {
            tracing::error!(reason, "the log has stopped after a disk error");
            // Those that are not through by then are cut off with their connection, unanswered.
            if timeout(GRACE_STOPPED, &mut clients).await.is_err() {
                tracing::warn!("requests were still running after the log had stopped");
            }
        }
    }
    end
}

/// Reads the files of TLS for the first time, if there are any.
async fn open_tls(
    files: Option<TlsFiles>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
) -> Result<Option<(Reload, watch::Receiver<Arc<ServerConfig>>)>, Error> {
    let Some(files) = files else { return Ok(None) };
    match spawn_blocking(move || Reload::open(files, clock, metrics)).await {
        Ok(opened) => Ok(Some(opened?)),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Starting a log reads and writes the disk.
async fn start_log(
    config: &Config,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn LogObserver>,
) -> Result<(Log, Appender), Error> {
    let options = LogOptions {
        data_dir: config.data_dir.clone(),
        interval: config.interval,
        max_bytes: config.max_log_bytes,
        max_destinations: config.max_destinations_per_minute,
        run_bytes: config.run_bytes,
    };
    let started = spawn_blocking(move || Log::start(options, clock, observer)).await;
    match started {
        Ok(started) => started.map_err(Error::Log),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

async fn keep_up(metrics: Arc<Metrics>) {
    let mut ticks = interval(UPKEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        metrics.upkeep();
    }
}

async fn joined(server: AbortOnDropHandle<()>) {
    if let Err(error) = server.await {
        tracing::error!(%error, "a server failed");
    }
}

#[cfg(test)]
mod tests;
