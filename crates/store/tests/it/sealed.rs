//! Sealed objects in a file of their own.

use std::path::Path;

use model::{Destination, Digest, Extents, Identifier, Interval, Minute, ObjectKey, UnixMillis};
use store::{BLOCK_BYTES, MULTIPART_ABOVE_BYTES, Object};
use tempfile::TempDir;

/// What lies in the file before the object's bytes.
const BEFORE: &[u8] = b"the object before";

/// An object, its bytes, and the directory of the file that holds them.
pub(crate) struct Sealed {
    pub(crate) object: Object,
    pub(crate) bytes: Vec<u8>,
    directory: TempDir,
}

/// Seals `bytes` under a key made of `nonce`.
pub(crate) fn seal(bucket: &str, prefix: &str, bytes: Vec<u8>, nonce: u8) -> Sealed {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("segments");
    std::fs::write(&path, [BEFORE, &bytes, b"the object after"].concat()).unwrap();
    let destination = Destination::parse(bucket, prefix).unwrap();
    let lines_digest = Digest::of(&bytes);
    let identifier = Identifier::derive(&destination, &lines_digest, &[nonce; 32]);
    let time = UnixMillis::from_seconds(1_558_800_898);
    let block = usize::try_from(BLOCK_BYTES).unwrap();
    let (before, length) =
        (u64::try_from(BEFORE.len()).unwrap(), u64::try_from(bytes.len()).unwrap());
    let object = Object {
        key: ObjectKey::new(destination.prefix(), time, &identifier),
        minute: Minute::containing(time, Interval::default()),
        destination,
        events: 30,
        lines_digest,
        length,
        crc32: crc32fast::hash(&bytes),
        block_crc32: bytes.chunks(block).map(crc32fast::hash).collect(),
        path,
        extents: Extents::one(before, length),
    };
    Sealed { object, bytes, directory }
}

impl Sealed {
    /// An object that goes by `PutObject`.
    pub(crate) fn small(nonce: u8) -> Self {
        seal("my-bucket", "test", b"not really gzip".repeat(10_000), nonce)
    }

    /// An object that goes by multipart, in three parts.
    pub(crate) fn large(nonce: u8) -> Self {
        let length = usize::try_from(MULTIPART_ABOVE_BYTES).unwrap() + 4 * 1024 * 1024 + 7;
        seal("my-bucket", "test", (0..=250_u8).cycle().take(length).collect(), nonce)
    }

    /// Flips one bit of the object's bytes on disk.
    pub(crate) fn flip(&self, position: usize) {
        let mut all = std::fs::read(&self.object.path).unwrap();
        all[BEFORE.len() + position] ^= 1;
        std::fs::write(&self.object.path, all).unwrap();
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}
