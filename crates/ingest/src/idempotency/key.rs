//! Keys, what is sent under them, and what both make together.

use http::HeaderMap;
use model::{Destination, EventName};
use wal::Identity;

use crate::auth::Grant;
use crate::destinations::shown;
use crate::problem::{Kind, Problem};

/// The longest key, in bytes.
const MAX_KEY_BYTES: usize = 255;

const HEADER: &str = "idempotency-key";

/// Whose key it is: a token's, or that of everybody where there are no tokens.
#[derive(Clone, Debug)]
pub(crate) struct Scope(blake3::Hasher);

/// A key of a scope, hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeyHash([u8; 16]);

/// What is sent under a key, hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content([u8; 16]);

/// The key of one event of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventKey {
    /// Which event, from 0.
    pub(crate) index: u32,
    /// Whether it stands in an array.
    pub(crate) in_array: bool,
    pub(crate) key: KeyHash,
    pub(crate) content: Content,
}

impl Scope {
    /// The scope of a sender.
    pub(crate) fn of(grant: &Grant) -> Self {
        let mut hasher = blake3::Hasher::new();
        match grant {
            Grant::All => part(&mut hasher, b"all"),
            Grant::Token(token) => {
                part(&mut hasher, b"token");
                part(&mut hasher, token.name.as_bytes());
            }
        }
        Self(hasher)
    }

    /// The key of a whole request.
    fn request(&self, key: &[u8]) -> KeyHash {
        self.key(b"request", key)
    }

    /// The key of one event: its `id`. It is no other than that of another request.
    pub(crate) fn event(&self, id: &str) -> KeyHash {
        self.key(b"event", id.as_bytes())
    }

    fn key(&self, kind: &[u8], key: &[u8]) -> KeyHash {
        let mut hasher = self.0.clone();
        part(&mut hasher, kind);
        part(&mut hasher, key);
        KeyHash(short(&hasher))
    }
}

impl KeyHash {
    /// What the key and the content make together: what the log knows a repeat by.
    pub(crate) fn identity(self, content: Content) -> Identity {
        let mut hasher = blake3::Hasher::new();
        part(&mut hasher, &self.0);
        part(&mut hasher, &content.0);
        Identity::new(short(&hasher))
    }
}

impl Content {
    /// Of a whole request: all that decides what is stored, the body byte by byte.
    pub(crate) fn of_request(route: &[&[u8]], body: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for text in route {
            part(&mut hasher, text);
        }
        part(&mut hasher, body);
        Self(short(&hasher))
    }

    /// Of one event: what is stored of it.
    pub(crate) fn of_event(to: &Destination, name: Option<&EventName>, payload: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        part(&mut hasher, to.bucket().as_str().as_bytes());
        part(&mut hasher, to.prefix().as_str().as_bytes());
        part(&mut hasher, name.map_or("", EventName::as_str).as_bytes());
        part(&mut hasher, payload);
        Self(short(&hasher))
    }
}

/// The key of the one `Idempotency-Key` header; `None` without one. The value is taken as it is,
/// quotes included.
pub(crate) fn request_key(headers: &HeaderMap, grant: &Grant) -> Result<Option<KeyHash>, Problem> {
    let wrong = |what: &str| {
        let detail = format!(
            "the header `Idempotency-Key` {what}: send one of 1 to {MAX_KEY_BYTES} visible ASCII \
             characters, such as a UUID"
        );
        Problem::new(Kind::InvalidIdempotencyKey, detail)
    };
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(wrong("was sent more than once"));
    }
    let key = value.as_bytes();
    match key.len() {
        1..=MAX_KEY_BYTES => {}
        0 => return Err(wrong("is empty")),
        bytes => return Err(wrong(&format!("has {bytes} bytes"))),
    }
    if !key.iter().all(u8::is_ascii_graphic) {
        return Err(wrong("has a space, or characters that are not visible ASCII"));
    }
    Ok(Some(Scope::of(grant).request(key)))
}

/// Checks the `id` of an event.
pub(crate) fn check_id(id: &str) -> Result<(), Problem> {
    let fits = (1..=MAX_KEY_BYTES).contains(&id.len()) && !id.chars().any(char::is_control);
    if fits {
        return Ok(());
    }
    let detail = format!(
        "the id `{}` is not valid: an id has 1 to {MAX_KEY_BYTES} bytes and no control characters",
        shown(id)
    );
    Err(Problem::new(Kind::InvalidId, detail).field("id"))
}

/// Each part behind its length, so that no two lists of parts are the same bytes.
fn part(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

fn short(hasher: &blake3::Hasher) -> [u8; 16] {
    let mut short = [0; 16];
    hasher.finalize_xof().fill(&mut short);
    short
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::HeaderValue;

    use super::*;
    use crate::fixture::token;

    fn of(values: &[&[u8]]) -> Result<Option<KeyHash>, Problem> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_bytes(value).unwrap());
        }
        request_key(&headers, &Grant::All)
    }

    #[test]
    fn a_key_is_a_short_visible_text_and_there_is_one() {
        assert_eq!(of(&[]).unwrap(), None);
        assert!(of(&[b"\"a-b\""]).unwrap().is_some());
        assert!(of(&[&[b'x'; 255]]).unwrap().is_some());
        for bad in [&[&b""[..]][..], &[&[b'x'; 256]], &[b"a b"], &[b"\xc3\xa9"], &[b"a", b"a"]] {
            assert_eq!(of(bad).unwrap_err().kind(), Kind::InvalidIdempotencyKey, "{bad:?}");
        }
    }

    #[test]
    fn an_id_has_limits() {
        for good in ["a", "order 17 ☃", &"x".repeat(255)] {
            assert!(check_id(good).is_ok(), "{good}");
        }
        for bad in ["", "a\nb", &"x".repeat(256)] {
            let problem = check_id(bad).unwrap_err();
            assert_eq!((problem.kind(), problem.field_name()), (Kind::InvalidId, Some("id")));
        }
    }

    #[test]
    fn what_differs_in_anything_has_another_identity() {
        let grants = [Grant::All, Grant::Token(Arc::new(token("a", "b-b/*")))];
        let to = |prefix| Destination::parse("bucket", prefix).unwrap();
        let name = EventName::new("n").unwrap();
        let contents = [
            Content::of_event(&to("a"), None, b"1"),
            Content::of_event(&to("b"), None, b"1"),
            Content::of_event(&to("a"), Some(&name), b"1"),
            Content::of_event(&to("a"), None, b"2"),
            Content::of_request(&[b"a", b"b"], b"1"),
            Content::of_request(&[b"ab", b""], b"1"),
            Content::of_request(&[b"a", b"b"], b"2"),
        ];
        let mut identities = Vec::new();
        for scope in grants.iter().map(Scope::of) {
            for key in [scope.request(b"k"), scope.event("k"), scope.event("l")] {
                identities.extend(contents.iter().map(|content| key.identity(*content)));
            }
        }
        assert_eq!(identities[0], Scope::of(&Grant::All).request(b"k").identity(contents[0]));
        identities.sort_unstable();
        identities.dedup();
        assert_eq!(identities.len(), 2 * 3 * 7);
    }
}
