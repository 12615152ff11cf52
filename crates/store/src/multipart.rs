//! An object by multipart upload: create, send the parts, complete; or abort.
//!
//! Only the completion makes the object appear. Whatever fails before it means "not stored".

use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::answer::Refusal;
use crate::body::{self, Damage};
use crate::content_md5::content_md5;
use crate::error::{Class, PutError};
use crate::object::{Confirmation, Object, Proof};
use crate::parts::{Part, parts};
use crate::standing::{after_conflict, after_silence, answered};
use crate::target::{CONTENT_TYPE, Target, metadata};

/// Parts of one object under way at once.
const PARTS_AT_ONCE: usize = 3;

/// How often a part is tried before the whole upload is given up: one part in hundreds must not
/// cost all the others.
const PART_TRIES: u32 = 3;

/// How often an abort is tried: what it misses stays, and costs.
const ABORT_TRIES: u32 = 3;

/// Puts `object` in parts, each streamed from its file.
pub(crate) async fn put(target: &Target, object: &Object) -> Result<Confirmation, PutError> {
    let upload = create(target, object).await.map_err(PutError::before_completion)?;
    let outcome = match send_parts(target, object, &upload).await {
        Ok(parts) => complete(target, object, &upload, parts).await,
        Err(error) => Err(error.before_completion()),
    };
    // S7: abort what is of no more use. An upload of unknown fate may still be completing.
    if matches!(
        outcome,
        Ok(Confirmation { proof: Proof::Answered, .. }) | Err(PutError::Unknown { .. })
    ) {
        return outcome;
    }
    let Err(error) = abort(target, object, &upload).await else { return outcome };
    tracing::debug!(key = %object.key, upload, %error, "upload not aborted");
    if outcome.is_ok() && error.class() == Class::Retry {
        // After a success nobody would ever look for it again: the next put does.
        let message = format!("the object is there, its upload not aborted: {}", error.message());
        return Err(PutError::Unknown { class: Class::Retry, message });
    }
    outcome
}

async fn create(target: &Target, object: &Object) -> Result<String, PutError> {
    let bucket = object.destination.bucket();
    let attributes = &target.attributes;
    let output = target
        .client
        .create_multipart_upload()
        .bucket(bucket.as_str())
        .key(object.key.as_str())
        .content_type(CONTENT_TYPE)
        .set_metadata(Some(metadata(object)))
        .set_checksum_algorithm(target.checksums.then_some(ChecksumAlgorithm::Crc32))
        .set_checksum_type(target.checksums.then_some(ChecksumType::FullObject))
        .set_expected_bucket_owner(attributes.owner.clone())
        .set_storage_class(attributes.storage_class.clone())
        .set_server_side_encryption(attributes.sse.clone())
        .set_ssekms_key_id(attributes.kms_key_id.clone())
        .set_acl(attributes.acl.clone())
        .set_tagging(attributes.tagging.clone())
        .customize()
        .config_override(target.short())
        .send()
        .await
        .map_err(|error| Refusal::new(bucket, "CreateMultipartUpload", &error).error)?;
    output.upload_id.filter(|id| !id.is_empty()).ok_or_else(|| PutError::NotStored {
        class: Class::Retry,
        message: format!("bucket {bucket}: CreateMultipartUpload: success without an upload id"),
    })
}

async fn send_parts(
    target: &Target,
    object: &Object,
    upload: &str,
) -> Result<Vec<CompletedPart>, PutError> {
    let sending = parts(object.length, &object.block_crc32)
        .into_iter()
        .map(|part| send_part(target, object, upload, part));
    let mut sent: Vec<CompletedPart> =
        stream::iter(sending).buffer_unordered(PARTS_AT_ONCE).try_collect().await?;
    sent.sort_unstable_by_key(|part| part.part_number);
    Ok(sent)
}

