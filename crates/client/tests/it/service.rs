//! A service of which the test says what it answers. Without a script it accepts everything.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use minutelog_client::{Builder, Client, EventId};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot, watch};

/// What the next request gets.
pub(crate) enum Reply {
    /// An id for each event.
    Accept,
    /// A problem of the service.
    Problem(u16, &'static str),
    /// The same, of the event with this place.
    Of(usize, u16, &'static str, &'static str),
    /// The same, with `Retry-After` in seconds.
    Later(u16, &'static str, &'static str),
    /// A refusal of the first event with such a payload; without one it is accepted.
    RefuseIf(fn(&Value) -> bool, u16, &'static str),
    /// An answer of something else.
    Page(u16, String),
    /// The connection ends without an answer.
    Lost,
    /// No answer ever comes.
    Silent,
    /// Accepted when it is told to.
    Hold(oneshot::Receiver<()>),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn key(&self) -> Option<&str> {
        self.header("idempotency-key")
    }

    /// The payloads of a request of JSON.
    pub(crate) fn payloads(&self) -> Vec<Value> {
        let events: Vec<Value> = serde_json::from_str(&self.body).unwrap();
        events.into_iter().map(|event| event["payload"].clone()).collect()
    }
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    script: Mutex<VecDeque<Reply>>,
    arrived: Notify,
    connections: Mutex<usize>,
}

pub(crate) struct Service {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Ends the service and its connections when it is dropped.
    _stop: watch::Sender<()>,
}

impl Service {
    pub(crate) async fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap()).await
    }

    pub(crate) async fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let (stop, mut stopped) = watch::channel(());
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            loop {
                let stream = tokio::select! {
                    _ = stopped.changed() => return,
                    accepted = listener.accept() => accepted.unwrap().0,
                };
                *lock(&serving.connections) += 1;
                let (shared, mut stopped) = (Arc::clone(&serving), stopped.clone());
                tokio::spawn(async move {
                    let answer = service_fn(|request| answer(Arc::clone(&shared), request));
                    tokio::select! {
                        _ = stopped.changed() => {}
                        // A connection that breaks off is what a script asks for.
                        _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer) => {}
                    }
                });
            }
        });
        Self { address, shared, _stop: stop }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn client(&self) -> Client {
        self.builder().build().unwrap()
    }

    pub(crate) fn builder(&self) -> Builder {
        Client::builder(format!("http://{}", self.address))
    }

    /// What the next requests get, one after the other.
    pub(crate) fn next(&self, replies: impl IntoIterator<Item = Reply>) {
        lock(&self.shared.script).extend(replies);
    }

    /// The next request is held; it is accepted when what this gives is told, or dropped.
    pub(crate) fn hold(&self) -> oneshot::Sender<()> {
        let (release, held) = oneshot::channel();
        self.next([Reply::Hold(held)]);
        release
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// The payloads of each request.
    pub(crate) fn payloads(&self) -> Vec<Vec<Value>> {
        self.seen().iter().map(Seen::payloads).collect()
    }

    pub(crate) fn connections(&self) -> usize {
        *lock(&self.shared.connections)
    }

    /// Waits until so many requests have come.
    pub(crate) async fn arrived(&self, count: usize) {
        loop {
            let arrived = self.shared.arrived.notified();
            if lock(&self.shared.seen).len() >= count {
                return;
            }
            arrived.await;
        }
    }

    /// All requests were the same one, under the same key.
    pub(crate) fn assert_repeated(&self, count: usize) {
        let seen = self.seen();
        assert_eq!(seen.len(), count);
        assert!(seen[0].key().is_some());
        for other in &seen {
            assert_eq!((other.key(), &other.body), (seen[0].key(), &seen[0].body));
        }
    }
}

/// The id of the event with this number as its payload.
pub(crate) fn id_of(payload: u64) -> EventId {
    ulid::Ulid::from(u128::from(payload)).to_string().parse().unwrap()
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, &'static str> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| "broken off")?.to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let target = head.uri.to_string();
    let seen = Seen { target, headers: head.headers, body };
    lock(&shared.seen).push(seen.clone());
    let reply = lock(&shared.script).pop_front().unwrap_or(Reply::Accept);
    shared.arrived.notify_waiters();
    match reply {
        Reply::Accept => Ok(accept(&seen)),
        Reply::Problem(status, slug) => Ok(problem(status, slug, &json!({}), None)),
        Reply::Of(place, status, slug, field) => {
            let more = json!({"field": format!("[{place}].{field}")});
            Ok(problem(status, slug, &more, None))
        }
        Reply::Later(status, slug, wait) => Ok(problem(status, slug, &json!({}), Some(wait))),
        Reply::RefuseIf(is_bad, status, slug) => {
            let events: Vec<Value> = serde_json::from_str(&seen.body).unwrap();
            Ok(events.iter().position(is_bad).map_or_else(
                || accept(&seen),
                |place| problem(status, slug, &json!({"field": format!("[{place}]")}), None),
            ))
        }
        Reply::Page(status, text) => {
            Ok(Response::builder().status(status).body(Full::from(text)).unwrap())
        }
        Reply::Lost => Err("lost"),
        Reply::Silent => std::future::pending::<Result<_, Infallible>>().await.map_err(|_| ""),
        Reply::Hold(held) => {
            drop(held.await);
            Ok(accept(&seen))
        }
    }
}

fn accept(seen: &Seen) -> Response<Full<Bytes>> {
    let document = if seen.target.starts_with("/v1/s3/") {
        let count = u64::try_from(seen.body.matches('\n').count()).unwrap();
        json!({"accepted": count, "first": id_of(1), "last": id_of(count)})
    } else {
        let ids = seen.payloads();
        let ids: Vec<EventId> =
            ids.iter().map(|payload| id_of(payload.as_u64().unwrap_or(0))).collect();
        json!({"accepted": ids.len(), "ids": ids})
    };
    Response::new(Full::from(document.to_string()))
}

fn problem(
    status: u16,
    slug: &str,
    more: &Value,
    retry_after: Option<&str>,
) -> Response<Full<Bytes>> {
    let mut document = json!({
        "type": format!("urn:minutelog:problem:{slug}"), "title": format!("title of {slug}"),
        "status": status, "detail": format!("detail of {slug}"),
    });
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut response = Response::builder().status(status);
    if let Some(wait) = retry_after {
        response = response.header("retry-after", wait);
    }
    response.body(Full::from(document.to_string())).unwrap()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}
