//! Who a request says that it comes from: its `Authorization` header, checked as far as headers go.

use std::time::Duration;

use chrono::NaiveDateTime;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use model::UnixMillis;

use super::fault::{Fault, Name};
use super::sigv4::{ALGORITHM, Canonical, Scope, TERMINATOR, from_hex, sha256_hex};
use crate::destinations::shown;

/// What a signature must be made for.
const SERVICE: &str = "firehose";
/// The headers that a signature must be over: without them it would be good for other requests too.
const SIGNED: [&str; 3] = ["host", DATE, "x-amz-target"];
const DATE: &str = "x-amz-date";
const BODY_HASH: &str = "x-amz-content-sha256";
const SESSION_TOKEN: &str = "x-amz-security-token";
/// How far the clocks of a sender and of this service may be apart.
pub(crate) const SKEW: Duration = Duration::from_secs(5 * 60);

/// A signature that is still to be verified.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    /// The access key that it says it was made with.
    pub(crate) key_id: String,
    scope: Scope,
    /// As it stands in the header.
    time: String,
    canonical: Canonical,
    signature: [u8; 32],
    /// What the sender says of the body.
    body_hash: Option<String>,
}

impl Claim {
    /// Reads the headers. All is checked here that needs neither the secret nor the body.
    pub(crate) fn of(parts: &Parts, now: UnixMillis) -> Result<Self, Fault> {
        let fields = Fields::of(&parts.headers)?;
        let scope = scope(fields.credential)?;
        if parts.headers.contains_key(SESSION_TOKEN) {
            let message = "the request has a session token, and access keys of this service have \
                           none: send with an `[[access_key]]` of its configuration";
            return Err(Fault::new(Name::UnrecognizedClient, message));
        }
        for name in SIGNED {
            if !fields.names.split(';').any(|signed| signed == name) {
                let message = format!("the signature is not over the header `{name}`: sign it");
                return Err(Fault::new(Name::InvalidSignature, message));
            }
        }
        // Each once: together they are no longer than the headers are.
        if !fields.names.split(';').is_sorted_by(|before, after| before < after) {
            return Err(incomplete("its `SignedHeaders` are not in their order, each once"));
        }
        let time = header(&parts.headers, DATE)?.to_owned();
        check_time(&time, &scope.1, now)?;
        let canonical = Canonical::of(parts, fields.names).map_err(|name| {
            let message = format!("the signed header `{}` is not there: send it", shown(&name));
            Fault::new(Name::InvalidSignature, message)
        })?;
        let signature = from_hex(fields.signature)
            .ok_or_else(|| incomplete("its `Signature` is not 64 lower-case hex digits"))?;
        let hashed = parts.headers.contains_key(BODY_HASH);
        let body_hash = hashed.then(|| header(&parts.headers, BODY_HASH)).transpose()?;
        let body_hash = body_hash.map(str::to_owned);
        let (key_id, scope) = scope;
        Ok(Self { key_id, scope, time, canonical, signature, body_hash })
    }

    /// The region that the sender takes this for.
    pub(crate) fn region(&self) -> &str {
        &self.scope.region
    }

    /// Verifies the signature, over this body.
    pub(crate) fn verify(&self, secret: &str, body: &[u8]) -> Result<(), Fault> {
        let hash = sha256_hex(body);
        if self.body_hash.as_ref().is_some_and(|said| *said != hash) {
            let message = format!(
                "the header `{BODY_HASH}` is not the SHA-256 of the body: the body was changed on \
                 its way, or was not hashed"
            );
            return Err(Fault::new(Name::InvalidSignature, message));
        }
        if self.canonical.is_signed(secret, &self.scope, &self.time, &hash, &self.signature) {
            return Ok(());
        }
        let message = "the signature does not match: check the secret of the access key, and that \
                       nothing between sender and service changes signed headers such as `host`";
        Err(Fault::new(Name::InvalidSignature, message))
    }
}

/// The fields of an `Authorization` header.
struct Fields<'h> {
    credential: &'h str,
    names: &'h str,
    signature: &'h str,
}

