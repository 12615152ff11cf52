//! What stands under an object's key, when S3's answer to the put doesn't say.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::ChecksumMode;

use crate::answer::Refusal;
use crate::error::{Class, PutError};
use crate::object::{Confirmation, Object, Proof};
use crate::target::{META_DIGEST, Target};

/// What `HeadObject` shows under an object's key.
#[derive(Debug)]
enum Standing {
    /// This object.
    Ours(Option<String>),
    /// Something else, and why we think so.
    Other(String),
    /// Nothing.
    Absent,
    /// We are not allowed to look.
    Hidden,
    /// No answer.
    Unclear(PutError),
}

/// What S3's answer of success confirms.
pub(crate) fn answered(
    object: &Object,
    etag: Option<String>,
    crc32: Option<&str>,
) -> Result<Confirmation, PutError> {
    let bucket = object.destination.bucket();
    // S4: a proxy's or a broken store's empty 200 is not S3's word.
    let Some(etag) = etag.filter(|etag| !etag.is_empty()) else {
        return Err(PutError::Unknown {
            class: Class::Retry,
            message: format!(
                "bucket {bucket}: success without an ETag for {}: see what stands between \
                 minutelog and the store",
                object.key
            ),
        });
    };
    if let Some(other) = contradicting_checksum(object, crc32) {
        return Err(PutError::Unknown {
            class: Class::Park,
            message: format!(
                "bucket {bucket}: {}: the store says that it holds bytes with CRC-32 {other}, \
                 not {}: compare the object with what is on disk",
                object.key,
                object.crc32_base64()
            ),
        });
    }
    Ok(object.confirmed(Some(etag), Proof::Answered))
}

/// After a 412 to our own conditional put: an object stands under a key that only this object has.
pub(crate) async fn after_conflict(
    target: &Target,
    object: &Object,
) -> Result<Confirmation, PutError> {
    let bucket = object.destination.bucket();
    match look(target, object).await {
        Standing::Ours(etag) => Ok(object.confirmed(etag, Proof::AlreadyThere)),
        // Needs permissions that we do without. The 412 was S3's word already.
        Standing::Hidden => Ok(object.confirmed(None, Proof::AlreadyThere)),
        // S4: S3 shows 404 only to who may list the bucket, and then it is the truth.
        Standing::Absent => Err(PutError::Unknown {
            class: Class::Retry,
            message: format!(
                "bucket {bucket}: S3 says both that {} stands there and that it does not",
                object.key
            ),
        }),
        Standing::Other(why) => {
            Err(PutError::NotStored { class: Class::Park, message: other_object(object, &why) })
        }
        Standing::Unclear(error) => Err(PutError::Unknown {
            class: Class::Retry,
            message: format!("bucket {bucket}: an object stands there: {}", error.message()),
        }),
    }
}

/// After the loss of the answer that would have confirmed the object, told by `error`.
pub(crate) async fn after_silence(
    target: &Target,
    object: &Object,
    error: PutError,
) -> Result<Confirmation, PutError> {
    match look(target, object).await {
        Standing::Ours(etag) => Ok(object.confirmed(etag, Proof::AlreadyThere)),
        Standing::Other(why) => {
            Err(PutError::NotStored { class: Class::Park, message: other_object(object, &why) })
        }
        // Even where nothing stands there yet, S3 may still be at it.
        Standing::Absent | Standing::Hidden | Standing::Unclear(_) => Err(error),
    }
}

fn other_object(object: &Object, why: &str) -> String {
    format!(
        "bucket {}: another object stands under the key {}: {why}: move it away, then run \
         `minutelog admin retry`",
        object.destination.bucket(),
        object.key
    )
}

async fn look(target: &Target, object: &Object) -> Standing {
    let answer = target
        .client
        .head_object()
        .bucket(object.destination.bucket().as_str())
        .key(object.key.as_str())
        .set_checksum_mode(target.checksums.then_some(ChecksumMode::Enabled))
        .set_expected_bucket_owner(target.attributes.owner.clone())
        .customize()
        .config_override(target.short())
        .send()
        .await;
    match answer {
        Ok(head) => compare(object, head),
        Err(error) => {
            let refusal = Refusal::new(object.destination.bucket(), "HeadObject", &error);
            match refusal.status {
                Some(404) => Standing::Absent,
                _ if refusal.is_final() => Standing::Hidden,
                _ => Standing::Unclear(refusal.error),
            }
        }
    }
}

/// Compares what is shown with what was put; what is not shown says nothing.
fn compare(object: &Object, head: HeadObjectOutput) -> Standing {
    let length = head.content_length.and_then(|length| u64::try_from(length).ok());
    if let Some(length) = length.filter(|length| *length != object.length) {
        return Standing::Other(format!("it has {length} bytes, not {}", object.length));
    }
    if let Some(digest) = head.metadata.as_ref().and_then(|all| all.get(META_DIGEST))
        && *digest != object.lines_digest.to_string()
    {
        return Standing::Other(format!("its {META_DIGEST} is another"));
    }
    if let Some(crc32) = contradicting_checksum(object, head.checksum_crc32.as_deref()) {
        return Standing::Other(format!("its CRC-32 is {crc32}, not {}", object.crc32_base64()));
    }
    Standing::Ours(head.e_tag)
}

/// The CRC-32 that a store shows, if it is not the object's. One with a `-` is that of the parts'
/// checksums (S3, "Checking object integrity": composite), which says nothing about the bytes.
fn contradicting_checksum<'a>(object: &Object, shown: Option<&'a str>) -> Option<&'a str> {
    shown.filter(|shown| !shown.contains('-') && *shown != object.crc32_base64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tests::sample;

    fn head(
        object: &Object,
    ) -> aws_sdk_s3::operation::head_object::builders::HeadObjectOutputBuilder {
        HeadObjectOutput::builder()
            .content_length(i64::try_from(object.length).unwrap())
            .metadata(META_DIGEST, object.lines_digest.to_string())
            .checksum_crc32(object.crc32_base64())
            .e_tag("\"e\"")
    }

    #[test]
    fn another_object_is_known_by_size_digest_or_checksum() {
        let object = sample(10, vec![7]);
        let ours = compare(&object, head(&object).build());
        assert!(matches!(ours, Standing::Ours(Some(_))), "{ours:?}");
        let shows_little = HeadObjectOutput::builder().content_length(10).build();
        assert!(matches!(compare(&object, shows_little), Standing::Ours(None)));
        let composite = head(&object).checksum_crc32("AAAAAA==-2").build();
        assert!(matches!(compare(&object, composite), Standing::Ours(_)));
        for other in [
            head(&object).content_length(11),
            head(&object).metadata(META_DIGEST, "0"),
            head(&object).checksum_crc32("AAAAAA=="),
        ] {
            assert!(matches!(compare(&object, other.build()), Standing::Other(_)));
        }
    }

    #[test]
    fn s4_success_without_an_etag_confirms_nothing() {
        let object = sample(10, vec![7]);
        for etag in [None, Some(String::new())] {
            let error = answered(&object, etag, None).unwrap_err();
            assert!(matches!(error, PutError::Unknown { class: Class::Retry, .. }), "{error}");
        }
        let error = answered(&object, Some("e".into()), Some("AAAAAA==")).unwrap_err();
        assert_eq!(error.class(), Class::Park);
        let good = answered(&object, Some("e".into()), Some(&object.crc32_base64())).unwrap();
        assert_eq!(good.proof, Proof::Answered);
        assert_eq!(good.checksum, format!("crc32:{}", object.crc32_base64()));
    }
}
