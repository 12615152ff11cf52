//! The unfinished multipart uploads of a bucket.

use aws_sdk_s3::operation::list_multipart_uploads::ListMultipartUploadsOutput;
use aws_sdk_s3::types::MultipartUpload;
use model::{ObjectKey, UnixMillis};

use crate::probe::{Probe, is_probe_key};
use crate::trouble::Trouble;

/// So many lists of up to 1,000 uploads are asked for, and no more.
const MAX_LISTS: u32 = 10;

/// What unfinished multipart uploads a bucket has under keys of minutelog's form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// How many.
    pub count: u64,
    /// When the oldest of them was begun, where S3 tells.
    pub oldest: Option<UnixMillis>,
    /// Whether the bucket has more uploads than were looked at.
    pub are_more: bool,
}

impl Unfinished {
    fn add(&mut self, upload: &MultipartUpload) {
        let key = upload.key().unwrap_or_default();
        if key.parse::<ObjectKey>().is_err() && !is_probe_key(key) {
            return;
        }
        self.count += 1;
        let begun = upload.initiated().and_then(|time| time.to_millis().ok());
        let begun = begun.and_then(|millis| u64::try_from(millis).ok()).map(UnixMillis::new);
        self.oldest = match (self.oldest, begun) {
            (Some(oldest), Some(begun)) => Some(oldest.min(begun)),
            (oldest, begun) => oldest.or(begun),
        };
    }
}

impl Probe {
    /// Looks for unfinished uploads, which needs `s3:ListBucketMultipartUploads`.
    pub async fn unfinished_uploads(&self) -> Result<Unfinished, Trouble> {
        let mut found = Unfinished::default();
        let mut from: (Option<String>, Option<String>) = (None, None);
        for _ in 0..MAX_LISTS {
            let list = self.list(from).await?;
            for upload in list.uploads() {
                found.add(upload);
            }
            from = (list.next_key_marker, list.next_upload_id_marker);
            found.are_more = list.is_truncated == Some(true) && from.0.is_some();
            if !found.are_more {
                break;
            }
        }
        Ok(found)
    }

    async fn list(
        &self,
        (key, upload): (Option<String>, Option<String>),
    ) -> Result<ListMultipartUploadsOutput, Trouble> {
        let target = self.target();
        let list = target
            .client
            .list_multipart_uploads()
            .bucket(self.bucket().as_str())
            .set_key_marker(key)
            .set_upload_id_marker(upload)
            .set_expected_bucket_owner(target.attributes.owner.clone())
            .customize()
            .config_override(target.short())
            .interceptor(self.recorder());
        list.send().await.map_err(|error| Trouble::new(&error))
    }
}
