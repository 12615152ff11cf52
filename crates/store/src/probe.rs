//! One bucket, asked one question at a time: what `admin doctor` makes its checks of.
//!
//! Nothing of it leaves an object in the bucket but [`Probe::put`], which says so in its name's
//! place in the key. An upload that is begun is aborted at once; where that is not allowed, an empty
//! one stays, which costs nothing and is counted among the unfinished ones.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_s3::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::{ByteStream, DateTime, DateTimeFormat};
use model::{Bucket, Clock, Prefix};

use crate::s3::S3Store;
use crate::target::{CONTENT_TYPE, Target};
use crate::trouble::Trouble;

/// What the keys of probes have in the place of a date.
const PROBE_DIR: &str = ".minutelog-doctor/";

/// The whole of an object that a probe writes.
const PROBE_BODY: &[u8] = b"written by `minutelog admin doctor --write`; it can be deleted\n";

/// Whether an object under this key is a probe's.
pub(crate) fn is_probe_key(key: &str) -> bool {
    key.starts_with(PROBE_DIR) || key.contains("/.minutelog-doctor/")
}

/// What is sent with an upload that is begun to learn whether it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aside {
    /// What every object of the bucket has, but neither ACL nor tags.
    Nothing,
    /// The configured ACL as well.
    Acl,
    /// The configured tags as well.
    Tags,
}

/// What the answers so far have told besides what was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Scheme and host of the last request.
    pub server: Option<String>,
    /// How long the first answer took to begin.
    pub latency: Option<Duration>,
    /// By how many seconds the server's clock was ahead of ours when it first answered; behind, where
    /// negative.
    pub ahead_seconds: Option<i64>,
}

/// One bucket, asked one question at a time.
#[derive(Debug)]
pub struct Probe {
    target: Target,
    bucket: Bucket,
    key: String,
    recorder: Recorder,
}

impl S3Store {
    /// Gets ready to ask about `bucket`. Keys are made of `prefix` and `nonce`, which no other probe
    /// may have: `[PREFIX/].minutelog-doctor/NONCE`.
    pub fn probe(
        &self,
        bucket: &Bucket,
        prefix: &Prefix,
        nonce: &str,
        clock: Arc<dyn Clock>,
    ) -> Probe {
        let slash = if prefix.is_empty() { "" } else { "/" };
        Probe {
            target: self.target(bucket).clone(),
            bucket: bucket.clone(),
            key: format!("{prefix}{slash}{PROBE_DIR}{nonce}"),
            recorder: Recorder { seen: Arc::default(), sent: Arc::default(), clock },
        }
    }
}

impl Probe {
    /// The bucket.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// The key that is asked about, and written by [`Probe::put`].
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The region that requests are signed for.
    pub fn region(&self) -> String {
        self.target.client.config().region().map(ToString::to_string).unwrap_or_default()
    }

    /// Whether objects of this bucket get an ACL.
    pub fn has_acl(&self) -> bool {
        self.target.attributes.acl.is_some()
    }

    /// Whether objects of this bucket get tags.
    pub fn has_tags(&self) -> bool {
        self.target.attributes.tagging.is_some()
    }

    /// Whether `If-None-Match: *` is configured to be sent.
    pub fn has_conditions(&self) -> bool {
        self.target.conditional_writes
    }

