//! The bytes of a request, and the checksums by which they are known.

use futures::TryStreamExt as _;
use md5::{Digest as _, Md5};
use s3s::dto::StreamingBlob;
use s3s::{S3Result, s3_error};

/// Reads a body to its end.
pub(super) async fn body(body: Option<StreamingBlob>) -> S3Result<Vec<u8>> {
    let body = body.ok_or_else(|| s3_error!(IncompleteBody, "no body"))?;
    body.try_fold(Vec::new(), async |mut bytes, piece| {
        bytes.extend_from_slice(&piece);
        Ok(bytes)
    })
    .await
    .map_err(|error| s3_error!(IncompleteBody, "{error}"))
}

/// Refuses bytes that have not the checksums that were sent with them.
pub(super) fn check(bytes: &[u8], checksum: Option<&str>, md5: Option<&str>) -> S3Result<()> {
    if checksum.is_some_and(|checksum| checksum != crc32(bytes)) {
        return Err(s3_error!(BadDigest, "another checksum"));
    }
    if md5.is_some_and(|md5| md5 != base64(&Md5::digest(bytes))) {
        return Err(s3_error!(BadDigest, "another MD5"));
    }
    Ok(())
}

pub(super) fn etag(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().chars().take(32).collect()
}

/// The CRC-32 in S3's form: base64 of its four bytes, the highest first.
pub(crate) fn crc32(bytes: &[u8]) -> String {
    base64(&crc32fast::hash(bytes).to_be_bytes())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = (0..3).fold(0, |all, at| all << 8 | usize::from(*three.get(at).unwrap_or(&0)));
        let digits = (0..4).map(|at| char::from(DIGITS[number >> (18 - 6 * at) & 63]));
        text.extend(digits.take(three.len() + 1).chain("==".chars()).take(4));
    }
    text
}
