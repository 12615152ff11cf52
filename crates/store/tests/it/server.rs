//! An S3 server on loopback (s3s-fs), behind a front that records each request and, by script,
//! answers in the server's place, loses its answer, or never answers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use model::Bucket;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use store::{BucketConfig, Limits, Object, S3Config, S3Store, StaticCredentials};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const ACCESS_KEY: &str = "access";
const SECRET_KEY: &str = "a-secret-that-no-message-shows";

/// What the front does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Answers in the server's place.
    Answer(u16, &'static str, String),
    /// Lets the server do it, then breaks the connection.
    LoseAnswer,
    /// Takes the request and is silent.
    Silence,
}

/// A request as the front saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) call: &'static str,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn upload_id(&self) -> Option<String> {
        let query = self.uri.query().unwrap_or_default();
        query.split('&').find_map(|pair| pair.strip_prefix("uploadId=")).map(str::to_owned)
    }
}

#[derive(Debug, Default)]
struct State {
    seen: Vec<Seen>,
    script: VecDeque<(&'static str, Act)>,
}

/// A running server; dropping it stops it.
pub(crate) struct Server {
    root: TempDir,
    address: String,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        let files = s3s_fs::FileSystem::new(root.path()).unwrap();
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = builder.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::<Mutex<State>>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, service, Arc::clone(&state)));
        Self { root, address, state, _tasks: tasks }
    }

    /// Has the front do `act` with the next request of this kind that no earlier act is meant for.
    pub(crate) fn script(&self, call: &'static str, act: Act) {
        self.state.lock().unwrap().script.push_back((call, act));
    }

    /// An error in S3's form.
    pub(crate) fn refuse(&self, call: &'static str, status: u16, code: &str) {
        let body = format!("<Error><Code>{code}</Code><Message>by script</Message></Error>");
        self.script(call, Act::Answer(status, "x-amz-request-id: 1", body));
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    /// The names of the requests so far.
    pub(crate) fn calls(&self) -> Vec<&'static str> {
        self.seen().iter().map(|seen| seen.call).collect()
    }

    /// The bytes that stand under an object's key.
    pub(crate) fn read(&self, object: &Object) -> Option<Vec<u8>> {
        let bucket = self.root.path().join(object.destination.bucket().as_str());
        std::fs::read(bucket.join(object.key.as_str())).ok()
    }

    /// How many unfinished uploads the server has.
    pub(crate) fn unfinished_uploads(&self) -> usize {
        let entries = std::fs::read_dir(self.root.path()).unwrap();
        entries
            .filter(|entry| {
                entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".upload-")
            })
            .count()
    }

    pub(crate) fn config(&self) -> S3Config {
        S3Config {
            region: Some("us-east-1".into()),
            endpoint: Some(self.address.clone()),
            path_style: true,
            limits: Limits { base: std::time::Duration::from_secs(20), ..Limits::default() },
            credentials: Some(StaticCredentials {
                access_key_id: ACCESS_KEY.into(),
                secret_access_key: SECRET_KEY.into(),
            }),
            ..S3Config::default()
        }
    }

    pub(crate) async fn store(&self) -> S3Store {
        S3Store::connect(self.config(), Vec::new()).await.unwrap()
    }
}

pub(crate) fn bucket() -> BucketConfig {
    BucketConfig::new(Bucket::new("my-bucket").unwrap())
}

async fn accept(listener: TcpListener, service: S3Service, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let (service, state) = (service.clone(), Arc::clone(&state));
        connections.spawn(async move {
            let front =
                service_fn(move |request| front(service.clone(), Arc::clone(&state), request));
            let http = Builder::new(TokioExecutor::new());
            // A connection that ends in an error is what half of the tests are about.
            drop(http.serve_connection(TokioIo::new(socket), front).await);
        });
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

async fn front(
    service: S3Service,
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<s3s::Body>, BoxError> {
    let call = call(&request);
    let act = {
        let mut state = state.lock().unwrap();
        let (uri, headers) = (request.uri().clone(), request.headers().clone());
        state.seen.push(Seen { call, uri, headers });
        let position = state.script.iter().position(|(meant, _)| *meant == call);
        position.and_then(|position| state.script.remove(position)).map(|(_, act)| act)
    };
    match act {
        None => Ok(service.call(whole(request).await?).await?),
        Some(Act::Answer(status, header, body)) => {
            request.into_body().collect().await?;
            let (name, value) = header.split_once(": ").unwrap();
            let response = Response::builder().status(status).header(name, value);
            Ok(response.body(s3s::Body::from(body)).unwrap())
        }
        Some(Act::LoseAnswer) => {
            service.call(whole(request).await?).await?.into_body().collect().await?;
            Err("lost by script".into())
        }
        Some(Act::Silence) => {
            request.into_body().collect().await?;
            std::future::pending().await
        }
    }
}

/// Reads a request to its end, so that no answer comes while the client is still sending: it would
/// depend on timing whether the client sees the answer or a broken connection.
async fn whole(request: Request<Incoming>) -> Result<Request<s3s::Body>, BoxError> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Request::from_parts(head, s3s::Body::from(body)))
}

fn call(request: &Request<Incoming>) -> &'static str {
    let query = request.uri().query().unwrap_or_default();
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    match *request.method() {
        Method::HEAD => "HeadObject",
        Method::GET if has("location") => "GetBucketLocation",
        Method::DELETE if has("uploadId") => "AbortMultipartUpload",
        Method::DELETE => "DeleteObject",
        Method::GET if has("uploads") => "ListMultipartUploads",
        Method::GET => "GetObject",
        Method::POST if has("uploads") => "CreateMultipartUpload",
        Method::POST => "CompleteMultipartUpload",
        Method::PUT if has("partNumber") => "UploadPart",
        Method::PUT => "PutObject",
        _ => "other",
    }
}
