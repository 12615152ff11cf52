//! What the headers say about a body: its type and its compression.

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue};

use crate::destinations::shown;
use crate::problem::{Kind, Problem};

/// How a body is compressed (RFC 9110, 8.4.1; RFC 9659 for zstd).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    /// zlib's format as the RFC has it, or the bare deflate stream that some clients send.
    Deflate,
    Zstd,
}

/// What the body of a bulk request holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One JSON value a line.
    Ndjson,
    /// One JSON value.
    Json,
    /// One text a line.
    Text,
}

const ENCODINGS: &str = "gzip, deflate, zstd, identity";
const JSON_TYPE: &str = "application/json";
const BULK_TYPES: &str = "application/x-ndjson, application/json, text/plain";

impl Encoding {
    /// Reads the `Content-Encoding` header. A body that was compressed twice is refused.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let refuse = |what: String| {
            let how = "send the body with one of gzip, deflate and zstd, or without any";
            Problem::new(Kind::UnsupportedEncoding, format!("{what}: {how}")).accept(ENCODINGS)
        };
        for value in headers.get_all(TRANSFER_ENCODING) {
            let value = String::from_utf8_lossy(value.as_bytes());
            if !value.trim().eq_ignore_ascii_case("chunked") {
                let name = shown(&value);
                return Err(refuse(format!("the transfer encoding `{name}` is not known")));
            }
        }
        let mut encoding = Self::Identity;
        for value in headers.get_all(CONTENT_ENCODING) {
            let value = String::from_utf8_lossy(value.as_bytes());
            for name in value.split(',').map(|name| name.trim().to_ascii_lowercase()) {
                let next = match name.as_str() {
                    "identity" | "" => continue,
                    "gzip" | "x-gzip" => Self::Gzip,
                    "deflate" => Self::Deflate,
                    "zstd" => Self::Zstd,
                    _ => {
                        let name = shown(name.as_str());
                        return Err(refuse(format!("the content encoding `{name}` is not known")));
                    }
                };
                if encoding != Self::Identity {
                    return Err(refuse("the body has more than one content encoding".to_owned()));
                }
                encoding = next;
            }
        }
        Ok(encoding)
    }
}

/// Checks that the body is JSON. Without a `Content-Type` it is taken to be.
pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let mut values = headers.get_all(CONTENT_TYPE).iter().map(HeaderValue::as_bytes);
    // As nearly all clients write it.
    if (values.next(), values.next()) == (Some(JSON_TYPE.as_bytes()), None) {
        return Ok(());
    }
    match media_type(headers, JSON_TYPE)?.as_deref() {
        None | Some(JSON_TYPE) => Ok(()),
        Some(other) => Err(unsupported(other, JSON_TYPE)),
    }
}

/// Reads the `Content-Type` of a bulk request, which nothing can stand in for.
pub(crate) fn bulk_form(headers: &HeaderMap) -> Result<Form, Problem> {
    match media_type(headers, BULK_TYPES)?.as_deref() {
        Some("application/x-ndjson" | "application/ndjson" | "application/jsonl") => {
            Ok(Form::Ndjson)
        }
        Some("application/json") => Ok(Form::Json),
        Some("text/plain") => Ok(Form::Text),
        Some(other) => Err(unsupported(other, BULK_TYPES)),
        None => Err(unsupported("", BULK_TYPES)),
    }
}

/// The length that the client announced, in bytes on the wire.
pub(crate) fn announced_bytes(headers: &HeaderMap) -> Option<u64> {
    single(headers, &CONTENT_LENGTH)?.parse().ok()
}

/// The media type without its parameters, in lower case. A `charset` other than UTF-8 is refused,
/// with `accepted` as the types that would be taken.
fn media_type(headers: &HeaderMap, accepted: &'static str) -> Result<Option<String>, Problem> {
    if headers.get_all(CONTENT_TYPE).iter().nth(1).is_some() {
        let detail = "there is more than one content type: set the header `Content-Type` once";
        return Err(Problem::new(Kind::UnsupportedMediaType, detail).accept(accepted));
    }
    let Some(value) = single(headers, &CONTENT_TYPE) else { return Ok(None) };
    let mut parts = value.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    for parameter in parts {
        let Some((key, charset)) = parameter.split_once('=') else { continue };
        let charset = charset.trim().trim_matches('"');
        let utf8 = ["utf-8", "utf8", "us-ascii"].iter().any(|it| charset.eq_ignore_ascii_case(it));
        if key.trim().eq_ignore_ascii_case("charset") && !utf8 {
            let charset = shown(charset);
            let detail = format!("the charset `{charset}` is not supported: send UTF-8");
            return Err(Problem::new(Kind::UnsupportedMediaType, detail).accept(accepted));
        }
    }
    Ok(if name.is_empty() { None } else { Some(name) })
}

