//! An object read back, piece by piece.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use model::{Bucket, ObjectKey};
use tokio::time::{Instant, timeout};

use crate::s3::S3Store;
use crate::trouble::Trouble;

/// What S3 says of an object before its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Its bytes.
    pub length: Option<u64>,
    /// Its `ETag`, with the quotes.
    pub etag: Option<String>,
    /// Its media type.
    pub content_type: Option<String>,
    /// Its metadata, by names without S3's `x-amz-meta-`.
    pub metadata: HashMap<String, String>,
}

/// An object on its way: at most one piece of it is in memory.
#[derive(Debug)]
pub struct Download {
    head: Head,
    body: ByteStream,
    /// How long a single piece may take.
    patience: Duration,
    /// When all of it must be there.
    deadline: Instant,
}

impl Download {
    /// What S3 said before the bytes.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The next piece; `None` after the last one. S3 answers with fewer bytes than it announced as
    /// an error, never as an end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Trouble> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match timeout(self.patience.min(left), self.body.next()).await {
            Ok(None) => Ok(None),
            Ok(Some(Ok(piece))) => Ok(Some(piece)),
            Ok(Some(Err(error))) => Err(Trouble::no_answer(format!("the body broke off: {error}"))),
            Err(_) => Err(Trouble::no_answer("the body came to a stop")),
        }
    }
}

impl S3Store {
    /// Asks for an object whole, which needs `s3:GetObject`: delivery does without that permission.
    /// `length` is how many bytes it should have, from which follows how long it may take.
    pub async fn download(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        length: u64,
    ) -> Result<Download, Trouble> {
        let target = self.target(bucket);
        let deadline = Instant::now() + target.limits.transfer(length);
        let output = target
            .client
            .get_object()
            .bucket(bucket.as_str())
            .key(key.as_str())
            .set_expected_bucket_owner(target.attributes.owner.clone())
            .customize()
            .config_override(target.short())
            .send()
            .await
            .map_err(|error| Trouble::new(&error))?;
        let head = Head {
            length: output.content_length.and_then(|length| u64::try_from(length).ok()),
            etag: output.e_tag,
            content_type: output.content_type,
            metadata: output.metadata.unwrap_or_default(),
        };
        Ok(Download { head, body: output.body, patience: target.limits.read, deadline })
    }
}
