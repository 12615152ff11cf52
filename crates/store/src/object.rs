//! What is put, and what is known once it is there.

use std::path::PathBuf;

use aws_smithy_types::base64;
use model::{Destination, Digest, Extents, Minute, ObjectKey};

use crate::error::{Class, PutError};
use crate::parts::combined_crc32;

/// The seal computes one CRC-32 for each block of this many bytes of an object, so that the
/// checksum of any part of a multipart upload is known without reading it.
pub const BLOCK_BYTES: u64 = 8 * 1024 * 1024;

/// Objects with more bytes than this go by multipart upload, all others by one `PutObject`.
pub const MULTIPART_ABOVE_BYTES: u64 = 16 * 1024 * 1024;

/// A sealed object: its bytes lie in a file, everything else the seal knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The bucket, and the prefix that the key begins with.
    pub destination: Destination,
    /// The name of the object. No other object ever has it.
    pub key: ObjectKey,
    /// The minute in which its events were accepted.
    pub minute: Minute,
    /// How many events it holds.
    pub events: u64,
    /// BLAKE3 of the uncompressed lines.
    pub lines_digest: Digest,
    /// Bytes of the object.
    pub length: u64,
    /// CRC-32 (as in gzip and zip) of the object's bytes.
    pub crc32: u32,
    /// CRC-32 of each block of [`BLOCK_BYTES`] of the object's bytes; the last one may be shorter.
    pub block_crc32: Vec<u32>,
    /// The file that holds the bytes.
    pub path: PathBuf,
    /// Where in the file they lie.
    pub extents: Extents,
}

impl Object {
    /// Refuses an object whose length, blocks and checksums contradict each other.
    pub(crate) fn check(&self) -> Result<(), PutError> {
        let blocks = self.length.div_ceil(BLOCK_BYTES);
        let known = u64::try_from(self.block_crc32.len()).unwrap_or(u64::MAX);
        // S1: a wrong checksum would have S3 refuse good bytes, or take damaged ones for good.
        if self.length == 0
            || self.extents.length() != self.length
            || blocks != known
            || combined_crc32(&self.block_crc32, self.length) != self.crc32
        {
            return Err(self.damaged("its length, blocks and checksums contradict each other"));
        }
        Ok(())
    }

    /// The CRC-32 in S3's own form: base64 of the four bytes, the highest first.
    pub(crate) fn crc32_base64(&self) -> String {
        crc32_base64(self.crc32)
    }

    pub(crate) fn confirmed(&self, etag: Option<String>, proof: Proof) -> Confirmation {
        Confirmation { etag, checksum: format!("crc32:{}", self.crc32_base64()), proof }
    }

    pub(crate) fn damaged(&self, what: &str) -> PutError {
        let (path, length) = (self.path.display(), self.length);
        let offset = self.extents.iter().next().map_or(0, |extent| extent.offset);
        PutError::NotStored {
            class: Class::Damaged,
            message: format!(
                "object {}: {length} bytes at {offset} of {path}: {what}: run `minutelog admin verify`",
                self.key
            ),
        }
    }
}

pub(crate) fn crc32_base64(crc32: u32) -> String {
    base64::encode(crc32.to_be_bytes())
}

/// What is known of an object that S3 holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// S3's `ETag`, with its quotes. `None` where the object was there already and S3 doesn't show
    /// it to us.
    pub etag: Option<String>,
    /// The checksum that the object has, `crc32:` and base64 in S3's form.
    pub checksum: String,
    /// How we know.
    pub proof: Proof,
}

/// How it is known that S3 holds an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// S3 answered our request.
    Answered,
    /// An earlier try, whose answer was lost, had got through: the object stands under its key.
    AlreadyThere,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use model::{Identifier, Interval, UnixMillis};

    /// An object whose bytes lie in no file: for what never gets as far as reading them.
    pub(crate) fn sample(length: u64, block_crc32: Vec<u32>) -> Object {
        let destination = Destination::parse("my-bucket", "test").unwrap();
        let lines_digest = Digest::of(b"lines");
        let time = UnixMillis::from_seconds(1_558_800_898);
        let identifier = Identifier::derive(&destination, &lines_digest, &[0; 32]);
        Object {
            key: ObjectKey::new(destination.prefix(), time, &identifier),
            minute: Minute::containing(time, Interval::default()),
            crc32: combined_crc32(&block_crc32, length),
            destination,
            events: 1,
            lines_digest,
            length,
            block_crc32,
            path: PathBuf::from("segments"),
            extents: Extents::one(0, length),
        }
    }

    #[test]
    fn s1_checksums_that_contradict_each_other_are_refused() {
        let good = sample(BLOCK_BYTES + 1, vec![1, 2]);
        assert_eq!(good.check(), Ok(()));
        for bad in [
            Object { crc32: good.crc32 ^ 1, ..good.clone() },
            Object { block_crc32: vec![2, 1], ..good.clone() },
            Object { block_crc32: vec![1], ..good.clone() },
            Object { length: BLOCK_BYTES, extents: Extents::one(0, BLOCK_BYTES), ..good.clone() },
            Object { extents: Extents::one(0, BLOCK_BYTES), ..good.clone() },
            Object { length: 0, block_crc32: Vec::new(), crc32: 0, ..good.clone() },
        ] {
            assert_eq!(bad.check().map_err(|error| error.class()), Err(Class::Damaged));
        }
    }

    #[test]
    fn the_checksum_has_the_form_of_s3() {
        // The example of RFC 1952's and zip's CRC-32: "123456789" has cbf43926.
        assert_eq!(crc32_base64(crc32fast::hash(b"123456789")), "y/Q5Jg==");
    }
}
