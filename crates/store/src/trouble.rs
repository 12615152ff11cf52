//! Why a question to S3 has no answer that says yes.

use std::error::Error;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::answer::{failure, region, what_happened};
use crate::classify::Failure;

/// How far a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TroubleKind {
    /// There are no credentials to sign it with.
    NoCredentials,
    /// It never left: no address, no connection, no TLS.
    NotConnected,
    /// It was sent, and no whole answer came in time.
    NoAnswer,
    /// The answer says no.
    Refused,
}

/// Why a question to S3 has no answer that says yes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Trouble {
    /// How far the question came.
    pub kind: TroubleKind,
    /// The HTTP status of the answer.
    pub status: Option<u16>,
    /// The error code of the answer, where it has one.
    pub code: Option<String>,
    /// The region that the answer says the bucket is in.
    pub region: Option<String>,
    /// Whether the answer says that the object was deleted, and that older versions are kept.
    pub is_delete_marker: bool,
    /// What happened: S3's own words, or the chain of causes. Holds no secrets.
    pub message: String,
}

impl Trouble {
    /// Reads the error of a call.
    pub(crate) fn new<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let response = error.raw_response();
        let status = response.map(|response| response.status().as_u16());
        let code = error.code().map(str::to_owned);
        let kind = match failure(error, status, code.as_deref()) {
            Failure::Answered { .. } => TroubleKind::Refused,
            Failure::NotSent => TroubleKind::NotConnected,
            Failure::NoCredentials => TroubleKind::NoCredentials,
            Failure::Lost => TroubleKind::NoAnswer,
        };
        let is_delete_marker = response
            .and_then(|response| response.headers().get("x-amz-delete-marker"))
            .is_some_and(|value| value == "true");
        Self {
            kind,
            status,
            region: response.and_then(region),
            is_delete_marker,
            message: what_happened(error, status, code.as_deref()),
            code,
        }
    }

    /// An answer that did not come, or not whole.
    pub fn no_answer(message: impl Into<String>) -> Self {
        Self {
            kind: TroubleKind::NoAnswer,
            status: None,
            code: None,
            region: None,
            is_delete_marker: false,
            message: message.into(),
        }
    }

    /// Whether the answer has this error code.
    pub fn has_code(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// Whether a permission is missing, as far as S3 tells: of a thing that is not there, too,
    /// where the identity may not even know that.
    pub fn is_denied(&self) -> bool {
        self.has_code("AccessDenied")
            || self.has_code("AllAccessDisabled")
            || (self.status == Some(403) && self.code.is_none())
    }

    /// Whether there are no credentials, or none that S3 takes.
    pub fn is_of_credentials(&self) -> bool {
        const CODES: [&str; 7] = [
            "InvalidAccessKeyId",
            "NotSignedUp",
            "SignatureDoesNotMatch",
            "InvalidToken",
            "InvalidSecurity",
            "ExpiredToken",
            "TokenRefreshRequired",
        ];
        self.kind == TroubleKind::NoCredentials
            || self.status == Some(401)
            || CODES.iter().any(|code| self.has_code(code))
    }

    /// Whether the same question may be answered in a moment: silence, 5xx, 408 and 429.
    pub fn may_pass(&self) -> bool {
        match self.kind {
            TroubleKind::NoCredentials => false,
            TroubleKind::NotConnected | TroubleKind::NoAnswer => true,
            TroubleKind::Refused => {
                self.status.is_none_or(|status| matches!(status, 408 | 429 | 500 | 502..=599))
            }
        }
    }
}
