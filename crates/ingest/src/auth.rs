//! Who a request comes from, and what that lets it reach.

use std::fmt;
use std::sync::Arc;

use blake3::Hash;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use model::Destination;

use crate::config::{Auth, Token};
use crate::meter::{Meter, Meters};
use crate::problem::{Kind, Problem};

/// Knows the tokens.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Hash by hash; `None` where everybody may send.
    tokens: Option<Vec<Known>>,
}

/// A token, and what was sent with it.
struct Known {
    hash: Hash,
    token: Arc<Token>,
    meter: Option<Arc<Meter>>,
}

/// What a request may reach.
#[derive(Clone, Debug)]
pub(crate) enum Grant {
    /// Every destination.
    All,
    /// What this token allows.
    Token(Arc<Token>),
}

impl Gate {
    /// A gate for these tokens.
    pub(crate) fn new(auth: Auth) -> Self {
        Self { tokens: None }.renewed(auth)
    }

    /// A gate for other tokens. One of the same name and the same limits has used what it had used.
    pub(crate) fn renewed(&self, auth: Auth) -> Self {
        let before = self.tokens.as_deref().unwrap_or_default();
        let known = |token| Known::new(token, before);
        let tokens = match auth {
            Auth::None => None,
            Auth::Tokens(tokens) => Some(tokens.into_iter().map(known).collect()),
        };
        Self { tokens }
    }

    /// Finds out who sends.
    #[cfg(test)]
    pub(crate) fn identify(&self, headers: &HeaderMap) -> Result<Grant, Problem> {
        Ok(self.find(headers)?.map_or(Grant::All, |known| Grant::Token(Arc::clone(&known.token))))
    }

    /// Finds out who sends, and counts the request for the token. What else is to be counted for
    /// the request comes to the meters, of which `connection` is one.
    pub(crate) fn admit(
        &self,
        headers: &HeaderMap,
        connection: Option<Arc<Meter>>,
    ) -> Result<(Grant, Meters), Problem> {
        let Some(known) = self.find(headers)? else {
            return Ok((Grant::All, Meters::of(connection, None)));
        };
        if let Some(meter) = &known.meter {
            meter.request()?;
        }
        let meters = Meters::of(connection, known.meter.clone());
        Ok((Grant::Token(Arc::clone(&known.token)), meters))
    }

    /// The token that was sent; `None` where everybody may send.
    ///
    /// Only hashes are compared, each in constant time (`blake3::Hash`'s `eq`), and all of them
    /// every time: how long it takes tells nothing about which token came near.
    fn find(&self, headers: &HeaderMap) -> Result<Option<&Known>, Problem> {
        let Some(tokens) = &self.tokens else { return Ok(None) };
        let presented = blake3::hash(bearer(headers)?);
        let mut found = None;
        for known in tokens {
            if known.hash == presented {
                found = Some(known);
            }
        }
        found.map(Some).ok_or_else(|| {
            Problem::new(
                Kind::Unauthorized,
                "the token is not known here: it was mistyped or withdrawn: make one with \
                 `minutelog admin token NAME` and put its hash into the configuration",
            )
        })
    }
}

impl Known {
    fn new(token: Token, before: &[Self]) -> Self {
        let hash = Hash::from_bytes(*token.hash.as_bytes());
        let before = before.iter().find(|known| known.token.name == token.name);
        let whose = format!("the token `{}`", token.name);
        let meter = Meter::renewed(before.and_then(|it| it.meter.as_ref()), whose, token.limits);
        Self { hash, token: Arc::new(token), meter }
    }
}

/// Without the hash.
impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.token.fmt(f)
    }
}

impl Grant {
    /// Whether `destination` may be reached.
    pub(crate) fn allows(&self, destination: &Destination) -> bool {
        match self {
            Self::All => true,
            Self::Token(token) => token.allow.iter().any(|pattern| pattern.matches(destination)),
        }
    }

    /// Refuses what may not be reached.
    pub(crate) fn check(&self, destination: &Destination) -> Result<(), Problem> {
        if self.allows(destination) {
            return Ok(());
        }
        let name = match self {
            Self::All => "",
            Self::Token(token) => token.name.as_str(),
        };
        Err(Problem::new(
            Kind::DestinationNotAllowed,
            format!(
                "the token `{name}` does not reach `{destination}`: no pattern of its allow list \
                 matches: use another token or extend the list"
            ),
        ))
    }
}

