//! The flusher's page for machines: `/healthz`, `/readyz`, `/metrics`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use crate::deliver::Delivery;
use crate::error::Error;

const SECONDS_BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0];
const BYTES_BUCKETS: [f64; 8] =
    [1e3, 1e4, 1e5, 1e6, 16_777_216.0, 134_217_728.0, 1_073_741_824.0, 17_179_869_184.0];

/// What keeps the flusher from delivering: errors of the disk, and what S3 says.
#[derive(Debug)]
pub(crate) struct Readiness {
    delivery: Arc<Delivery>,
    sealing: Mutex<Option<String>>,
    passing: Mutex<Option<String>>,
}

impl Readiness {
    pub(crate) fn new(delivery: Arc<Delivery>) -> Arc<Self> {
        Arc::new(Self { delivery, sealing: Mutex::default(), passing: Mutex::default() })
    }

    /// Notes how the last attempt to seal ended.
    pub(crate) fn sealing(&self, error: Option<String>) {
        *self.sealing.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    /// Notes how the last pass over a part ended.
    pub(crate) fn passing(&self, error: Option<String>) {
        *self.passing.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    /// Why the flusher would not deliver now; nothing where it would.
    fn reason(&self) -> Option<String> {
        let of = |slot: &Mutex<Option<String>>| {
            slot.lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        of(&self.sealing)
            .or_else(|| of(&self.passing))
            .or_else(|| self.delivery.health(|health| health.trouble()))
    }
}

#[derive(Clone)]
struct Page {
    readiness: Arc<Readiness>,
    metrics: Option<PrometheusHandle>,
}

/// Serves the page until `stop`.
pub(crate) async fn serve(
    address: SocketAddr,
    readiness: Arc<Readiness>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let bind = |source| Error::Bind { address, source };
    let listener = tokio::net::TcpListener::bind(address).await.map_err(bind)?;
    let page = Page { readiness, metrics: install_recorder() };
    crate::metrics::describe();
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .with_state(page);
    tokio::spawn(async move {
        let stopped = async move { stop.cancelled().await };
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
            tracing::warn!(%error, "the ops page has ended");
        }
    });
    Ok(())
}

/// One recorder a process; a second one in the same process is not needed.
fn install_recorder() -> Option<PrometheusHandle> {
    let suffix = |suffix: &str| Matcher::Suffix(suffix.to_owned());
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(suffix("_seconds"), &SECONDS_BUCKETS)
        .and_then(|builder| builder.set_buckets_for_metric(suffix("_bytes"), &BYTES_BUCKETS));
    builder.and_then(PrometheusBuilder::install_recorder).ok()
}

async fn readyz(State(page): State<Page>) -> (StatusCode, String) {
    match page.readiness.reason() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

async fn metrics_text(State(page): State<Page>) -> Result<String, StatusCode> {
    let metrics = page.metrics.ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
    metrics.run_upkeep();
    Ok(metrics.render())
}