async fn send_part(
    target: &Target,
    object: &Object,
    upload: &str,
    part: Part,
) -> Result<CompletedPart, PutError> {
    let bucket = object.destination.bucket();
    let damage = Damage::default();
    let md5 = content_md5(target, object, part.offset, part.length).await?;
    let body = body::open(object, part.offset, part.length, part.crc32, &damage).await?;
    let answer = target
        .client
        .upload_part()
        .bucket(bucket.as_str())
        .key(object.key.as_str())
        .upload_id(upload)
        .part_number(part.number)
        .body(body)
        .set_checksum_crc32(target.checksum(part.crc32))
        .set_content_md5(md5)
        .set_expected_bucket_owner(target.attributes.owner.clone())
        .customize()
        .config_override(target.moving(part.length, PART_TRIES))
        .send()
        .await;
    let output = match answer {
        Ok(output) => output,
        Err(_) if damage.is_found() => {
            return Err(object.damaged("not what the seal's checksum says"));
        }
        Err(error) => return Err(Refusal::new(bucket, "UploadPart", &error).error),
    };
    let Some(etag) = output.e_tag.filter(|etag| !etag.is_empty()) else {
        return Err(PutError::NotStored {
            class: Class::Retry,
            message: format!("bucket {bucket}: UploadPart: success without an ETag"),
        });
    };
    Ok(CompletedPart::builder()
        .part_number(part.number)
        .e_tag(etag)
        .set_checksum_crc32(target.checksum(part.crc32))
        .build())
}

async fn complete(
    target: &Target,
    object: &Object,
    upload: &str,
    parts: Vec<CompletedPart>,
) -> Result<Confirmation, PutError> {
    let bucket = object.destination.bucket();
    let answer = target
        .client
        .complete_multipart_upload()
        .bucket(bucket.as_str())
        .key(object.key.as_str())
        .upload_id(upload)
        .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
        .set_checksum_crc32(target.checksum(object.crc32))
        .set_checksum_type(target.checksums.then_some(ChecksumType::FullObject))
        // S3: what stands there stays.
        .set_if_none_match(target.if_none_match())
        .set_expected_bucket_owner(target.attributes.owner.clone())
        .customize()
        .config_override(target.moving(object.length, 1))
        .send()
        .await;
    let error = match answer {
        Ok(output) => return answered(object, output.e_tag, output.checksum_crc32.as_deref()),
        Err(error) => Refusal::new(bucket, "CompleteMultipartUpload", &error),
    };
    if error.status == Some(412) && target.conditional_writes {
        return after_conflict(target, object).await;
    }
    // The upload is gone: completed by a request whose answer was lost, or aborted by someone.
    let gone = error.code.as_deref() == Some("NoSuchUpload");
    match error.error {
        PutError::NotStored { class, message } if gone => {
            after_silence(target, object, PutError::Unknown { class, message }).await
        }
        refused @ PutError::NotStored { .. } => Err(refused),
        unknown @ PutError::Unknown { .. } => after_silence(target, object, unknown).await,
    }
}

/// Aborts the uploads that an earlier life left under exactly this key, and says how many.
///
/// The key is this object's alone, so they can only be ours. `refused` is called where the store
/// doesn't let us list them, which is no reason not to deliver.
pub(crate) async fn abort_leftovers(
    target: &Target,
    object: &Object,
    refused: impl FnOnce(&PutError),
) -> Result<u32, PutError> {
    let bucket = object.destination.bucket();
    let answer = target
        .client
        .list_multipart_uploads()
        .bucket(bucket.as_str())
        .prefix(object.key.as_str())
        .set_expected_bucket_owner(target.attributes.owner.clone())
        .customize()
        .config_override(target.short())
        .send()
        .await;
    let uploads = match answer {
        Ok(output) => output.uploads.unwrap_or_default(),
        Err(error) => {
            let refusal = Refusal::new(bucket, "ListMultipartUploads", &error);
            if refusal.is_final() && refusal.error.class() == Class::Park {
                refused(&refusal.error);
                return Ok(0);
            }
            return Err(refusal.error.before_completion());
        }
    };
    let mut aborted = 0;
    for upload in uploads {
        if upload.key.as_deref() != Some(object.key.as_str()) {
            continue;
        }
        if let Some(id) = upload.upload_id {
            abort(target, object, &id).await.map_err(PutError::before_completion)?;
            aborted += 1;
        }
    }
    Ok(aborted)
}

async fn abort(target: &Target, object: &Object, upload: &str) -> Result<(), PutError> {
    let bucket = object.destination.bucket();
    let answer = target
        .client
        .abort_multipart_upload()
        .bucket(bucket.as_str())
        .key(object.key.as_str())
        .upload_id(upload)
        .set_expected_bucket_owner(target.attributes.owner.clone())
        .customize()
        .config_override(target.moving(0, ABORT_TRIES))
        .send()
        .await;
    let Err(error) = answer else { return Ok(()) };
    let refusal = Refusal::new(bucket, "AbortMultipartUpload", &error);
    if refusal.code.as_deref() == Some("NoSuchUpload") {
        return Ok(());
    }
    Err(refusal.error)
}