    /// What the answers so far have told besides what was asked.
    pub fn seen(&self) -> Seen {
        self.recorder.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The region that the bucket is in, which needs `s3:GetBucketLocation`.
    pub async fn location(&self) -> Result<String, Trouble> {
        let output = self
            .target
            .client
            .get_bucket_location()
            .bucket(self.bucket.as_str())
            .set_expected_bucket_owner(self.target.attributes.owner.clone())
            .customize()
            .config_override(self.target.short())
            .interceptor(self.recorder())
            .send()
            .await
            .map_err(|error| Trouble::new(&error))?;
        // S3, "GetBucketLocation": null is us-east-1, and EU is eu-west-1.
        Ok(match output.location_constraint.as_ref().map_or("", |region| region.as_str()) {
            "" => "us-east-1".to_owned(),
            "EU" => "eu-west-1".to_owned(),
            region => region.to_owned(),
        })
    }

    /// Begins a multipart upload as that of a large object is begun, which needs `s3:PutObject`, and
    /// `s3:PutObjectAcl` or `s3:PutObjectTagging` with what is `aside`. Returns its id.
    pub async fn begin_upload(&self, aside: Aside) -> Result<String, Trouble> {
        let attributes = &self.target.attributes;
        let (acl, tagging) = match aside {
            Aside::Nothing => (None, None),
            Aside::Acl => (attributes.acl.clone(), None),
            Aside::Tags => (None, attributes.tagging.clone()),
        };
        let output = self
            .target
            .client
            .create_multipart_upload()
            .bucket(self.bucket.as_str())
            .key(&self.key)
            .content_type(CONTENT_TYPE)
            .set_expected_bucket_owner(attributes.owner.clone())
            .set_storage_class(attributes.storage_class.clone())
            .set_server_side_encryption(attributes.sse.clone())
            .set_ssekms_key_id(attributes.kms_key_id.clone())
            .set_acl(acl)
            .set_tagging(tagging)
            .customize()
            .config_override(self.target.short())
            .interceptor(self.recorder())
            .send()
            .await
            .map_err(|error| Trouble::new(&error))?;
        let id = output.upload_id.filter(|id| !id.is_empty());
        id.ok_or_else(|| Trouble::no_answer("success without an upload id"))
    }

    /// Aborts an upload, which needs `s3:AbortMultipartUpload`.
    pub async fn abort_upload(&self, id: &str) -> Result<(), Trouble> {
        let aborted = self
            .target
            .client
            .abort_multipart_upload()
            .bucket(self.bucket.as_str())
            .key(&self.key)
            .upload_id(id)
            .set_expected_bucket_owner(self.target.attributes.owner.clone())
            .customize()
            .config_override(self.target.short())
            .interceptor(self.recorder())
            .send()
            .await;
        aborted.map(drop).map_err(|error| Trouble::new(&error))
    }

    /// Writes a small object under [`Probe::key`] with `If-None-Match: *`, as it is delivered.
    pub async fn put(&self) -> Result<(), Trouble> {
        let attributes = &self.target.attributes;
        let put = self
            .target
            .client
            .put_object()
            .bucket(self.bucket.as_str())
            .key(&self.key)
            .body(ByteStream::from_static(PROBE_BODY))
            .content_type("text/plain")
            .if_none_match("*")
            .set_checksum_crc32(self.target.checksum(crc32fast::hash(PROBE_BODY)))
            .set_expected_bucket_owner(attributes.owner.clone())
            .set_storage_class(attributes.storage_class.clone())
            .set_server_side_encryption(attributes.sse.clone())
            .set_ssekms_key_id(attributes.kms_key_id.clone())
            .set_acl(attributes.acl.clone())
            .set_tagging(attributes.tagging.clone())
            .customize()
            .config_override(self.target.short())
            .interceptor(self.recorder())
            .send()
            .await;
        put.map(drop).map_err(|error| Trouble::new(&error))
    }

    /// Deletes what [`Probe::put`] wrote, which needs `s3:DeleteObject`: delivery does without.
    pub async fn delete(&self) -> Result<(), Trouble> {
        let deleted = self
            .target
            .client
            .delete_object()
            .bucket(self.bucket.as_str())
            .key(&self.key)
            .set_expected_bucket_owner(self.target.attributes.owner.clone())
            .customize()
            .config_override(self.target.short())
            .interceptor(self.recorder())
            .send()
            .await;
        deleted.map(drop).map_err(|error| Trouble::new(&error))
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    pub(crate) fn recorder(&self) -> Recorder {
        self.recorder.clone()
    }
}

/// Looks at requests and answers as they pass.
#[derive(Clone)]
pub(crate) struct Recorder {
    seen: Arc<Mutex<Seen>>,
    sent: Arc<Mutex<Option<Instant>>>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Intercept for Recorder {
    fn name(&self) -> &'static str {
        "minutelog-recorder"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let mut parts = context.request().uri().splitn(4, '/');
        let server = match (parts.next(), parts.next(), parts.next()) {
            (Some(scheme), Some(""), Some(host)) => Some(format!("{scheme}//{host}")),
            _ => None,
        };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).server = server;
        *self.sent.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let sent = *self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.latency = seen.latency.or(sent.map(|sent| sent.elapsed()));
        let date = context.response().headers().get("date");
        if let Some(theirs) =
            date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok())
        {
            let ours = i64::try_from(self.clock.now().as_millis() / 1000).unwrap_or(i64::MAX);
            seen.ahead_seconds.get_or_insert(theirs.secs().saturating_sub(ours));
        }
        Ok(())
    }
}
