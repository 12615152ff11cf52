//! An object by one `PutObject`.

use crate::answer::Refusal;
use crate::body::{self, Damage};
use crate::content_md5::content_md5;
use crate::error::PutError;
use crate::object::{Confirmation, Object};
use crate::standing::{after_conflict, after_silence, answered};
use crate::target::{CONTENT_TYPE, Target, metadata};

/// Puts `object` in one request, streamed from its file.
pub(crate) async fn put(target: &Target, object: &Object) -> Result<Confirmation, PutError> {
    let bucket = object.destination.bucket();
    let attributes = &target.attributes;
    let damage = Damage::default();
    let md5 = content_md5(target, object, 0, object.length).await?;
    let body = body::open(object, 0, object.length, object.crc32, &damage).await?;
    let answer = target
        .client
        .put_object()
        .bucket(bucket.as_str())
        .key(object.key.as_str())
        .body(body)
        .content_type(CONTENT_TYPE)
        .set_metadata(Some(metadata(object)))
        .set_checksum_crc32(target.checksum(object.crc32))
        .set_content_md5(md5)
        // S3: what stands there stays.
        .set_if_none_match(target.if_none_match())
        .set_expected_bucket_owner(attributes.owner.clone())
        .set_storage_class(attributes.storage_class.clone())
        .set_server_side_encryption(attributes.sse.clone())
        .set_ssekms_key_id(attributes.kms_key_id.clone())
        .set_acl(attributes.acl.clone())
        .set_tagging(attributes.tagging.clone())
        .customize()
        .config_override(target.moving(object.length, 1))
        .send()
        .await;
    match answer {
        Ok(output) => answered(object, output.e_tag, output.checksum_crc32.as_deref()),
        Err(_) if damage.is_found() => Err(object.damaged("not what the seal's checksum says")),
        Err(error) => {
            let refusal = Refusal::new(bucket, "PutObject", &error);
            if refusal.status == Some(412) && target.conditional_writes {
                return after_conflict(target, object).await;
            }
            match refusal.error {
                // Also a 412 that came before the body was read through ends here: a server that
                // then closes its side breaks the connection under what is still being sent.
                unknown @ PutError::Unknown { .. } => after_silence(target, object, unknown).await,
                refused @ PutError::NotStored { .. } => Err(refused),
            }
        }
    }
}
