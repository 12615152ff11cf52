//! A stand-in for S3 that swallows: it reads what it is sent, keeps the time and the sizes, and
//! says yes. It is no store to test against (`tests` has one that keeps S3's promises); it costs
//! next to nothing, so that what is measured is the flusher.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::header::{CONTENT_TYPE, ETAG};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use crate::latency::Latencies;

/// The bucket's name is any: all are there.
pub(crate) const BUCKET: &str = "bench";

/// The metadata by which an object names its minute.
const MINUTE: &str = "x-amz-meta-minutelog-minute";

/// What came in.
#[derive(Debug, Default)]
struct Swallowed {
    objects: AtomicU64,
    bytes: AtomicU64,
    uploads: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The minutes of multipart uploads under way, by their ids.
    minutes: HashMap<String, String>,
    /// Of each object, from its minute's end.
    lags: Option<(Duration, Latencies)>,
}

/// A running one. It ends with the process.
#[derive(Debug)]
pub(crate) struct Store {
    address: SocketAddr,
    swallowed: Arc<Swallowed>,
}

impl Store {
    /// Starts on loopback.
    pub(crate) fn start() -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let swallowed = Arc::<Swallowed>::default();
        let state = Arc::clone(&swallowed);
        let serve = move || runtime.block_on(accept(listener, state));
        thread::Builder::new().name("store".to_owned()).spawn(serve).context("a thread")?;
        Ok(Self { address, swallowed })
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many objects were completed.
    pub(crate) fn objects(&self) -> u64 {
        self.swallowed.objects.load(Ordering::SeqCst)
    }

    /// How many bytes came in bodies of objects and parts.
    pub(crate) fn bytes(&self) -> u64 {
        self.swallowed.bytes.load(Ordering::SeqCst)
    }

    /// From now on takes the time of each object from the end of its minute, which has this length.
    pub(crate) fn take_lags(&self, interval: Duration) {
        self.swallowed.state().lags = Some((interval, Latencies::new()));
    }

    /// The times that it took.
    pub(crate) fn lags(&self) -> Latencies {
        self.swallowed.state().lags.take().map_or_else(Latencies::new, |(_, lags)| lags)
    }
}

impl Swallowed {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object is there.
    fn completed(&self, minute: Option<&str>) {
        self.objects.fetch_add(1, Ordering::SeqCst);
        let begun = minute.and_then(|minute| DateTime::parse_from_rfc3339(minute).ok());
        if let (Some((interval, lags)), Some(begun)) = (&mut self.state().lags, begun) {
            let lag = now().signed_duration_since(begun).to_std().unwrap_or_default();
            lags.record(lag.saturating_sub(*interval));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the services' clock is this machine's")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

async fn accept(listener: TcpListener, swallowed: Arc<Swallowed>) {
    // An error of accept is one connection's.
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let swallowed = Arc::clone(&swallowed);
        let service = service_fn(move |request| answer(Arc::clone(&swallowed), request));
        tokio::spawn(async move {
            // A client that goes away is no error of ours.
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

async fn answer(
    swallowed: Arc<Swallowed>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    let method = request.method().clone();
    let minute = minute(request.headers());
    let mut body = request.into_body();
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
    }
    let answer = Response::builder().header(ETAG, "\"d41d8cd98f00b204e9800998ecf8427e\"");
    let xml = match method {
        Method::PUT => {
            swallowed.bytes.fetch_add(bytes, Ordering::SeqCst);
            if !has("partNumber") {
                swallowed.completed(minute.as_deref());
            }
            String::new()
        }
        Method::POST if has("uploads") => {
            let id = format!("upload-{}", swallowed.uploads.fetch_add(1, Ordering::SeqCst));
            swallowed.state().minutes.insert(id.clone(), minute.unwrap_or_default());
            format!(
                "<InitiateMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>k</Key>\
                 <UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
            )
        }
        Method::POST if has("uploadId") => {
            let id = query.split('&').find_map(|pair| pair.strip_prefix("uploadId="));
            let minute = id.and_then(|id| swallowed.state().minutes.remove(id));
            swallowed.completed(minute.as_deref());
            format!(
                "<CompleteMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>k</Key>\
                 <ETag>\"d41d8cd98f00b204e9800998ecf8427e-1\"</ETag></CompleteMultipartUploadResult>"
            )
        }
        Method::GET if has("uploads") => "<ListMultipartUploadsResult>\
             <IsTruncated>false</IsTruncated></ListMultipartUploadsResult>"
            .to_owned(),
        _ => String::new(),
    };
    let answer = answer.header(CONTENT_TYPE, "application/xml").body(Full::from(xml));
    Ok(answer.expect("the headers are right"))
}

fn minute(headers: &HeaderMap) -> Option<String> {
    headers.get(MINUTE).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
