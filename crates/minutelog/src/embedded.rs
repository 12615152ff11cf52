//! The embedded S3-compatible server of `demo` and `dev`: s3s on a directory, on loopback only.
//!
//! Writing needs the keys; reading doesn't, so that `curl` and `aws --no-sign-request` can look.
//! A bucket comes into being when something is first put into it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use model::Bucket;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::path::S3Path;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Result, s3_error};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::commands::token::random_hex;
use crate::failure::{Code, Failure};

/// The region that the server plays.
pub(crate) const REGION: &str = "us-east-1";

/// How long requests under way may take once the server is asked to stop.
const PATIENCE: Duration = Duration::from_secs(2);

/// What anybody may do.
const READING: [&str; 7] = [
    "GetObject",
    "HeadObject",
    "ListObjects",
    "ListObjectsV2",
    "ListBuckets",
    "HeadBucket",
    "GetBucketLocation",
];

/// What a file system takes as a name, in bytes: the server keeps an object in a file, and each segment
/// of its key is a name.
const MAX_NAME_BYTES: usize = 255;

/// What makes a bucket that is not there.
const PUTTING: [&str; 2] = ["PutObject", "CreateMultipartUpload"];

/// The keys that writing needs.
pub(crate) struct Keys {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
}

impl Keys {
    /// New keys, for the life of one server.
    pub(crate) fn random() -> Result<Self, Failure> {
        let access_key_id = format!("MINUTELOG{}", random_hex::<6>()?.to_uppercase());
        Ok(Self { access_key_id, secret_access_key: random_hex::<20>()? })
    }
}

/// A server that runs until it is stopped or dropped.
pub(crate) struct Server {
    address: SocketAddr,
    keys: Keys,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves the directory `root` on `listener`. Must be called within a tokio runtime.
    pub(crate) fn start(
        root: &Path,
        buckets: &[&Bucket],
        listener: std::net::TcpListener,
    ) -> Result<Self, Failure> {
        let listener =
            listen(listener).map_err(|error| Failure::io("S3 listener", &error, "try again"))?;
        for bucket in buckets {
            fs::create_dir_all(root.join(bucket.as_str()))
                .map_err(|error| in_root(root, &error))?;
        }
        let files = FileSystem::new(root).map_err(|error| {
            let what = format!("S3 directory {}: {error:?}: choose another one", root.display());
            Failure::new(Code::Io, what)
        })?;
        let keys = Keys::random()?;
        let mut builder = S3ServiceBuilder::new(files);
        let secret = keys.secret_access_key.clone();
        builder.set_auth(SimpleAuth::from_single(keys.access_key_id.clone(), secret));
        builder.set_access(Access { root: root.to_owned() });
        let stop = CancellationToken::new();
        let (listener, address) = listener;
        let task = tokio::spawn(serve(listener, builder.build(), stop.clone()));
        Ok(Self { address, keys, stop, task })
    }

    /// Its address, as a URL without a slash at its end.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The keys that writing needs.
    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Lets requests under way end, for a moment, and stops.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.task).await {
            tracing::warn!(%error, "the embedded S3 server ended badly");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn listen(listener: std::net::TcpListener) -> std::io::Result<(TcpListener, SocketAddr)> {
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    assert!(address.ip().is_loopback(), "the embedded server is for loopback only");
    Ok((TcpListener::from_std(listener)?, address))
}

async fn serve(listener: TcpListener, service: S3Service, stop: CancellationToken) {
    let http = Builder::new(TokioExecutor::new());
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((socket, _)) => {
                let connection = http.serve_connection(TokioIo::new(socket), service.clone());
                let connection = graceful.watch(connection.into_owned());
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "a connection to the embedded S3 server ended");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the embedded S3 server cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(PATIENCE) => {}
    }
}

/// Who may do what.
struct Access {
    root: PathBuf,
}

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let operation = context.s3_op().name();
        if context.credentials().is_none() {
            let allowed = READING.contains(&operation);
            return if allowed {
                Ok(())
            } else {
                Err(s3_error!(AccessDenied, "writing needs keys"))
            };
        }
        if let S3Path::Object { bucket, key } = context.s3_path()
            && PUTTING.contains(&operation)
            && Bucket::new(bucket).is_ok()
        {
            if key.split('/').any(|segment| segment.len() > MAX_NAME_BYTES) {
                return Err(s3_error!(
                    KeyTooLongError,
                    "the embedded server takes no more than {MAX_NAME_BYTES} bytes between two slashes of a key"
                ));
            }
            if operation == "CreateMultipartUpload"
                && upload_name_bytes(bucket, key) > MAX_NAME_BYTES
            {
                return Err(s3_error!(
                    KeyTooLongError,
                    "the embedded server takes no large objects under a key that is so long"
                ));
            }
            let directory = self.root.join(&**bucket);
            tokio::fs::create_dir_all(directory)
                .await
                .map_err(|error| s3_error!(error, InternalError))?;
        }
        Ok(())
    }
}

/// How long the name is, in bytes, under which s3s-fs keeps the metadata of a multipart upload (its
/// `get_metadata_path`): bucket and key are in base64, without padding.
fn upload_name_bytes(bucket: &str, key: &str) -> usize {
    const UUID_BYTES: usize = 36;
    let base64_bytes = |text: &str| (text.len() * 4).div_ceil(3);
    ".bucket-.object-.upload-.metadata.json".len()
        + UUID_BYTES
        + base64_bytes(bucket)
        + base64_bytes(key)
}

fn in_root(root: &Path, error: &std::io::Error) -> Failure {
    let what = format!("S3 directory {}", root.display());
    Failure::io(&what, error, "choose another one with --data-dir")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_upload_is_as_long_as_its_server_makes_it() {
        // `.bucket-YWJj.object-YS9i.upload-e6f5e2b1-3c3f-4a39-9d3c-0b4e5d1f7a20.metadata.json`
        assert_eq!(upload_name_bytes("abc", "a/b"), 82);
        assert_eq!(upload_name_bytes("my-bucket", &"k".repeat(126)), 254);
        assert_eq!(upload_name_bytes("my-bucket", &"k".repeat(127)), 256);
    }

    #[tokio::test]
    async fn anybody_reads_and_nobody_writes_without_keys() {
        let dir = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let bucket = Bucket::new("abc").unwrap();
        let server = Server::start(dir.path(), &[&bucket], listener).unwrap();
        fs::write(dir.path().join("abc/key"), "text").unwrap();
        let client = reqwest::Client::new();

        let object = format!("{}/abc/key", server.url());
        let answer = client.get(&object).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "text");
        for (request, path) in [
            (client.put(&object).body("other"), "abc/key"),
            (client.delete(&object), "abc/key"),
            (client.put(format!("{}/new-bucket", server.url())), "abc/key"),
        ] {
            assert_eq!(request.send().await.unwrap().status(), 403);
            assert_eq!(fs::read_to_string(dir.path().join(path)).unwrap(), "text");
        }
        assert!(!dir.path().join("new-bucket").exists());
        server.stop().await;
        assert!(client.get(&object).send().await.is_err());
    }
}