/// The token of the one `Authorization: Bearer TOKEN` header (RFC 6750, 2.1).
fn bearer(headers: &HeaderMap) -> Result<&[u8], Problem> {
    let missing = |what: &str| {
        let how = "send it as `Authorization: Bearer TOKEN`";
        Problem::new(Kind::Unauthorized, format!("{what}: this service asks for a token: {how}"))
    };
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or_else(|| missing("no token was sent"))?;
    if values.next().is_some() {
        return Err(missing("more than one Authorization header was sent"));
    }
    let value = value.as_bytes();
    let (scheme, token) = value.split_at_checked(7).unwrap_or((value, &[]));
    let token = token.trim_ascii();
    if !scheme.eq_ignore_ascii_case(b"Bearer ") || token.is_empty() {
        return Err(missing("the Authorization header has no bearer token"));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use model::Digest;

    use super::*;
    use crate::allow::AllowPattern;
    use crate::config::RateLimits;

    fn gate() -> Gate {
        let token = |name: &str, text: &str, allow: &str| Token {
            name: name.to_owned(),
            hash: Digest::of(text.as_bytes()),
            allow: vec![AllowPattern::parse(allow).unwrap()],
            limits: RateLimits::default(),
        };
        Gate::new(Auth::Tokens(vec![
            token("one", "secret-1", "my-bucket/a/*"),
            token("two", "secret-2", "my-bucket/*"),
        ]))
    }

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_token_reaches_what_it_allows() {
        let gate = gate();
        let inside = Destination::parse("my-bucket", "a/b").unwrap();
        let outside = Destination::parse("my-bucket", "b").unwrap();
        let one = gate.identify(&headers(&["Bearer secret-1"])).unwrap();
        assert_eq!((one.allows(&inside), one.allows(&outside)), (true, false));
        let problem = one.check(&outside).unwrap_err();
        assert_eq!(problem.kind(), Kind::DestinationNotAllowed);
        assert!(problem.detail().contains("`my-bucket/b/`"), "{}", problem.detail());
        let two = gate.identify(&headers(&["bearer  secret-2"])).unwrap();
        assert!(two.allows(&inside) && two.allows(&outside));
    }

    #[test]
    fn whoever_has_no_known_token_stays_outside() {
        let gate = gate();
        for values in [
            &[][..],
            &["secret-1"],
            &["Bearer"],
            &["Bearer "],
            &["Basic secret-1"],
            &["Bearer secret"],
            &["Bearer secret-11"],
            &["Bearer secret-1", "Bearer secret-1"],
        ] {
            let problem = gate.identify(&headers(values)).unwrap_err();
            assert_eq!(problem.kind(), Kind::Unauthorized, "{values:?}");
        }
    }

    #[test]
    fn a_token_that_is_nearly_right_is_as_wrong_as_any() {
        let right = "ml_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        let gate = Gate::new(Auth::Tokens(vec![Token {
            name: "one".to_owned(),
            hash: Digest::of(right.as_bytes()),
            allow: vec![AllowPattern::parse("my-bucket/*").unwrap()],
            limits: RateLimits::default(),
        }]));
        let known = |text: &str| gate.identify(&headers(&[&format!("Bearer {text}")])).is_ok();
        assert!(known(right));
        for at in 0..right.len() {
            let mut near = right.to_owned();
            let other = if &right[at..=at] == "x" { "y" } else { "x" };
            near.replace_range(at..=at, other);
            assert!(!known(&near), "{near}");
            assert!(!known(&right[..at]), "{}", &right[..at]);
        }
        assert!(!known(&right.to_uppercase()) && !known(&format!("{right}0")));
        // The hash stands in the configuration: who reads it there has no token.
        assert!(!known(&Digest::of(right.as_bytes()).to_string()));
    }

    #[test]
    fn a_hash_is_in_nothing_that_is_logged() {
        let hash = Digest::of(b"secret-1").to_string();
        let shown = format!("{:?}", gate());
        assert!(shown.contains("one") && !shown.contains(&hash), "{shown}");
        let grant = gate().identify(&headers(&["Bearer secret-1"])).unwrap();
        assert!(!format!("{grant:?}").contains(&hash));
    }

    #[test]
    fn without_tokens_everything_is_reached() {
        let gate = Gate::new(Auth::None);
        let anywhere = Destination::parse("any-bucket", "").unwrap();
        assert!(gate.identify(&HeaderMap::new()).unwrap().check(&anywhere).is_ok());
    }
}
