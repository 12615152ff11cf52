//! Who a request comes from, and what that lets it reach.

use std::sync::Arc;

use blake3::Hash;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use model::Destination;

use crate::config::{Auth, Token};
use crate::problem::{Kind, Problem};

/// Knows the tokens.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Hash by hash; `None` where everybody may send.
    tokens: Option<Vec<(Hash, Arc<Token>)>>,
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
        let tokens = match auth {
            Auth::None => None,
            Auth::Tokens(tokens) => {
                let hash = |token: &Token| Hash::from_bytes(*token.hash.as_bytes());
                Some(tokens.into_iter().map(|token| (hash(&token), Arc::new(token))).collect())
            }
        };
        Self { tokens }
    }

    /// Finds out who sends.
    ///
    /// Only hashes are compared, each in constant time (`blake3::Hash`'s `eq`), and all of them
    /// every time: how long it takes tells nothing about which token came near.
    pub(crate) fn identify(&self, headers: &HeaderMap) -> Result<Grant, Problem> {
        let Some(tokens) = &self.tokens else { return Ok(Grant::All) };
        let presented = blake3::hash(bearer(headers)?);
        let mut found = None;
        for (hash, token) in tokens {
            if *hash == presented {
                found = Some(token);
            }
        }
        found.map(|token| Grant::Token(Arc::clone(token))).ok_or_else(|| {
            Problem::new(
                Kind::Unauthorized,
                "the token is not known here: it was mistyped or withdrawn: make one with \
                 `minutelog admin token NAME` and put its hash into the configuration",
            )
        })
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

    fn gate() -> Gate {
        let token = |name: &str, text: &str, allow: &str| Token {
            name: name.to_owned(),
            hash: Digest::of(text.as_bytes()),
            allow: vec![AllowPattern::parse(allow).unwrap()],
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
    fn without_tokens_everything_is_reached() {
        let gate = Gate::new(Auth::None);
        let anywhere = Destination::parse("any-bucket", "").unwrap();
        assert!(gate.identify(&HeaderMap::new()).unwrap().check(&anywhere).is_ok());
    }
}
