//! The connection to the service.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::time::timeout;

use crate::address::Address;
use crate::backoff::retry_after;
use crate::batch::Batch;
use crate::encoded::Route;
use crate::tls::is_distrust;
use crate::verdict::Answer;

/// Below the 75 s after which the service closes a connection, so that few requests meet the closing.
const IDLE: Duration = Duration::from_secs(60);
/// How long a TCP connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// The ids of 10,000 events have 300 kB.
const LONGEST_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// Sends requests, each once.
#[derive(Debug)]
pub(crate) struct Post {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    address: Address,
    authorization: Option<HeaderValue>,
    limit: Duration,
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoAnswer {
    pub(crate) reason: String,
    /// Whether it may have been accepted.
    pub(crate) doubt: bool,
    /// Whether one of the two ends does not trust the other.
    pub(crate) distrust: bool,
}

impl Post {
    /// Requests to this address, with this header, each with so much time.
    pub(crate) fn new(
        address: Address,
        authorization: Option<HeaderValue>,
        tls: ClientConfig,
        limit: Duration,
    ) -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT.min(limit)));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(1)
            .build(connector);
        Self { client, address, authorization, limit }
    }

    /// Sends a batch, and reads the answer to its end.
    pub(crate) fn send(
        &self,
        batch: &Batch,
    ) -> impl Future<Output = Result<Answer, NoAnswer>> + Send + use<> {
        let request = self.request(batch);
        let (client, limit) = (self.client.clone(), self.limit);
        async move {
            let exchange = async {
                let response = client.request(request).await.map_err(|error| {
                    let connecting = error.is_connect();
                    let what = if connecting {
                        "the service can't be reached"
                    } else {
                        "the service gave no answer"
                    };
                    let distrust = is_distrust(&error, connecting);
                    let reason = format!("{what}: {}", chain(&error));
                    NoAnswer { reason, doubt: !connecting && !distrust, distrust }
                })?;
                read(response).await
            };
            let late = |_| {
                let reason = format!("the service gave no answer within {limit:?}");
                Err(NoAnswer { reason, doubt: true, distrust: false })
            };
            timeout(limit, exchange).await.unwrap_or_else(late)
        }
    }

    fn request(&self, batch: &Batch) -> Request<Full<Bytes>> {
        let (uri, content_type) = match &batch.route {
            Route::Events | Route::EventsWithId => (self.address.send(), "application/json"),
            Route::Lines(uri) => (uri, "text/plain"),
        };
        let mut request = Request::new(Full::new(batch.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(USER_AGENT, HeaderValue::from_static("minutelog-rust"));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let key = batch.key.as_deref().and_then(|key| HeaderValue::from_str(key).ok());
        if let Some(key) = key {
            headers.insert("idempotency-key", key);
        }
        request
    }
}

async fn read(response: Response<Incoming>) -> Result<Answer, NoAnswer> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, LONGEST_ANSWER_BYTES).collect().await.map_err(|error| {
        let reason = format!("the answer can't be read: {}", chain(&*error));
        NoAnswer { reason, doubt: true, distrust: false }
    })?;
    let (status, retry_after) = (head.status.as_u16(), retry_after(&head.headers));
    Ok(Answer { status, retry_after, body: body.to_bytes() })
}

/// An error with all that is behind it.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        write!(text, ": {error}").expect("a string takes everything");
        next = error.source();
    }
    text
}
