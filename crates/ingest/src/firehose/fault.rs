//! Errors as a client of Firehose sees them: a name in `__type`, a text, and a status.
//!
//! Names and statuses are those that AWS documents for Firehose ("Common Errors", and the pages of the
//! operations), or that its clients have reported where the documentation is silent.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::answer::json;
use crate::problem::{Kind, Problem};

/// One error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    name: Name,
    message: String,
    retry_after: Option<Duration>,
}

/// What a program tells errors apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    AccessDenied,
    IncompleteSignature,
    InternalFailure,
    InvalidArgument,
    InvalidSignature,
    MissingAuthenticationToken,
    RequestEntityTooLarge,
    RequestTimeout,
    ResourceNotFound,
    Serialization,
    ServiceUnavailable,
    UnknownOperation,
    UnrecognizedClient,
    Validation,
}

impl Name {
    /// The name as clients know it, and the status that it comes with.
    pub(crate) fn parts(self) -> (&'static str, StatusCode) {
        use StatusCode as S;
        match self {
            Self::AccessDenied => ("AccessDeniedException", S::BAD_REQUEST),
            Self::IncompleteSignature => ("IncompleteSignatureException", S::BAD_REQUEST),
            Self::InternalFailure => ("InternalFailure", S::INTERNAL_SERVER_ERROR),
            Self::InvalidArgument => ("InvalidArgumentException", S::BAD_REQUEST),
            Self::InvalidSignature => ("InvalidSignatureException", S::BAD_REQUEST),
            Self::MissingAuthenticationToken => {
                ("MissingAuthenticationTokenException", S::BAD_REQUEST)
            }
            Self::RequestEntityTooLarge => ("RequestEntityTooLargeException", S::PAYLOAD_TOO_LARGE),
            Self::RequestTimeout => ("RequestTimeoutException", S::REQUEST_TIMEOUT),
            Self::ResourceNotFound => ("ResourceNotFoundException", S::BAD_REQUEST),
            Self::Serialization => ("SerializationException", S::BAD_REQUEST),
            Self::ServiceUnavailable => ("ServiceUnavailableException", S::SERVICE_UNAVAILABLE),
            Self::UnknownOperation => ("UnknownOperationException", S::BAD_REQUEST),
            Self::UnrecognizedClient => ("UnrecognizedClientException", S::BAD_REQUEST),
            Self::Validation => ("ValidationException", S::BAD_REQUEST),
        }
    }
}

impl Fault {
    /// A fault; `message` says what happened, why, and what to do.
    pub(crate) fn new(name: Name, message: impl Into<String>) -> Self {
        Self { name, message: message.into(), retry_after: None }
    }

    /// What a program tells it by.
    pub(crate) fn name(&self) -> Name {
        self.name
    }

    /// What happened, why, and what to do.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

/// What the service says on its other routes, in Firehose's words. Whatever is to be sent again later is
/// `ServiceUnavailableException`, which every client of Firehose backs off from and tries again.
impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        let name = match problem.kind() {
            Kind::Overloaded
            | Kind::LogFull
            | Kind::Draining
            | Kind::LogStopped
            | Kind::RateLimited
            | Kind::TooManyDestinations => Name::ServiceUnavailable,
            Kind::SlowBody => Name::RequestTimeout,
            Kind::RequestTooLarge => Name::RequestEntityTooLarge,
            Kind::BrokenBody | Kind::UnsupportedEncoding => Name::Serialization,
            Kind::EventTooLarge | Kind::NotUtf8 => Name::InvalidArgument,
            _ => Name::InternalFailure,
        };
        Self { name, message: problem.detail().to_owned(), retry_after: problem.wait() }
    }
}

#[derive(Serialize)]
struct Document<'f> {
    #[serde(rename = "__type")]
    kind: &'static str,
    message: &'f str,
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let (kind, status) = self.name.parts();
        let mut response = json(status, &Document { kind, message: &self.message });
        let headers = response.headers_mut();
        headers.insert("x-amzn-errortype", HeaderValue::from_static(kind));
        if let Some(wait) = self.retry_after {
            // Rounded up: a client that comes back too early is refused once more.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_sent_again_later_is_unavailable_and_nothing_else_is() {
        for kind in [Kind::LogFull, Kind::Draining, Kind::LogStopped, Kind::Overloaded] {
            let problem = Problem::new(kind, "why").retry_after(Duration::from_millis(1500));
            let fault = Fault::from(problem);
            assert_eq!(fault.name(), Name::ServiceUnavailable, "{kind:?}");
            let response = fault.into_response();
            assert_eq!(response.status(), 503);
            assert_eq!(response.headers()[RETRY_AFTER], "2");
        }
        for (kind, name, status) in [
            (Kind::SlowBody, Name::RequestTimeout, 408),
            (Kind::RequestTooLarge, Name::RequestEntityTooLarge, 413),
            (Kind::BrokenBody, Name::Serialization, 400),
            (Kind::Internal, Name::InternalFailure, 500),
        ] {
            let fault = Fault::from(Problem::new(kind, "why"));
            assert_eq!((fault.name(), fault.message()), (name, "why"));
            let response = fault.into_response();
            assert_eq!(response.status(), status);
            assert!(!response.headers().contains_key(RETRY_AFTER));
        }
    }
}
