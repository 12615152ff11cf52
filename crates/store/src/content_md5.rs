//! `Content-MD5`: what guards the bytes on their way to a store that doesn't know S3's checksums.
//!
//! The header is RFC 1864's, and older than S3: also stores that refuse `x-amz-checksum-crc32`
//! verify it. The seal doesn't know the MD5, so the bytes are read once more.

use std::io::{self, Read as _};
use std::path::Path;

use aws_smithy_types::base64;
use md5::{Digest as _, Md5};
use model::Extents;

use crate::body::unreadable;
use crate::error::PutError;
use crate::object::Object;
use crate::sealed::SealedBytes;
use crate::target::Target;

/// The header's value for `length` bytes of `object` from `offset` on; `None` where a checksum of
/// S3's is sent in its place.
pub(crate) async fn content_md5(
    target: &Target,
    object: &Object,
    offset: u64,
    length: u64,
) -> Result<Option<String>, PutError> {
    if target.checksums {
        return Ok(None);
    }
    let (path, extents) = (object.path.clone(), object.extents.within(offset, length));
    let read = tokio::task::spawn_blocking(move || md5_of(&path, &extents)).await;
    match read.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(md5) => Ok(Some(base64::encode(md5))),
        Err(error) => Err(unreadable(object, &error)),
    }
}

fn md5_of(path: &Path, extents: &Extents) -> io::Result<[u8; 16]> {
    // A pipe would be waited for.
    if !std::fs::symlink_metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no file"));
    }
    let mut bytes = SealedBytes::open(path, extents)?;
    let mut md5 = Md5::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        let read = bytes.read(&mut piece)?;
        if read == 0 {
            return Ok(md5.finalize().into());
        }
        md5.update(piece.get(..read).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_the_range() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("segments");
        std::fs::write(&path, b"before the quick brown fox jumps over the lazy dog").unwrap();
        // RFC 1321, A.5: the MD5 of "" and of "abc".
        assert_eq!(
            base64::encode(md5_of(&path, &Extents::one(7, 0)).unwrap()),
            "1B2M2Y8AsgTpgAmY7PhCfg=="
        );
        std::fs::write(&path, b"xxabcxx").unwrap();
        assert_eq!(
            base64::encode(md5_of(&path, &Extents::one(2, 3)).unwrap()),
            "kAFQmDzST7DWlj99KOF/cg=="
        );
    }
}