impl<'h> Fields<'h> {
    fn of(headers: &'h HeaderMap) -> Result<Self, Fault> {
        if !headers.contains_key(AUTHORIZATION) {
            let message = "the request is not signed: sign it with an access key of this service";
            return Err(Fault::new(Name::MissingAuthenticationToken, message));
        }
        let value = header(headers, AUTHORIZATION.as_str())?;
        let fields = value
            .strip_prefix(ALGORITHM)
            .filter(|rest| rest.starts_with(' '))
            .ok_or_else(|| incomplete(&format!("it does not begin with `{ALGORITHM}`")))?;
        let field = |name: &str| {
            let mut found = fields.split(',').filter_map(|it| it.trim().strip_prefix(name));
            match (found.next(), found.next()) {
                (Some(value), None) => Ok(value),
                _ => Err(incomplete(&format!("it does not have one `{name}`"))),
            }
        };
        Ok(Self {
            credential: field("Credential=")?,
            names: field("SignedHeaders=")?,
            signature: field("Signature=")?,
        })
    }
}

/// The access key and the scope of a `Credential`, `KEY/DATE/REGION/firehose/aws4_request`.
fn scope(credential: &str) -> Result<(String, Scope), Fault> {
    let parts: Vec<&str> = credential.split('/').collect();
    let [key_id, date, region, service, TERMINATOR] = *parts else {
        let what = format!("its `Credential` is not `KEY/DATE/REGION/{SERVICE}/{TERMINATOR}`");
        return Err(incomplete(&what));
    };
    if service != SERVICE {
        let message =
            format!("the signature is for the service `{}`: sign for `{SERVICE}`", shown(service));
        return Err(Fault::new(Name::InvalidSignature, message));
    }
    let [date, region, service] = [date, region, service].map(str::to_owned);
    Ok((key_id.to_owned(), Scope { date, region, service }))
}

/// Whether a signature of that time is good now, and its scope is of that day.
fn check_time(time: &str, scope: &Scope, now: UnixMillis) -> Result<(), Fault> {
    let made = moment(time).ok_or_else(|| {
        incomplete(&format!("the header `{DATE}` is not of the form 20261122T101500Z"))
    })?;
    if !time.starts_with(&scope.date) || scope.date.len() != 8 {
        let message = format!("the credential's date is not that of the header `{DATE}`");
        return Err(Fault::new(Name::InvalidSignature, message));
    }
    let (what, apart) = if made < now {
        ("expired", now.since(made))
    } else {
        ("not yet current", made.since(now))
    };
    if apart <= SKEW {
        return Ok(());
    }
    let message = format!(
        "the signature is {what}: it was made at {time}, and it is {} here: no more than 5 minutes \
         may lie between them: set the clock",
        now.to_datetime().format("%Y%m%dT%H%M%SZ")
    );
    Err(Fault::new(Name::InvalidSignature, message))
}

/// The time that a text like `20261122T101500Z` stands for.
fn moment(text: &str) -> Option<UnixMillis> {
    let digit = |(at, byte): (usize, u8)| match at {
        8 => byte == b'T',
        15 => byte == b'Z',
        _ => byte.is_ascii_digit(),
    };
    if text.len() != 16 || !text.bytes().enumerate().all(digit) {
        return None;
    }
    let time = NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%SZ").ok()?;
    Some(UnixMillis::from_datetime(time.and_utc()))
}

/// The text of a header that is there once.
fn header<'h>(headers: &'h HeaderMap, name: &str) -> Result<&'h str, Fault> {
    let mut values = headers.get_all(name).iter();
    match (values.next().map(|value| value.to_str()), values.next()) {
        (Some(Ok(value)), None) => Ok(value.trim()),
        _ => Err(incomplete(&format!("the header `{name}` is not there once, as ASCII"))),
    }
}

fn incomplete(what: &str) -> Fault {
    let message = format!("the header `Authorization` can't be used: {what}");
    Fault::new(Name::IncompleteSignature, message)
}
