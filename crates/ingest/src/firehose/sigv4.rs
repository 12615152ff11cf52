//! AWS Signature Version 4, as far as a request without a path and a query needs it.
//!
//! The rules are those of AWS's documentation, "Create a signed AWS API request". `aws-sigv4` makes
//! signatures and verifies none: it decides itself which headers are signed, where the sender has
//! decided here.

use hmac::{Hmac, KeyInit, Mac};
use http::header::HOST;
use http::request::Parts;
use sha2::{Digest, Sha256};

/// The one algorithm that there is.
pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How every scope ends.
pub(crate) const TERMINATOR: &str = "aws4_request";

/// The day, region and service that a signature is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    /// As in `20261122`.
    pub(crate) date: String,
    pub(crate) region: String,
    pub(crate) service: String,
}

/// The headers of a request that a signature is over, in the form in which it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Canonical {
    method: String,
    /// A line for each signed header.
    headers: String,
    /// Their names, with semicolons between them.
    names: String,
}

impl Canonical {
    /// Takes the signed headers out of a request; the name of one that it does not have otherwise.
    pub(crate) fn of(parts: &Parts, names: &str) -> Result<Self, String> {
        let mut headers = String::new();
        for name in names.split(';') {
            let mut values = parts.headers.get_all(name).iter().map(|it| trimmed(it.as_bytes()));
            let value = match (values.next(), parts.uri.authority()) {
                (Some(first), _) => values.fold(first, |all, next| all + "," + &next),
                // HTTP/2 has it in the request's target (RFC 9113, 8.3.1).
                (None, Some(authority)) if name == HOST.as_str() => authority.to_string(),
                (None, _) => return Err(name.to_owned()),
            };
            headers.extend([name, ":", &value, "\n"]);
        }
        Ok(Self { method: parts.method.to_string(), headers, names: names.to_owned() })
    }

    /// Whether `signature` was made with this secret, at this time, over this and a body with this
    /// SHA-256 in hex. Takes as long wherever the first difference is ([`Mac::verify_slice`]).
    pub(crate) fn is_signed(
        &self,
        secret: &str,
        scope: &Scope,
        time: &str,
        body_hash: &str,
        signature: &[u8],
    ) -> bool {
        let Self { method, headers, names } = self;
        let canonical = format!("{method}\n/\n\n{headers}\n{names}\n{body_hash}");
        let Scope { date, region, service } = scope;
        let text = format!(
            "{ALGORITHM}\n{time}\n{date}/{region}/{service}/{TERMINATOR}\n{}",
            sha256_hex(canonical.as_bytes())
        );
        let mut key = mac(format!("AWS4{secret}").as_bytes());
        for part in [date, region, service, TERMINATOR] {
            key.update(part.as_bytes());
            key = mac(&key.finalize().into_bytes());
        }
        key.update(text.as_bytes());
        key.verify_slice(signature).is_ok()
    }
}

/// The SHA-256 of these bytes, as lower-case hex digits.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(hex_digit).collect()
}

fn hex_digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or('0')
}

/// The 32 bytes that 64 lower-case hex digits stand for.
pub(crate) fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 || digits.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok().filter(|_| !pair.starts_with('+'))?;
    }
    Some(bytes)
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// Without white space around it, and with one space for each row of spaces in it.
fn trimmed(value: &[u8]) -> String {
    let value = String::from_utf8_lossy(value);
    let mut words = value.trim().split(' ').filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |all, word| all + " " + word)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const TIME: &str = "20150830T123600Z";
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn scope() -> Scope {
        let [date, region, service] = ["20150830", "us-east-1", "service"].map(str::to_owned);
        Scope { date, region, service }
    }

    fn signed(
        method: &str,
        headers: &[(&str, &str)],
        names: &str,
        hash: &str,
        signature: &str,
    ) -> bool {
        let mut request = Request::builder().method(method).uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let canonical = Canonical::of(&parts, names).unwrap();
        canonical.is_signed(SECRET, &scope(), TIME, hash, &from_hex(signature).unwrap())
    }

    /// AWS's own test suite for signers: the requests to `/` without a query.
    #[test]
    fn aws_s_vectors_are_verified() {
        const HOST: (&str, &str) = ("host", "example.amazonaws.com");
        const DATE: (&str, &str) = ("x-amz-date", TIME);
        const TYPE: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
        const BODY: &[u8] = b"Param1=value1";
        let body = sha256_hex(BODY);
        for (name, method, more, names, hash, signature) in [
            (
                "post-vanilla",
                "POST",
                vec![],
                "host;x-amz-date",
                EMPTY,
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "post-header-key-sort",
                "POST",
                vec![("my-header1", "value1")],
                "host;my-header1;x-amz-date",
                EMPTY,
                "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
            ),
            (
                "post-header-value-case",
                "POST",
                vec![("my-header1", "VALUE1")],
                "host;my-header1;x-amz-date",
                EMPTY,
                "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
            ),
            (
                "post-x-www-form-urlencoded",
                "POST",
                vec![TYPE, ("content-length", "13"), ("x-amz-content-sha256", &body)],
                "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
                &body,
                "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
            ),
            (
                "get-header-value-trim",
                "GET",
                vec![("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
                "host;my-header1;my-header2;x-amz-date",
                EMPTY,
                "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
            ),
        ] {
            let headers = [vec![HOST, DATE], more].concat();
            assert!(signed(method, &headers, names, hash, signature), "{name}");
            let other = if signature.starts_with('0') { "1" } else { "0" };
            let near = format!("{other}{}", &signature[1..]);
            assert!(!signed(method, &headers, names, hash, &near), "{name}");
            assert!(!signed("PUT", &headers, names, hash, signature), "{name}");
        }
    }

    #[test]
    fn a_header_that_is_there_several_times_has_its_values_joined() {
        let request = Request::post("https://example.com/").header("a", " 1  2 ").header("a", "3");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let canonical = Canonical::of(&parts, "a;host").unwrap();
        assert_eq!(canonical.headers, "a:1 2,3\nhost:example.com\n");
        assert_eq!(Canonical::of(&parts, "a;b"), Err("b".to_owned()));
    }

    #[test]
    fn hex_digits_are_read_strictly() {
        assert_eq!(from_hex(EMPTY).unwrap()[..2], [0xe3, 0xb0]);
        for text in ["", &EMPTY[1..], &EMPTY.to_uppercase(), &EMPTY.replace("e3", "+3")] {
            assert_eq!(from_hex(text), None, "{text}");
        }
    }
}
