//! A server that speaks S3's protocol, on loopback, within the test's process.
//!
//! Three layers: a front on hyper that records each request and breaks things by script
//! ([`Rule`]); `s3s`, which reads the protocol and checks the signatures; and a store in memory
//! that keeps S3's promises to the letter (`memory`). Under the front lies a wire that can be slow
//! and be cut.

mod body;
mod fault;
mod front;
mod memory;
mod snapshot;
mod tamper;
mod wire;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

pub(crate) use self::body::crc32;
use self::fault::Script;
pub use self::fault::{Fault, Rule, RuleId};
pub(crate) use self::memory::Stored;
use self::memory::{Contents, Memory};
pub use self::snapshot::Snapshot;

/// The keys that the server takes.
pub(crate) const ACCESS_KEY: &str = "access";
pub(crate) const SECRET_KEY: &str = "a-secret-that-no-log-shows";

/// A second pair: for credentials that are renewed.
pub(crate) const RENEWED_ACCESS_KEY: &str = "renewed";

/// A request as the front saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// S3's name of the operation.
    pub call: &'static str,
    /// The bucket; empty where the path has none.
    pub bucket: String,
    /// The key; empty where the path has none.
    pub key: String,
    /// The headers.
    pub headers: HeaderMap,
}

impl Seen {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    script: Script,
    contents: Arc<Mutex<Contents>>,
}

/// A running server. It has the buckets that it was given and no others.
#[derive(Debug)]
pub struct S3Server {
    address: SocketAddr,
    contents: Arc<Mutex<Contents>>,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl S3Server {
    /// Starts a server with these buckets.
    pub fn start(buckets: &[&str]) -> Self {
        let memory = Memory::default();
        let contents = Arc::clone(&memory.0);
        let mut builder = S3ServiceBuilder::new(memory);
        let mut keys = SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY);
        keys.register(RENEWED_ACCESS_KEY.to_owned(), SECRET_KEY.into());
        builder.set_auth(keys);
        let service = builder.build();
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("the machine has threads");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared { contents: Arc::clone(&contents), ..Shared::default() });
        runtime.spawn(front::serve(listener, service, Arc::clone(&shared)));
        let this = Self { address, contents, shared, runtime: Some(runtime) };
        for bucket in buckets {
            this.create_bucket(bucket);
        }
        this
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes a bucket.
    pub fn create_bucket(&self, name: &str) {
        lock(&self.contents).buckets.entry(name.to_owned()).or_default();
    }

    /// Breaks things by a rule, from now on.
    pub fn add(&self, rule: Rule) -> RuleId {
        self.shared.script.add(rule)
    }

    /// Ends a rule. Requests that it holds are dropped with their connections.
    pub fn mend(&self, rule: RuleId) {
        self.shared.script.remove(rule);
    }

    /// How many requests a rule has met.
    pub fn hits(&self, rule: RuleId) -> u32 {
        self.shared.script.hits(rule)
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// The requests so far of one operation.
    pub fn calls(&self, call: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.call == call).collect()
    }

    /// How many multipart uploads were begun and neither completed nor aborted.
    pub fn unfinished_uploads(&self) -> usize {
        lock(&self.contents).uploads.len()
    }

    /// The bytes of all objects, by key.
    pub fn bytes(&self) -> Vec<(String, Arc<Vec<u8>>)> {
        self.stored().into_iter().map(|stored| (stored.key, stored.bytes)).collect()
    }

    /// A credentials file of AWS's form, with the first pair of keys or the one that renews it.
    pub fn credentials_file(renewed: bool) -> String {
        let id = if renewed { RENEWED_ACCESS_KEY } else { ACCESS_KEY };
        format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {SECRET_KEY}\n")
    }

    /// From now on it is one of the stores that take no notice of S3's checksums and show none.
    /// `Content-MD5` they all know.
    pub fn ignore_checksums(&self) {
        lock(&self.contents).manner.ignores_checksums = true;
    }

    /// Moves everything away that [`Fault::Foreign`] has put there; how many objects it was.
    pub fn move_foreign_away(&self) -> usize {
        let mut contents = lock(&self.contents);
        let buckets = contents.buckets.values_mut();
        buckets.map(|objects| objects.extract_if(.., |_, object| object.is_foreign()).count()).sum()
    }

    /// How many objects of ours a bucket has.
    pub fn objects_of(&self, bucket: &str) -> usize {
        let contents = lock(&self.contents);
        let objects = contents.buckets.get(bucket).into_iter().flatten();
        objects.filter(|(_, object)| !object.is_foreign()).count()
    }

    /// Everything that is stored.
    ///
    /// Nothing of ours is ever written over: had it happened, it is found here.
    pub(crate) fn stored(&self) -> Vec<Stored> {
        let contents = lock(&self.contents);
        assert!(contents.overwritten.is_empty(), "written over: {:?}", contents.overwritten);
        contents.buckets.values().flat_map(|objects| objects.values().cloned()).collect()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
