//! What a failure means: one pure function, and the table behind it.
//!
//! Sources: S3, "Error responses" (the list of error codes); what R2, Ceph and `MinIO` answer
//! differs mostly in codes that are missing, so the HTTP status decides where the code is unknown.

use crate::error::Class;

/// What became of a request that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure<'a> {
    /// S3, or something on the way to it, answered.
    Answered {
        /// The HTTP status: also 200, whose body can be an error.
        status: u16,
        /// The error code, where the answer has one.
        code: Option<&'a str>,
    },
    /// The request never left: no connection.
    NotSent,
    /// The request never left: no credentials to sign it with.
    NoCredentials,
    /// The request, or some of it, was sent, and no whole answer came.
    Lost,
}

/// Whether the object may stand in S3 after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    NotStored,
    Unknown,
}

/// What a failure means, and what a person can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) fate: Fate,
    pub(crate) class: Class,
    pub(crate) advice: Option<&'static str>,
}

const RETRY: Verdict = Verdict { fate: Fate::NotStored, class: Class::Retry, advice: None };
const UNKNOWN: Verdict = Verdict { fate: Fate::Unknown, ..RETRY };

const fn retry(advice: &'static str) -> Verdict {
    Verdict { advice: Some(advice), ..RETRY }
}

const fn park(advice: &'static str) -> Verdict {
    Verdict { fate: Fate::NotStored, class: Class::Park, advice: Some(advice) }
}

const fn park_bucket(advice: &'static str) -> Verdict {
    Verdict { fate: Fate::NotStored, class: Class::ParkBucket, advice: Some(advice) }
}

const GRANT: &str = "grant s3:PutObject to this identity, see `minutelog admin policy`";
const KEYS: &str = "mend the credentials that minutelog runs with";
const CLOCK: &str = "set this machine's clock";
const REGION: &str = "set the bucket's own region and endpoint in the configuration";
const CREATE: &str = "create the bucket, or correct its name or the endpoint";
const KMS: &str = "let this identity use the KMS key, or correct kms_key_id";
const CREDENTIALS: &str = "give minutelog AWS credentials: environment, profile, or instance role";
const SWITCHES: &str = "if the store lacks conditional writes or checksums, set \
    s3.conditional_writes = false or s3.checksums = false";
const VALUES: &str = "correct what is configured for this bucket";

/// What `failure` means for the object that was being put.
pub(crate) fn classify(failure: Failure<'_>) -> Verdict {
    match failure {
        // S5: silence proves nothing.
        Failure::Lost => UNKNOWN,
        Failure::NotSent => retry("see that the endpoint is right and can be reached"),
        Failure::NoCredentials => retry(CREDENTIALS),
        Failure::Answered { status, code } => {
            code.and_then(by_code).unwrap_or_else(|| by_status(status))
        }
    }
}

fn by_code(code: &str) -> Option<Verdict> {
    let verdict = match code {
        "InternalError" => UNKNOWN,
        "SlowDown"
        | "SlowDownWrite"
        | "ServiceUnavailable"
        | "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded"
        | "TooManyRequests"
        | "RequestTimeout"
        | "IncompleteBody"
        | "OperationAborted"
        | "ConditionalRequestConflict"
        | "TemporaryRedirect"
        | "BadDigest"
        | "InvalidDigest"
        | "XAmzContentChecksumMismatch"
        | "XAmzContentSHA256Mismatch"
        | "NoSuchUpload"
        | "InvalidPart"
        | "InvalidPartOrder"
        | "KMS.ThrottlingException"
        | "KMS.KMSInternalException"
        | "KMS.InternalException"
        | "KMS.DependencyTimeoutException" => RETRY,
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => {
            retry("renew the credentials if this goes on")
        }
        "RequestTimeTooSkewed" | "RequestExpired" => retry(CLOCK),
        "NoSuchBucket" | "InvalidBucketName" => park_bucket(CREATE),
        "PermanentRedirect"
        | "Redirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => park_bucket(REGION),
        "AccountProblem" | "AllAccessDisabled" | "NotSignedUp" | "InvalidPayer" => {
            park_bucket("see to the AWS account that owns the bucket")
        }
        "AccessControlListNotSupported" => {
            park("remove acl from the configuration: the bucket has ACLs switched off")
        }
        "AccessDenied" => park(GRANT),
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "InvalidSecurity" => {
            park(KEYS)
        }
        // What stores that lack a header of ours say of it.
        "NotImplemented" | "InvalidRequest" | "InvalidArgument" => park(SWITCHES),
        "InvalidStorageClass" | "InvalidTag" | "InvalidEncryptionAlgorithmError" => park(VALUES),
        _ if code.starts_with("KMS.") => park(KMS),
        _ => return None,
    };
    Some(verdict)
}