fn unsupported(name: &str, accepted: &'static str) -> Problem {
    let what = if name.is_empty() {
        "no content type was sent".to_owned()
    } else {
        format!("the content type `{}` is not taken here", shown(name))
    };
    let detail = format!("{what}: set the header `Content-Type` to one of: {accepted}");
    Problem::new(Kind::UnsupportedMediaType, detail).accept(accepted)
}

/// The value of a header that must stand alone; the last one decides where it doesn't.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<std::borrow::Cow<'h, str>> {
    let value = headers.get_all(name).iter().next_back()?;
    Some(String::from_utf8_lossy(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn encodings_are_known_by_every_spelling() {
        for (values, encoding) in [
            (&[][..], Encoding::Identity),
            (&["identity"], Encoding::Identity),
            (&[""], Encoding::Identity),
            (&["gzip"], Encoding::Gzip),
            (&["X-GZIP"], Encoding::Gzip),
            (&["Deflate"], Encoding::Deflate),
            (&["identity, zstd"], Encoding::Zstd),
        ] {
            let headers = headers(&CONTENT_ENCODING, values);
            assert_eq!(Encoding::of(&headers), Ok(encoding), "{values:?}");
        }
        for values in [&["br"][..], &["gzip, gzip"], &["gzip", "zstd"], &["gzip;q=1"]] {
            let problem = Encoding::of(&headers(&CONTENT_ENCODING, values)).unwrap_err();
            assert_eq!(problem.kind(), Kind::UnsupportedEncoding, "{values:?}");
        }
        let framing = |values| Encoding::of(&headers(&TRANSFER_ENCODING, values));
        assert_eq!(framing(&["Chunked"]), Ok(Encoding::Identity));
        for values in [&["gzip, chunked"][..], &["identity", "chunked"], &["gzip"]] {
            let problem = framing(values).unwrap_err();
            assert_eq!(problem.kind(), Kind::UnsupportedEncoding, "{values:?}");
        }
    }

    #[test]
    fn content_types_are_told_apart() {
        for (value, form) in [
            ("application/x-ndjson", Form::Ndjson),
            ("application/ndjson", Form::Ndjson),
            ("application/jsonl; charset=utf-8", Form::Ndjson),
            ("Application/JSON", Form::Json),
            ("text/plain", Form::Text),
            ("text/plain;charset=\"UTF-8\"", Form::Text),
        ] {
            assert_eq!(bulk_form(&headers(&CONTENT_TYPE, &[value])), Ok(form), "{value}");
        }
        let twice = &["text/plain", "application/json"];
        for values in [&[][..], &["text/html"], &["text/plain; charset=latin1"], &["json"], twice] {
            let problem = bulk_form(&headers(&CONTENT_TYPE, values)).unwrap_err();
            assert_eq!(problem.kind(), Kind::UnsupportedMediaType, "{values:?}");
        }
        assert_eq!(require_json(&HeaderMap::new()), Ok(()));
        assert_eq!(
            require_json(&headers(&CONTENT_TYPE, &["application/json;charset=utf-8"])),
            Ok(())
        );
        let form = headers(&CONTENT_TYPE, &["application/x-www-form-urlencoded"]);
        assert_eq!(require_json(&form).unwrap_err().kind(), Kind::UnsupportedMediaType);
    }

    #[test]
    fn an_answer_does_not_grow_with_a_header() {
        let long = "a".repeat(60_000);
        let of_type = bulk_form(&headers(&CONTENT_TYPE, &[&long])).unwrap_err();
        let charset = format!("text/plain; charset={long}");
        let of_charset = bulk_form(&headers(&CONTENT_TYPE, &[&charset])).unwrap_err();
        let of_encoding = Encoding::of(&headers(&CONTENT_ENCODING, &[&long])).unwrap_err();
        for problem in [of_type, of_charset, of_encoding] {
            assert!(problem.detail().len() < 1000, "{} bytes", problem.detail().len());
        }
    }
}
