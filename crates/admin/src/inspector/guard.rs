//! Who may look, and what browsers are told about the page.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use blake3::Hash;
use http::header::{self, AUTHORIZATION, COOKIE, HOST, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::error::{Error, Result};
use crate::inspector::answers::problem;

/// The name of the cookie that stands for the token.
const SESSION: &str = "minutelog_inspector";

/// How long an answer to a wrong token takes: guessing is slow.
const WRONG: Duration = Duration::from_millis(500);

/// What every answer says to browsers.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Knows who may look.
#[derive(Clone, Debug)]
pub(crate) struct Guard(Arc<Known>);

#[derive(Debug)]
struct Known {
    /// The address, where only this machine's own names are answered.
    loopback: Option<IpAddr>,
    token: Option<Token>,
}

struct Token {
    hash: Hash,
    /// What the cookie says: it is worth nothing once the process has ended.
    session: String,
    session_hash: Hash,
}

/// Without anything that lets somebody in.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

impl Guard {
    /// A guard of the page at `address`.
    pub(crate) fn new(address: SocketAddr, token: Option<&str>) -> Result<Self> {
        let loopback = Some(address.ip()).filter(IpAddr::is_loopback);
        let token = token.map(Token::new).transpose()?;
        Ok(Self(Arc::new(Known { loopback, token })))
    }

    /// I2: whether the request names this machine by a name of its own. Somebody else's name that
    /// leads here is how a page of theirs would read this one.
    fn knows_host(&self, headers: &HeaderMap) -> bool {
        let Some(own) = self.0.loopback else { return true };
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let Ok(host) = host.to_str() else { return false };
        let name = match host.rsplit_once(':') {
            // A port may be forwarded from another one.
            Some((name, port)) if port.parse::<u16>().is_ok() => name,
            _ => host,
        };
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        name.eq_ignore_ascii_case("localhost")
            || bare.parse::<IpAddr>().is_ok_and(|ip| ip == own || ip.is_loopback())
    }

    /// I1: whether the request may see anything.
    fn lets_in(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.0.token else { return true };
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = bearer.and_then(|value| value.strip_prefix("Bearer "));
        if bearer.is_some_and(|bearer| token.is(bearer.trim())) {
            return true;
        }
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut cookies = cookies.flat_map(|value| value.split(';'));
        cookies.any(|cookie| {
            let value = cookie.trim().strip_prefix(SESSION).and_then(|it| it.strip_prefix('='));
            value.is_some_and(|value| token.session_is(value))
        })
    }

    /// Trades the token for a cookie that scripts cannot read.
    pub(crate) async fn session(&self, presented: &str) -> Response {
        let Some(token) = &self.0.token else { return StatusCode::NO_CONTENT.into_response() };
        if !token.is(presented.trim()) {
            tokio::time::sleep(WRONG).await;
            return problem(StatusCode::UNAUTHORIZED, "this is not the token of the inspector");
        }
        let session = &token.session;
        let cookie = format!("{SESSION}={session}; HttpOnly; SameSite=Strict; Path=/");
        (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response()
    }
}

impl Token {
    fn new(token: &str) -> Result<Self> {
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce).map_err(|error| {
            Error::Output(std::io::Error::other(format!("random bytes: {error}")))
        })?;
        let session = blake3::keyed_hash(&nonce, token.as_bytes()).to_hex().to_string();
        let session_hash = blake3::hash(session.as_bytes());
        Ok(Self { hash: blake3::hash(token.as_bytes()), session, session_hash })
    }

    /// Only hashes are compared, in constant time (`blake3::Hash`'s `eq`).
    fn is(&self, presented: &str) -> bool {
        blake3::hash(presented.as_bytes()) == self.hash
    }

    fn session_is(&self, presented: &str) -> bool {
        blake3::hash(presented.as_bytes()) == self.session_hash
    }
}

/// Answers requests to other names with nothing, and says to browsers what every answer says.
pub(crate) async fn every(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let mut response = if guard.knows_host(request.headers()) {
        next.run(request).await
    } else {
        let what = "this page is for this machine: open it as http://localhost or http://127.0.0.1";
        problem(StatusCode::MISDIRECTED_REQUEST, what)
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let cached = response.headers_mut().entry(header::CACHE_CONTROL);
    cached.or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Refuses whoever has no token.
pub(crate) async fn known(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    if guard.lets_in(request.headers()) {
        next.run(request).await
    } else {
        let mut response = problem(StatusCode::UNAUTHORIZED, "the inspector asks for its token");
        let bearer = HeaderValue::from_static("Bearer realm=\"minutelog inspector\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    fn guard(address: &str, token: Option<&str>) -> Guard {
        Guard::new(address.parse().unwrap(), token).unwrap()
    }

    #[test]
    fn on_loopback_only_names_of_this_machine_are_answered() {
        let own = guard("127.0.0.1:9603", None);
        for (host, is_own) in [
            ("127.0.0.1:9603", true),
            ("localhost:8080", true),
            ("LOCALHOST", true),
            ("[::1]:9603", true),
            ("127.0.0.1", true),
            ("evil.example", false),
            ("evil.example:9603", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("10.0.0.1", false),
            ("", false),
        ] {
            assert_eq!(own.knows_host(&headers(HOST, host)), is_own, "{host}");
        }
        assert!(!own.knows_host(&HeaderMap::new()));
        let mut two = headers(HOST, "localhost");
        two.append(HOST, HeaderValue::from_static("evil.example"));
        assert!(!own.knows_host(&two));
        // The token guards a page that others may reach.
        assert!(guard("10.0.0.1:9603", Some("t")).knows_host(&headers(HOST, "logs.example")));
    }

    #[tokio::test]
    async fn a_token_lets_in_and_nothing_near_it_does() {
        let open = guard("127.0.0.1:9603", None);
        assert!(open.lets_in(&HeaderMap::new()));
        let guard = guard("10.0.0.1:9603", Some("secret-of-a-good-length"));
        assert!(!guard.lets_in(&HeaderMap::new()));
        for (value, is_in) in [
            ("Bearer secret-of-a-good-length", true),
            ("Bearer secret-of-a-good-lengt", false),
            ("Bearer ", false),
            ("secret-of-a-good-length", false),
        ] {
            assert_eq!(guard.lets_in(&headers(AUTHORIZATION, value)), is_in, "{value}");
        }
        assert_eq!(guard.session("secret").await.status(), StatusCode::UNAUTHORIZED);
        let session = guard.session("secret-of-a-good-length\n").await;
        let cookie = session.headers()[header::SET_COOKIE].to_str().unwrap();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        assert!(!cookie.contains("secret"), "{cookie}");
        let (pair, _) = cookie.split_once(';').unwrap();
        assert!(guard.lets_in(&headers(COOKIE, &format!("a=b; {pair}"))));
        assert!(!guard.lets_in(&headers(COOKIE, &format!("{pair}0"))));
        assert!(!guard.lets_in(&headers(COOKIE, "minutelog_inspector=")));
        assert!(!format!("{guard:?}").contains("secret"));
    }
}