fn by_status(status: u16) -> Verdict {
    match status {
        301 | 302 | 308 => park_bucket(REGION),
        307 | 408 | 409 | 425 | 429 => RETRY,
        403 => park(GRANT),
        401 => park(KEYS),
        404 => park_bucket(CREATE),
        501 => park(SWITCHES),
        400..=499 => park("see the store's documentation of this error"),
        // 5xx without a code that says more comes from gateways as well, which don't know what the
        // store behind them did; and an error in an answer of 200 may be anything.
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Class::{Park, ParkBucket, Retry};
    use Fate::{NotStored, Unknown};

    fn answered(status: u16, code: &str) -> (Fate, Class) {
        let code = Some(code).filter(|code| !code.is_empty());
        let verdict = classify(Failure::Answered { status, code });
        (verdict.fate, verdict.class)
    }

    #[test]
    fn every_answer_of_s3_has_its_class() {
        for (status, code, fate, class) in [
            (500, "InternalError", Unknown, Retry),
            (200, "InternalError", Unknown, Retry),
            (200, "", Unknown, Retry),
            (500, "", Unknown, Retry),
            (502, "", Unknown, Retry),
            (503, "", Unknown, Retry),
            (504, "", Unknown, Retry),
            (507, "XMinioStorageFull", Unknown, Retry),
            (503, "SlowDown", NotStored, Retry),
            (503, "ServiceUnavailable", NotStored, Retry),
            (429, "", NotStored, Retry),
            (409, "ConditionalRequestConflict", NotStored, Retry),
            (409, "", NotStored, Retry),
            (400, "RequestTimeout", NotStored, Retry),
            (400, "ExpiredToken", NotStored, Retry),
            (403, "RequestTimeTooSkewed", NotStored, Retry),
            (400, "BadDigest", NotStored, Retry),
            (400, "XAmzContentChecksumMismatch", NotStored, Retry),
            (404, "NoSuchUpload", NotStored, Retry),
            (403, "AccessDenied", NotStored, Park),
            (403, "", NotStored, Park),
            (403, "InvalidAccessKeyId", NotStored, Park),
            (403, "SignatureDoesNotMatch", NotStored, Park),
            (400, "KMS.DisabledException", NotStored, Park),
            (400, "KMS.NotFoundException", NotStored, Park),
            (400, "KMS.ThrottlingException", NotStored, Retry),
            (501, "NotImplemented", NotStored, Park),
            (501, "", NotStored, Park),
            (400, "InvalidStorageClass", NotStored, Park),
            (400, "EntityTooLarge", NotStored, Park),
            (400, "InvalidRequest", NotStored, Park),
            (400, "InvalidArgument", NotStored, Park),
            (405, "MethodNotAllowed", NotStored, Park),
            (404, "NoSuchBucket", NotStored, ParkBucket),
            (404, "", NotStored, ParkBucket),
            (301, "PermanentRedirect", NotStored, ParkBucket),
            (301, "", NotStored, ParkBucket),
            (400, "AuthorizationHeaderMalformed", NotStored, ParkBucket),
            (403, "AllAccessDisabled", NotStored, ParkBucket),
        ] {
            assert_eq!(answered(status, code), (fate, class), "{status} {code}");
        }
    }

    #[test]
    fn s5_what_was_sent_and_not_answered_is_unknown() {
        assert_eq!(classify(Failure::Lost), UNKNOWN);
        for failure in [Failure::NotSent, Failure::NoCredentials] {
            let verdict = classify(failure);
            assert_eq!((verdict.fate, verdict.class), (NotStored, Retry));
        }
    }

    #[test]
    fn whoever_has_to_mend_something_is_told_what() {
        for status in [301, 400, 401, 403, 404, 405, 412, 501] {
            let verdict = classify(Failure::Answered { status, code: None });
            assert_ne!(verdict.class, Retry, "{status}");
            assert!(verdict.advice.is_some(), "{status}");
        }
    }
}
