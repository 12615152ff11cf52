//! The store that speaks to S3.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use model::Bucket;

use crate::Store;
use crate::config::{BucketConfig, S3Config};
use crate::connect::Clients;
use crate::error::{ConnectError, PutError};
use crate::object::{Confirmation, MULTIPART_ABOVE_BYTES, Object};
use crate::target::{Attributes, Target};
use crate::{multipart, whole};

/// After this many buckets that don't let us list uploads, no further one is remembered (nor
/// warned of), so that memory has a bound.
const MAX_WARNED: usize = 1024;

/// S3, and what speaks its protocol. Cheap to keep, safe to use from many tasks at once.
pub struct S3Store {
    any: Target,
    buckets: HashMap<Bucket, Target>,
    warned: Mutex<HashSet<Bucket>>,
}

impl S3Store {
    /// Makes a store of `config`, with `buckets` that differ from it.
    ///
    /// Reads AWS's default chain where `config` names no region or no credentials, for a few
    /// seconds at most. Nothing is sent to S3: that it can't be reached, or that there are no
    /// credentials, is an error of each put.
    pub async fn connect(
        config: S3Config,
        buckets: Vec<BucketConfig>,
    ) -> Result<Self, ConnectError> {
        let mut clients = Clients::new(config.clone()).await?;
        let target = |client, attributes| Target {
            client,
            attributes,
            checksums: config.checksums,
            conditional_writes: config.conditional_writes,
            limits: config.limits,
        };
        let any = target(clients.get(None).await?, Attributes::default());
        let mut targets = HashMap::with_capacity(buckets.len());
        for bucket in buckets {
            let attributes = Attributes::new(&bucket)?;
            let client = clients.get(Some(&bucket)).await?;
            if targets.insert(bucket.name.clone(), target(client, attributes)).is_some() {
                return Err(ConnectError::Twice(bucket.name));
            }
        }
        Ok(Self { any, buckets: targets, warned: Mutex::default() })
    }

    /// Aborts the multipart uploads that an earlier life left under exactly the object's key, and
    /// says how many. [`Store::put`] does so by itself before it begins an upload; this is for an
    /// object that will not be put again. Finds none where the store doesn't let us list them.
    pub async fn abort_leftovers(&self, object: &Object) -> Result<u32, PutError> {
        let bucket = object.destination.bucket();
        let aborted = multipart::abort_leftovers(self.target(bucket), object, |error| {
            if self.is_first_refusal(bucket) {
                tracing::warn!(
                    %bucket,
                    %error,
                    "unfinished uploads cannot be listed: grant s3:ListBucketMultipartUploads, or \
                     have a lifecycle rule abort them"
                );
            }
        })
        .await?;
        if aborted > 0 {
            tracing::info!(%bucket, key = %object.key, aborted, "aborted unfinished uploads");
        }
        Ok(aborted)
    }

    /// The region of all buckets that have none of their own.
    pub fn region(&self) -> Option<&str> {
        self.any.client.config().region().map(AsRef::as_ref)
    }

    pub(crate) fn target(&self, bucket: &Bucket) -> &Target {
        self.buckets.get(bucket).unwrap_or(&self.any)
    }

    fn is_first_refusal(&self, bucket: &Bucket) -> bool {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        warned.len() < MAX_WARNED && warned.insert(bucket.clone())
    }
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Store").field("buckets", &self.buckets.keys()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for S3Store {
    async fn put(&self, object: &Object) -> Result<Confirmation, PutError> {
        object.check()?;
        let target = self.target(object.destination.bucket());
        if object.length <= MULTIPART_ABOVE_BYTES {
            return whole::put(target, object).await;
        }
        // S7: before a new upload, so that none is left behind when this one gets through.
        self.abort_leftovers(object).await?;
        multipart::put(target, object).await
    }
}
