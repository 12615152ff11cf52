//! Clients over HTTP.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::OnceLock;

use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::blocking::{self, RequestBuilder};
use serde_json::Value;

use crate::poll::PATIENCE;

/// Sends to one address. It never tries again by itself.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    token: Option<String>,
    key: Option<String>,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl Client {
    /// A client of this address.
    pub fn new(address: SocketAddr) -> Self {
        Self { base: format!("http://{address}"), token: None, key: None }
    }

    /// The same with a token.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// The same with an `Idempotency-Key`.
    #[must_use]
    pub fn with_key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// `POST /v1/send/s3` with a body that is JSON, or meant to be.
    pub fn post_send(&self, body: impl Into<Vec<u8>>) -> Answer {
        self.post("/v1/send/s3", Some("application/json"), None, body)
    }

    /// `POST /v1/s3/{bucket}?{query}`.
    pub fn post_bulk(&self, to: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
        self.post(&format!("/v1/s3/{to}"), Some(content_type), None, body)
    }

    /// Any `POST`.
    pub fn post(
        &self,
        path: &str,
        content_type: Option<&str>,
        content_encoding: Option<&str>,
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        self.try_post(path, content_type, content_encoding, body).expect("the service answers")
    }

    fn try_post(
        &self,
        path: &str,
        content_type: Option<&str>,
        content_encoding: Option<&str>,
        body: impl Into<Vec<u8>>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.prepare(http().post(format!("{}{path}", self.base)));
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        if let Some(content_encoding) = content_encoding {
            request = request.header(CONTENT_ENCODING, content_encoding);
        }
        finish(request.body(body.into()))
    }

    /// Any method without a body.
    pub fn request(&self, method: reqwest::Method, path: &str) -> Answer {
        let request = http().request(method, format!("{}{path}", self.base));
        finish(self.prepare(request)).expect("the service answers")
    }

    /// `GET`.
    pub fn get(&self, path: &str) -> Answer {
        self.try_get(path).expect("the service answers")
    }

    /// `GET`, from somebody who may not answer.
    pub fn try_get(&self, path: &str) -> reqwest::Result<Answer> {
        finish(self.prepare(http().get(format!("{}{path}", self.base))))
    }

    /// Sends one event and returns its id.
    #[track_caller]
    pub fn send(&self, bucket: &str, prefix: &str, payload: &str) -> String {
        let answer = self.try_send(bucket, prefix, payload).expect("the service answers");
        answer.ids().swap_remove(0)
    }

    /// Sends one event to a service that may be dying.
    pub fn try_send(&self, bucket: &str, prefix: &str, payload: &str) -> reqwest::Result<Answer> {
        let (bucket, prefix) = (Value::from(bucket), Value::from(prefix));
        self.try_post_send(format!(
            r#"{{"bucket":{bucket},"prefix":{prefix},"payload":{payload}}}"#
        ))
    }

    /// `POST /v1/send/s3` to a service that may be dying.
    pub fn try_post_send(&self, body: String) -> reqwest::Result<Answer> {
        let request = http().post(format!("{}/v1/send/s3", self.base));
        finish(self.prepare(request).header(CONTENT_TYPE, "application/json").body(body))
    }

    /// `POST /v1/s3/{bucket}?{query}` to a service that may be dying.
    pub fn try_post_bulk(
        &self,
        to: &str,
        content_type: &str,
        body: impl Into<Vec<u8>>,
    ) -> reqwest::Result<Answer> {
        self.try_post(&format!("/v1/s3/{to}"), Some(content_type), None, body)
    }

    fn prepare(&self, mut request: RequestBuilder) -> RequestBuilder {
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(key) = &self.key {
            request = request.header("idempotency-key", key);
        }
        request
    }
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{}: no JSON: {error}: {}", self.status, self.text))
    }

    /// The ids of an acceptance of `/v1/send/s3`.
    #[track_caller]
    pub fn ids(&self) -> Vec<String> {
        assert_eq!(self.status, 200, "{}", self.text);
        let document = self.json();
        let ids: Vec<String> = document["ids"]
            .as_array()
            .and_then(|ids| ids.iter().map(|id| id.as_str().map(str::to_owned)).collect())
            .unwrap_or_else(|| panic!("no ids in {document}"));
        assert_eq!(document["accepted"], ids.len(), "{document}");
        ids
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Asserts that it is a problem of RFC 9457 with this status and the end of this type, and
    /// returns the document.
    #[track_caller]
    pub fn problem(&self, status: u16, slug: &str) -> Value {
        assert_eq!(self.status, status, "{slug}: {}", self.text);
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text);
        let document = self.json();
        assert_eq!(document["status"], status, "{document}");
        let kind = document["type"].as_str().unwrap_or_default();
        assert!(kind.ends_with(&format!(":{slug}")), "{document} is not {slug}");
        for field in ["title", "detail"] {
            let text = document[field].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{document} has no {field}");
        }
        document
    }
}

/// A text as part of a URL: all but RFC 3986's unreserved characters is encoded.
pub fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
    encoded
}

/// One pool of connections for all clients.
fn http() -> &'static blocking::Client {
    static HTTP: OnceLock<blocking::Client> = OnceLock::new();
    HTTP.get_or_init(|| {
        blocking::Client::builder()
            .timeout(PATIENCE)
            .no_proxy()
            .build()
            .expect("a client without TLS needs nothing of the machine")
    })
}

fn finish(request: RequestBuilder) -> reqwest::Result<Answer> {
    let answer = request.send()?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Ok(Answer { status, headers, text: answer.text()? })
}
