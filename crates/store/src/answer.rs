//! From the SDK's errors to ours.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use hyper_util::client::legacy;
use model::Bucket;

use crate::classify::{Failure, Fate, classify};
use crate::error::PutError;

/// The longest piece of a message that was not written by us, in characters.
const MAX_QUOTED: usize = 300;

/// What a call that failed says about itself.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The HTTP status, where there was an answer.
    pub(crate) status: Option<u16>,
    /// What it means.
    pub(crate) error: PutError,
    /// The error code, where the answer has one.
    pub(crate) code: Option<String>,
}

impl Refusal {
    /// Reads the error of the call `call` (S3's own name for it) on `bucket`.
    pub(crate) fn new<E>(bucket: &Bucket, call: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let code = error.code().map(str::to_owned);
        let verdict = classify(failure(error, status, code.as_deref()));
        let what = what_happened(error, status, code.as_deref());
        let mut message = format!("bucket {bucket}: {call}: {what}");
        if let Some(region) = error.raw_response().and_then(region) {
            message = format!("{message}: the bucket is in region {region}");
        }
        if let Some(advice) = verdict.advice {
            message = format!("{message}: {advice}");
        }
        let class = verdict.class;
        let error = match verdict.fate {
            Fate::NotStored => PutError::NotStored { class, message },
            Fate::Unknown => PutError::Unknown { class, message },
        };
        Self { status, error, code }
    }

    /// Whether the answer is a definite no, rather than silence or trouble that passes.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self.status, Some(400..=499 | 501) if !matches!(self.status, Some(408 | 429)))
    }
}

pub(crate) fn failure<'a, E>(
    error: &SdkError<E, HttpResponse>,
    status: Option<u16>,
    code: Option<&'a str>,
) -> Failure<'a>
where
    E: Error + Send + Sync + 'static,
{
    match (error, status) {
        (SdkError::ServiceError(_), Some(status)) => Failure::Answered { status, code },
        _ if find::<CredentialsError>(error).is_some() => Failure::NoCredentials,
        (SdkError::ConstructionFailure(_), _) => Failure::NotSent,
        (SdkError::DispatchFailure(_), _)
            if find::<legacy::Error>(error).is_some_and(legacy::Error::is_connect) =>
        {
            Failure::NotSent
        }
        _ => Failure::Lost,
    }
}

/// What went wrong, in the words of whoever says it, fit for one line.
pub(crate) fn what_happened<E>(
    error: &SdkError<E, HttpResponse>,
    status: Option<u16>,
    code: Option<&str>,
) -> String
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match (code, error.message(), status) {
        (Some(code), Some(message), _) => quoted(&format!("{code}: {message}")),
        (Some(code), None, _) => quoted(code),
        (None, _, Some(status)) if !(200..300).contains(&status) => format!("HTTP status {status}"),
        _ => quoted(&chain(error)),
    }
}

/// All the causes of an error, each once, the outermost first.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut causes: Vec<String> = Vec::new();
    for cause in std::iter::successors(Some(error), |&error| error.source()) {
        let text = cause.to_string();
        if !causes.last().is_some_and(|last| last.ends_with(&text)) {
            causes.push(text);
        }
    }
    causes.join(": ")
}

/// Foreign text, fit for one line of ours.
fn quoted(text: &str) -> String {
    let plain = text.trim_end_matches('.').chars();
    plain.map(|c| if c.is_control() { ' ' } else { c }).take(MAX_QUOTED).collect()
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    std::iter::successors(Some(error), |&error| error.source()).find_map(|e| e.downcast_ref())
}

/// The region that S3 names in a redirect.
pub(crate) fn region(response: &HttpResponse) -> Option<String> {
    let is_redirect = matches!(response.status().as_u16(), 301 | 400);
    let region = response.headers().get("x-amz-bucket-region").filter(|_| is_redirect)?;
    Some(quoted(region))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_one_short_line() {
        assert_eq!(quoted("Access\r\nDenied."), "Access  Denied");
        assert_eq!(quoted(&"x".repeat(10_000)).len(), MAX_QUOTED);
    }
}
