//! Connections: accepted up to a limit, given time limits, and ended in an orderly way.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::clients::{Answers, Clients};
use crate::connections::{Connection, Connections, Late};
use crate::error::Error;
use crate::metrics::Metrics;

/// The buffer of an HTTP/1 connection, and so the largest headers.
const HTTP1_BUFFER_BYTES: usize = 64 * 1024;
const HTTP2_HEADERS_BYTES: u32 = 32 * 1024;
const HTTP2_STREAMS: u32 = 100;
/// What a client may send ahead of being read: on one stream, and on all of a connection.
const HTTP2_STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const HTTP2_WINDOW_BYTES: u32 = 1024 * 1024;
/// How often a silent HTTP/2 client is asked whether it is still there.
const HTTP2_PING: Duration = Duration::from_secs(20);
/// How many connections may wait to be accepted, if the system's `somaxconn` allows it. One that
/// finds no place tries again after a whole second.
const BACKLOG: u32 = 4096;
/// How long to wait after a failed accept: it fails for want of file descriptors, mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// One listener and what it serves.
pub(crate) struct Server<A = Clients> {
    listener: TcpListener,
    site: Site<A>,
    max_connections: usize,
}

/// What every connection is served with.
#[derive(Clone)]
struct Site<A> {
    answers: A,
    tls: Option<watch::Receiver<Arc<ServerConfig>>>,
    metrics: Option<Arc<Metrics>>,
    stop: CancellationToken,
}

impl<A: Answers> Server<A> {
    /// Serves `answers` to at most `max_connections` clients at a time. For one more, the one that
    /// has been idle the longest has to go; where none is, it waits.
    pub(crate) fn new(listener: TcpListener, answers: A, max_connections: usize) -> Self {
        let stop = CancellationToken::new();
        let site = Site { answers, tls: None, metrics: None, stop };
        Self { listener, site, max_connections }
    }

    /// Counts connections.
    #[must_use]
    pub(crate) fn with_metrics(mut self, metrics: Arc<Metrics>) -> Self {
        self.site.metrics = Some(metrics);
        self
    }

    /// Serves over TLS, each new connection with what the receiver has then.
    #[must_use]
    pub(crate) fn with_tls(mut self, tls: Option<watch::Receiver<Arc<ServerConfig>>>) -> Self {
        self.site.tls = tls;
        self
    }

    /// Serves until `stop`, then takes no more connections, lets the requests in flight finish for
    /// up to `grace`, and ends what is left.
    pub(crate) async fn serve(self, stop: CancellationToken, grace: Duration) {
        let Self { listener, mut site, max_connections } = self;
        site.stop = stop.clone();
        let connections = Connections::new(max_connections, site.metrics.clone());
        let mut tasks = JoinSet::new();
        loop {
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
            let connection = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                connection = connections.open() => connection,
            };
            tasks.spawn(site.clone().serve(stream, connection));
        }
        drop(listener);
        let finished = async { while tasks.join_next().await.is_some() {} };
        if timeout(grace, finished).await.is_err() {
            tracing::warn!(?grace, "requests were still running after the time they had to finish");
        }
        tasks.shutdown().await;
    }
}

impl<A: Answers> Site<A> {
    /// Serves one connection to its end.
    async fn serve(self, stream: TcpStream, connection: Arc<Connection>) {
        let Some(tls) = &self.tls else { return self.serve_http(stream, connection).await };
        let acceptor = TlsAcceptor::from(Arc::clone(&tls.borrow()));
        if let Some(stream) = self.shake_hands(&acceptor, stream, &connection).await {
            self.serve_http(stream, connection).await;
        }
    }

    /// A handshake has the time of the first request's headers, and none of it after them.
    async fn shake_hands(
        &self,
        acceptor: &TlsAcceptor,
        stream: TcpStream,
        connection: &Connection,
    ) -> Option<TlsStream<TcpStream>> {
        let failed = tokio::select! {
            biased;
            () = self.stop.cancelled() => return None,
            () = connection.evicted() => return None,
            shaken = acceptor.accept(stream) => match shaken {
                Ok(stream) => return Some(stream),
                Err(error) => error.to_string(),
            },
            _ = connection.late() => "it took too long".to_owned(),
        };
        if let Some(metrics) = &self.metrics {
            metrics.handshake_failed();
        }
        tracing::debug!(error = failed, "a TLS handshake failed");
        None
    }

    async fn serve_http<I>(&self, stream: I, connection: Arc<Connection>)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let meter = self.answers.connection();
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let in_flight = connection.begin();
            let answer = self.answers.answer(request.map(axum::body::Body::new), meter.clone());
            async move {
                let answer = answer.await;
                drop(in_flight);
                Ok::<_, Infallible>(answer)
            }
        });
        let builder = builder();
        let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut ending = false;
        let ended = loop {
            tokio::select! {
                ended = &mut serving => break ended,
                () = self.stop.cancelled(), if !ending => {}
                () = connection.evicted(), if !ending => {}
                // One timer a connection for all that a client may be late with. hyper would limit
                // the time for HTTP/1 headers, with a timer for each request, but neither the time
                // until it knows which version the client speaks, nor an HTTP/2 handshake, nor how
                // long an HTTP/2 connection may be idle.
                late = connection.late(), if !ending => if late == Late::First { return },
                () = connection.lingered(), if ending => return,
            }
            if !connection.has_begun() {
                return;
            }
            ending = true;
            serving.as_mut().graceful_shutdown();
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke");
        }
    }
}

/// Listens on an address of the configuration.
pub(crate) fn bind(setting: &'static str, address: SocketAddr) -> Result<TcpListener, Error> {
    listen(address).map_err(|source| Error::Bind { setting, address, source })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As tokio's own `bind` does: a service that was restarted need not wait for old connections.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
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

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
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
