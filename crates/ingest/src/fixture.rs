//! A service on a real log in a temporary directory.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::Request;
use http_body_util::BodyExt;
use model::{Clock, Digest, Interval, SystemClock};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;
use wal::{Log, LogOptions};

use crate::allow::AllowPattern;
use crate::clients::{Answers, Clients};
use crate::config::{Auth, Config, RateLimits, Rules, Token};
use crate::metrics::Metrics;
use crate::openapi::tests::check;
use crate::routes::router;
use crate::service::Service;

/// A service, its log, and the directory that both lie in.
pub(crate) struct Fixture {
    pub(crate) service: Arc<Service>,
    pub(crate) log: Log,
    pub(crate) directory: TempDir,
}

/// A configuration with small limits; the addresses are any free ones.
pub(crate) fn config(directory: &TempDir) -> Config {
    Config {
        data_dir: directory.path().join("data"),
        listen: "127.0.0.1:0".parse().unwrap(),
        ops_listen: "127.0.0.1:0".parse().unwrap(),
        tls: None,
        rules: Rules {
            auth: Auth::None,
            streams: Vec::new(),
            access_keys: Vec::new(),
            connection_limits: RateLimits::default(),
            max_event_bytes: 1000,
        },
        max_connections: 100,
        max_request_bytes: 1024 * 1024,
        max_destinations_per_minute: 3,
        idempotency_window: Duration::from_secs(900),
        interval: Interval::from_seconds(900).unwrap(),
        max_log_bytes: 1 << 30,
        run_bytes: wal::DEFAULT_RUN_BYTES,
    }
}

/// A token whose text is `secret-NAME`.
pub(crate) fn token(name: &str, allow: &str) -> Token {
    Token {
        name: name.to_owned(),
        hash: Digest::of(format!("secret-{name}").as_bytes()),
        allow: vec![AllowPattern::parse(allow).unwrap()],
        limits: RateLimits::default(),
    }
}

impl Fixture {
    /// A service with the configuration as `change` leaves it.
    pub(crate) fn new(change: impl FnOnce(&mut Config)) -> Self {
        Self::at(Arc::new(SystemClock), change)
    }

    /// The same with this clock.
    pub(crate) fn at(clock: Arc<dyn Clock>, change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(&directory);
        change(&mut config);
        let options = LogOptions {
            data_dir: config.data_dir.clone(),
            interval: config.interval,
            max_bytes: config.max_log_bytes,
            max_destinations: config.max_destinations_per_minute,
            run_bytes: wal::DEFAULT_RUN_BYTES,
        };
        let metrics = Arc::new(Metrics::new());
        let (log, appender) =
            Log::start(options, Arc::clone(&clock), Arc::clone(&metrics) as _).unwrap();
        let service = Arc::new(Service::new(config, appender, clock, metrics));
        Self { service, log, directory }
    }

    /// The answer to a request, which is one that the description of the routes has.
    pub(crate) async fn answer(&self, request: Request<Body>) -> Response {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answer = router(&self.service).oneshot(request);
        let answer = tokio::time::timeout(Duration::from_secs(20), answer).await.unwrap().unwrap();
        check(&method, &path, answer).await
    }

    /// The status, the headers and the JSON of the answer to a request.
    pub(crate) async fn json(&self, request: Request<Body>) -> (u16, http::HeaderMap, Value) {
        let (parts, body) = self.answer(request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), parts.headers, serde_json::from_slice(&body).unwrap())
    }
}

/// Requests without a connection, as a router takes them.
impl tower::Service<Request<Body>> for Clients {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.answer(request, None).map(Ok).boxed()
    }
}

/// `POST`, with these headers.
pub(crate) fn post(
    path: &str,
    headers: &[(&'static str, &str)],
    body: impl Into<Body>,
) -> Request<Body> {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

/// `GET`, with these headers.
pub(crate) fn get(path: &str, headers: &[(&'static str, &str)]) -> Request<Body> {
    let mut request = post(path, headers, Body::empty());
    *request.method_mut() = http::Method::GET;
    request
}
