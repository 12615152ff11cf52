//! Where the service is, and where on it events go.

use http::Uri;
use http::uri::{InvalidUri, Scheme};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::builder::ConnectError;

/// RFC 3986's unreserved characters need no encoding anywhere.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The address of the service, without a slash at its end.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    base: String,
    send: Uri,
    is_https: bool,
}

impl Address {
    /// Checks an address as in `http://127.0.0.1:9600`. A path is kept: the service's routes are below
    /// it.
    pub(crate) fn parse(url: &str) -> Result<Self, ConnectError> {
        let refuse = |why: &str| ConnectError::Address { url: url.to_owned(), why: why.to_owned() };
        let uri: Uri = url.parse().map_err(|error: InvalidUri| refuse(&error.to_string()))?;
        let scheme = uri.scheme().ok_or_else(|| refuse("it has no scheme"))?;
        if *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS {
            return Err(refuse("it is neither http nor https"));
        }
        // Not shown: what stands before the `@` is a secret.
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            let why = "it has a user or a password: give the token to the builder";
            return Err(ConnectError::Address { url: "(hidden)".to_owned(), why: why.to_owned() });
        }
        if uri.query().is_some() || url.contains('#') {
            return Err(refuse("it has a query or a fragment"));
        }
        let base = url.trim_end_matches('/').to_owned();
        let send = format!("{base}/v1/send/s3").parse();
        let send = send.map_err(|error: InvalidUri| refuse(&error.to_string()))?;
        Ok(Self { base, send, is_https: *scheme == Scheme::HTTPS })
    }

    /// Whether TLS is spoken.
    pub(crate) fn is_https(&self) -> bool {
        self.is_https
    }

    /// Where events go that are JSON.
    pub(crate) fn send(&self) -> &Uri {
        &self.send
    }

    /// Where lines for this destination go; an error where that is longer than an address can be.
    pub(crate) fn lines(
        &self,
        bucket: &str,
        prefix: &str,
        name: Option<&str>,
    ) -> Result<Uri, InvalidUri> {
        let encoded = |text| utf8_percent_encode(text, ENCODED).to_string();
        let mut uri = format!("{}/v1/s3/{}?prefix={}", self.base, encoded(bucket), encoded(prefix));
        if let Some(name) = name {
            uri.push_str("&event=");
            uri.push_str(&encoded(name));
        }
        uri.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_routes_are_below_the_address() {
        for url in ["http://localhost:9600", "http://localhost:9600/"] {
            let address = Address::parse(url).unwrap();
            assert_eq!(address.send().to_string(), "http://localhost:9600/v1/send/s3");
            assert!(!address.is_https());
        }
        let address = Address::parse("https://[::1]/minutelog/").unwrap();
        assert_eq!(address.send().to_string(), "https://[::1]/minutelog/v1/send/s3");
        assert!(address.is_https());
        let lines = address.lines("my-bucket", "a b/ä&=?#", Some("n/1+2%")).unwrap();
        assert_eq!(
            lines.to_string(),
            "https://[::1]/minutelog/v1/s3/my-bucket?prefix=a%20b%2F%C3%A4%26%3D%3F%23&event=n%2F1%2B2%25"
        );
        assert!(address.lines("b", &"p".repeat(100_000), None).is_err());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for (url, why) in [
            ("", "empty"),
            ("localhost", "no scheme"),
            ("ftp://localhost", "neither http nor https"),
            ("http://a:b@localhost", "a user or a password"),
            ("http://localhost/?a=b", "a query"),
            ("http://localhost/#a", "a fragment"),
        ] {
            let error = Address::parse(url).unwrap_err().to_string();
            assert!(error.contains(why), "{url}: {error}");
            assert!(!error.contains("a:b@"), "{error}");
        }
    }
}
