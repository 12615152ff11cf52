//! Errors as clients see them: `application/problem+json` (RFC 9457).

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use crate::kind::Kind;

/// One error as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    kind: Kind,
    detail: String,
    field: Option<String>,
    line: Option<u64>,
    retry_after: Option<Duration>,
    accept: Option<&'static str>,
}

impl Problem {
    /// A problem; `detail` says what happened, why, and what to do.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { kind, detail, field: None, line: None, retry_after: None, accept: None }
    }

    /// Names the field of the body, the path or the query that is wrong.
    #[must_use]
    pub(crate) fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Says which event of an array the field belongs to: `bucket` becomes `[3].bucket`.
    #[must_use]
    pub(crate) fn within(mut self, index: u64) -> Self {
        self.field = Some(match self.field {
            Some(field) => format!("[{index}].{field}"),
            None => format!("[{index}]"),
        });
        self
    }

    /// Names the line of the body that is wrong, from 1.
    #[must_use]
    pub(crate) fn line(mut self, line: u64) -> Self {
        self.line = Some(line);
        self
    }

    /// Says when to try again.
    #[must_use]
    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Says which content types or encodings would have been taken.
    #[must_use]
    pub(crate) fn accept(mut self, list: &'static str) -> Self {
        self.accept = Some(list);
        self
    }

    /// What went wrong.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The field that was named.
    #[cfg(test)]
    pub(crate) fn field_name(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// The status of the answer.
    pub(crate) fn status(&self) -> StatusCode {
        self.kind.parts().1
    }

    /// What happened, why, and what to do.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// When to try again.
    pub(crate) fn wait(&self) -> Option<Duration> {
        self.retry_after
    }

    /// What the client gets as the body.
    pub(crate) fn document(&self) -> Document<'_> {
        let (slug, status, title) = self.kind.parts();
        Document {
            r#type: format!("urn:minutelog:problem:{slug}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            field: self.field.as_deref(),
            line: self.line,
        }
    }

    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers =
            vec![(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))];
        if let Some(wait) = self.retry_after {
            // Rounded up: a client that comes back too early is refused once more.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.push((RETRY_AFTER, HeaderValue::from(seconds.max(1))));
        }
        if let Some(list) = self.accept {
            // RFC 9110, 15.5.16: which of the two was wrong shows in which header is sent.
            let name =
                if self.kind == Kind::UnsupportedEncoding { ACCEPT_ENCODING } else { ACCEPT };
            headers.push((name, HeaderValue::from_static(list)));
        }
        if self.kind == Kind::Unauthorized {
            headers
                .push((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"minutelog\"")));
        }
        headers
    }
}

/// A problem (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Document<'a> {
    /// Tells one problem from another.
    #[schema(pattern = "^urn:minutelog:problem:[a-z0-9-]+$")]
    r#type: String,
    /// The problem in a few words.
    title: &'static str,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened, why, and what to do.
    detail: &'a str,
    /// The field of the body, the path or the query that is wrong: `[3].bucket` in an array.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<&'a str>,
    /// The line of the body that is wrong, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    line: Option<u64>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.document());
        let body = body.expect("strings and numbers are always JSON");
        let mut response = (self.status(), body).into_response();
        for (name, value) in self.headers() {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_problem_is_a_document_of_rfc_9457() {
        let problem = Problem::new(Kind::EventTooLarge, "too much").field("[3].payload").line(7);
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let expected = serde_json::json!({
            "type": "urn:minutelog:problem:event-too-large", "title": "An event is too large",
            "status": 413, "detail": "too much", "field": "[3].payload", "line": 7,
        });
        assert_eq!(document, expected);
    }

    #[test]
    fn the_wait_is_rounded_up() {
        for (millis, seconds) in [(1, "1"), (1000, "1"), (1001, "2"), (0, "1")] {
            let problem =
                Problem::new(Kind::LogFull, "").retry_after(Duration::from_millis(millis));
            assert_eq!(problem.into_response().headers()[RETRY_AFTER], seconds);
        }
    }

    #[test]
    fn what_would_be_accepted_stands_in_the_header_of_what_was_wrong() {
        let encoding = Problem::new(Kind::UnsupportedEncoding, "").accept("gzip").into_response();
        assert_eq!(encoding.headers()[ACCEPT_ENCODING], "gzip");
        let media = Problem::new(Kind::UnsupportedMediaType, "").accept("a/b").into_response();
        assert_eq!(media.headers()[ACCEPT], "a/b");
        assert!(!media.headers().contains_key(ACCEPT_ENCODING));
    }
}
