//! Bodies that come from a file: small ones are read and checked at once, others are streamed and
//! checked on the way.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use aws_sdk_s3::primitives::{ByteStream, Length, SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::error::{Class, PutError};
use crate::object::Object;

/// One read from the file, and so what a body holds in memory. One that is no longer costs one visit
/// to a thread that may wait for the disk; a stream costs five.
const BUFFER_BYTES: usize = 64 * 1024;

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
    let start = object.offset.saturating_add(offset);
    let small = usize::try_from(length).ok().filter(|length| *length <= BUFFER_BYTES);
    let found = {
        let path = object.path.clone();
        let look = move || look(&path, start, length, small);
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
    let stream = ByteStream::read_from()
        .path(&object.path)
        .offset(start)
        .length(Length::Exact(length))
        .buffer_size(BUFFER_BYTES)
        .build()
        .await
        .map_err(|error| unreadable(object, &io::Error::other(error)))?;
    let damage = damage.clone();
    Ok(ByteStream::new(stream.into_inner().map(move |inner| {
        SdkBody::from_body_1_x(Checked {
            inner,
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

fn look(path: &Path, start: u64, length: u64, small: Option<usize>) -> io::Result<Found> {
    let metadata = path.symlink_metadata()?;
    if !metadata.is_file() {
        return Ok(Found::NoFile);
    }
    if metadata.len() < start.saturating_add(length) {
        return Ok(Found::Shorter);
    }
    let Some(small) = small else { return Ok(Found::Long) };
    let mut bytes = vec![0; small];
    File::open(path)?.read_exact_at(&mut bytes, start)?;
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
    inner: SdkBody,
    left: u64,
    actual: crc32fast::Hasher,
    expected: u32,
    damage: Damage,
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
        let frame = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            None => Err(self.damage.found("the file on disk is shorter than the seal says")),
            Some(Err(error)) => Err(error),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => self.pass(&data).map(|()| Frame::data(data)),
                Err(_) => Err("the file gave something else than bytes".into()),
            },
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
        std::fs::write(&path, [b"other", &*bytes].concat()).unwrap();
        let crc32 = crc32fast::hash(&bytes);
        let object = Object { path: path.clone(), offset: 5, ..sample(200_000, vec![crc32]) };
        assert_eq!(read(&object, crc32).await, (Ok(bytes.clone()), false));
        assert_eq!(read(&object, crc32 ^ 1).await, (Err(()), true));

        let mut flipped = [b"other", &*bytes].concat();
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
        let object = Object { path: path.clone(), offset: 6, ..sample(5, vec![crc32]) };
        assert_eq!(read(&object, crc32).await, (Ok(b"bytes".to_vec()), false));
        let refused = open(&object, 0, 5, crc32 ^ 1, &Damage::default()).await.unwrap_err();
        assert_eq!(refused.class(), Class::Damaged);
    }
}
