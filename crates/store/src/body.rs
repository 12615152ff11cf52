//! Bodies that come from a file: small ones are read and checked at once, others are streamed and
//! checked on the way.

use std::future::Future as _;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use model::Extents;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::error::{Class, PutError};
use crate::object::Object;
use crate::sealed::SealedBytes;

/// A body that is no longer is read in one visit to a thread that may wait for the disk.
const SMALL_BYTES: usize = 64 * 1024;

/// One read of a longer one, and so what a body holds in memory.
const BUFFER_BYTES: usize = 128 * 1024;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Told by a body that its bytes are not those of the seal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Damage(Arc<AtomicBool>);

impl Damage {
    pub(crate) fn is_found(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn found(&self, why: &'static str) -> BoxError {
        self.0.store(true, Ordering::Release);
        why.into()
    }
}

/// A body of `length` bytes of `object` from `offset` on, which must have the checksum `crc32`.
///
/// The file of a stream is opened when the body is first read, and again for each further try of the
/// SDK.
pub(crate) async fn open(
    object: &Object,
    offset: u64,
    length: u64,
    crc32: u32,
    damage: &Damage,
) -> Result<ByteStream, PutError> {
    let extents = object.extents.within(offset, length);
    let found = {
        let (path, extents) = (object.path.clone(), extents.clone());
        let look = move || look(&path, &extents);
        tokio::task::spawn_blocking(look).await.map_err(io::Error::other)
    };
    match found.flatten().map_err(|error| unreadable(object, &error))? {
        Found::NoFile => return Err(object.damaged("it is no file")),
        Found::Shorter => return Err(object.damaged("the file is shorter")),
        Found::Bytes(bytes) if crc32fast::hash(&bytes) == crc32 => {
            return Ok(ByteStream::from(bytes));
        }
        Found::Bytes(_) => return Err(object.damaged(OTHER_BYTES)),
        Found::Long => {}
    }
    let (path, damage) = (object.path.clone(), damage.clone());
    Ok(ByteStream::new(SdkBody::retryable(move || {
        SdkBody::from_body_1_x(Checked {
            from: Source::Unopened(path.clone(), extents.clone()),
            left: length,
            actual: crc32fast::Hasher::new(),
            expected: crc32,
            damage: damage.clone(),
        })
    })))
}

/// What there is at the path of an object.
enum Found {
    NoFile,
    Shorter,
    /// More than is read at once.
    Long,
    Bytes(Vec<u8>),
}

fn look(path: &Path, extents: &Extents) -> io::Result<Found> {
    let metadata = path.symlink_metadata()?;
    if !metadata.is_file() {
        return Ok(Found::NoFile);
    }
    if metadata.len() < extents.end() {
        return Ok(Found::Shorter);
    }
    let small = usize::try_from(extents.length()).ok().filter(|length| *length <= SMALL_BYTES);
    let Some(small) = small else { return Ok(Found::Long) };
    let mut bytes = vec![0; small];
    SealedBytes::open(path, extents)?.read_exact(&mut bytes)?;
    Ok(Found::Bytes(bytes))
}

const OTHER_BYTES: &str = "the bytes on disk do not match the checksum of the seal";

/// What it means that the file cannot be read: gone is damage, all else may pass.
pub(crate) fn unreadable(object: &Object, error: &io::Error) -> PutError {
    use io::ErrorKind::{InvalidData, NotADirectory, NotFound, UnexpectedEof};
    if matches!(error.kind(), NotFound | NotADirectory | UnexpectedEof | InvalidData) {
        return object.damaged(&error.to_string());
    }
    let message = format!("object {}: {}: {error}", object.key, object.path.display());
    PutError::NotStored { class: Class::Retry, message }
}

/// A body that ends in an error, and one piece early, unless all of it has the right checksum.
struct Checked {
    from: Source,
    left: u64,
    actual: crc32fast::Hasher,
    expected: u32,
    damage: Damage,
}

/// Where the next bytes come from.
enum Source {
    Unopened(PathBuf, Extents),
    Open(SealedBytes),
    /// They are being read, on a thread that may wait for the disk.
    Reading(JoinHandle<io::Result<(SealedBytes, Bytes)>>),
    Nowhere,
}

impl Source {
    /// Reads on; no bytes are the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        loop {
            *self = match std::mem::replace(self, Self::Nowhere) {
                Self::Unopened(path, extents) => Self::Reading(spawn_blocking(move || {
                    read_on(SealedBytes::open(&path, &extents)?)
                })),
                Self::Open(bytes) => Self::Reading(spawn_blocking(move || read_on(bytes))),
                Self::Reading(mut reading) => match Pin::new(&mut reading).poll(cx) {
                    Poll::Pending => {
                        *self = Self::Reading(reading);
                        return Poll::Pending;
                    }
                    Poll::Ready(read) => {
                        let (rest, bytes) = read.map_err(io::Error::other).flatten()?;
                        *self = Self::Open(rest);
                        return Poll::Ready(Ok(bytes));
                    }
                },
                Self::Nowhere => {
                    let error = io::Error::other("it was read on after an error");
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

fn read_on(mut bytes: SealedBytes) -> io::Result<(SealedBytes, Bytes)> {
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    (&mut bytes).take(BUFFER_BYTES as u64).read_to_end(&mut buffer)?;
    Ok((bytes, buffer.into()))
}

impl Checked {
    fn pass(&mut self, data: &Bytes) -> Result<(), BoxError> {
        let bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
        self.left =
            self.left.checked_sub(bytes).ok_or("the file gave more bytes than asked for")?;
        self.actual.update(data);
        // S2: without its last piece a request is incomplete, and S3 stores nothing of it.
        if self.left == 0 && self.actual.clone().finalize() != self.expected {
            return Err(self.damage.found(OTHER_BYTES));
        }
        Ok(())
    }
}

impl Body for Checked {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let frame = match ready!(self.from.poll_read(cx)) {
            Ok(bytes) if bytes.is_empty() => {
                Err(self.damage.found("the file on disk is shorter than the seal says"))
            }
            Ok(bytes) => self.pass(&bytes).map(|()| Frame::data(bytes)),
            Err(error) => Err(error.into()),
        };
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tests::sample;
    use aws_sdk_s3::primitives::AggregatedBytes;
    use model::Extent;

    async fn read(object: &Object, crc32: u32) -> (Result<Vec<u8>, ()>, bool) {
        let damage = Damage::default();
        let body = open(object, 0, object.length, crc32, &damage).await.unwrap();
        let bytes = body.collect().await.map(AggregatedBytes::to_vec).map_err(|_| ());
        (bytes, damage.is_found())
    }

    #[tokio::test]
    async fn s2_a_body_with_a_wrong_checksum_does_not_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("segments");
        let bytes: Vec<u8> = (0..=252_u8).cycle().take(200_000).collect();
        let (first, second) = bytes.split_at(70_000);
        let file = [second, b"other", first].concat();
        std::fs::write(&path, &file).unwrap();
        let mut two = Extents::one(130_005, 70_000);
        two.push(Extent { offset: 0, length: 130_000 });
        let crc32 = crc32fast::hash(&bytes);
        let object = Object { path: path.clone(), extents: two, ..sample(200_000, vec![crc32]) };
        assert_eq!(read(&object, crc32).await, (Ok(bytes.clone()), false));
        assert_eq!(read(&object, crc32 ^ 1).await, (Err(()), true));

        let mut flipped = file;
        flipped[5] ^= 1;
        std::fs::write(&path, flipped).unwrap();
        assert_eq!(read(&object, crc32).await, (Err(()), true));
    }

    #[tokio::test]
    async fn a_file_that_is_short_or_gone_is_damage() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("segments");
        let object = Object { path: path.clone(), ..sample(3, vec![0]) };
        let class = async || open(&object, 0, 3, 0, &Damage::default()).await.unwrap_err().class();
        assert_eq!(class().await, Class::Damaged);
        std::fs::write(&path, b"ab").unwrap();
        assert_eq!(class().await, Class::Damaged);
    }

    #[tokio::test]
    async fn s2_a_small_body_is_checked_before_it_is_sent() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("segments");
        std::fs::write(&path, b"other bytes").unwrap();
        let crc32 = crc32fast::hash(b"bytes");
        let object =
            Object { path: path.clone(), extents: Extents::one(6, 5), ..sample(5, vec![crc32]) };
        assert_eq!(read(&object, crc32).await, (Ok(b"bytes".to_vec()), false));
        let refused = open(&object, 0, 5, crc32 ^ 1, &Damage::default()).await.unwrap_err();
        assert_eq!(refused.class(), Class::Damaged);
    }
}
