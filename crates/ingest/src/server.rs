//! Connections: accepted up to a limit, given time limits, and ended in an orderly way.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::error::Error;
use crate::metrics::Metrics;

/// How long a client may take from connecting to the end of its first request's headers.
const FIRST_HEADERS: Duration = Duration::from_secs(10);
/// How long an HTTP/1 connection may stay without the next request's headers. hyper has one limit
/// for those that are late and those that have not begun; it is longer than the 60 s for which load
/// balancers keep idle connections, or they would now and then send a request into a closed one.
const NEXT_HEADERS: Duration = Duration::from_secs(75);
/// The buffer of an HTTP/1 connection, and so the largest headers.
const HTTP1_BUFFER_BYTES: usize = 64 * 1024;
const HTTP2_HEADERS_BYTES: u32 = 32 * 1024;
const HTTP2_STREAMS: u32 = 100;
/// What a client may send ahead of being read: on one stream, and on all of a connection.
const HTTP2_STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const HTTP2_WINDOW_BYTES: u32 = 1024 * 1024;
/// How often a silent HTTP/2 client is asked whether it is still there.
const HTTP2_PING: Duration = Duration::from_secs(20);
/// How long to wait after a failed accept: it fails for want of file descriptors, mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// One listener and what it serves.
pub(crate) struct Server {
    listener: TcpListener,
    router: Router,
    connections: Arc<Semaphore>,
    metrics: Option<Arc<Metrics>>,
}

impl Server {
    /// Serves `router` to at most `max_connections` clients at a time; those beyond wait in the
    /// kernel's queue. Counts them where `metrics` are given.
    pub(crate) fn new(
        listener: TcpListener,
        router: Router,
        max_connections: usize,
        metrics: Option<Arc<Metrics>>,
    ) -> Self {
        Self { listener, router, connections: Arc::new(Semaphore::new(max_connections)), metrics }
    }

    /// Serves until `stop`, then takes no more connections, lets the requests in flight finish for
    /// up to `grace`, and ends what is left.
    pub(crate) async fn serve(self, stop: CancellationToken, grace: Duration) {
        let Self { listener, router, connections, metrics } = self;
        let graceful = GracefulShutdown::new();
        let mut tasks = JoinSet::new();
        loop {
            let free = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                free = Arc::clone(&connections).acquire_owned() => free,
            };
            let stream = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            while tasks.try_join_next().is_some() {}
            let stream = match stream.and_then(|(stream, _)| prepare(stream)) {
                Ok(stream) => stream,
                Err(error) => {
                    pause_after(&error).await;
                    continue;
                }
            };
            let counted = metrics.as_ref().map(|metrics| metrics.connected());
            let connection = connection(stream, router.clone(), graceful.watcher());
            tasks.spawn(async move {
                connection.await;
                drop((free, counted));
            });
        }
        drop(listener);
        if timeout(grace, graceful.shutdown()).await.is_err() {
            tracing::warn!(?grace, "requests were still running after the time they had to finish");
        }
        tasks.shutdown().await;
    }
}

/// Listens on an address of the configuration.
pub(crate) async fn bind(setting: &'static str, address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Bind { setting, address, source })
}

fn prepare(stream: TcpStream) -> io::Result<TcpStream> {
    // Answers are small and wait for nothing: Nagle's algorithm would only hold them back.
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, InvalidInput, NotConnected};
    // The client went away before it was looked at.
    if !matches!(error.kind(), ConnectionAborted | ConnectionReset | InvalidInput | NotConnected) {
        tracing::warn!(%error, "a connection can't be accepted");
        sleep(ACCEPT_PAUSE).await;
    }
}

/// Serves one connection to its end.
async fn connection(stream: TcpStream, router: Router, watcher: Watcher) {
    let began = Arc::new(AtomicBool::new(false));
    let service = service_fn({
        let began = Arc::clone(&began);
        move |request: hyper::Request<Incoming>| {
            began.store(true, Ordering::Relaxed);
            router.clone().oneshot(request.map(axum::body::Body::new) as Request)
        }
    });
    let builder = builder();
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let mut connection = std::pin::pin!(watcher.watch(connection));
    let ended = tokio::select! {
        ended = &mut connection => Some(ended),
        () = sleep(FIRST_HEADERS) => None,
    };
    // hyper limits the time for HTTP/1 headers, but not the time until it knows which version the
    // client speaks, nor an HTTP/2 handshake.
    let ended = match ended {
        Some(ended) => ended,
        None if began.load(Ordering::Relaxed) => connection.await,
        None => return,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(NEXT_HEADERS)
        .max_buf_size(HTTP1_BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HTTP2_HEADERS_BYTES)
        .max_concurrent_streams(HTTP2_STREAMS)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_WINDOW_BYTES)
        .keep_alive_interval(HTTP2_PING)
        .keep_alive_timeout(HTTP2_PING);
    builder
}

#[cfg(test)]
mod tests;
