//! Answers in AWS JSON 1.1.

use axum::body::Body;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;

/// The media type of bodies, both ways.
pub(crate) const MEDIA_TYPE: &str = "application/x-amz-json-1.1";

/// An answer with this body and an id of its own.
pub(crate) fn json(status: StatusCode, document: &impl Serialize) -> Response {
    let body = serde_json::to_vec(document).expect("structs of texts and numbers are always JSON");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    if let Some(id) = request_id() {
        headers.insert("x-amzn-requestid", id);
    }
    response
}

/// A UUID of random bits, as AWS names requests; nobody asks for one here, so that it may be left out.
fn request_id() -> Option<HeaderValue> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    // RFC 9562, 5.4: the version is 4, the variant binary 10.
    let bits = u128::from_be_bytes(bytes) & !((0xf << 76) | (0b11 << 62));
    let bits = bits | (0x4 << 76) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32].map(|group| hex.get(group).unwrap_or(""));
    HeaderValue::from_str(&groups.join("-")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_random_uuid() {
        let id = request_id().unwrap();
        let id = id.to_str().unwrap();
        let dashes: Vec<_> = id.match_indices('-').map(|(at, _)| at).collect();
        assert_eq!((id.len(), dashes), (36, vec![8, 13, 18, 23]), "{id}");
        assert_eq!(&id[14..15], "4", "{id}");
        assert!("89ab".contains(&id[19..20]), "{id}");
        assert_ne!(request_id().unwrap(), id);
    }
}
