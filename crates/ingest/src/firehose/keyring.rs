//! The access keys, and what each of them reaches.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use http::request::Parts;
use model::UnixMillis;

use super::claim::Claim;
use super::fault::{Fault, Name};
use crate::config::{AccessKey, Auth};
use crate::destinations::shown;
use crate::meter::{Meter, Meters};

/// Knows the access keys by their ids; `None` where everybody may send.
#[derive(Debug)]
pub(super) struct Keyring(Option<HashMap<String, Arc<Held>>>);

/// An access key, and what was sent with it.
struct Held {
    key: AccessKey,
    meter: Option<Arc<Meter>>,
}

/// Who says that they send.
#[derive(Clone, Debug)]
pub(crate) enum Sender {
    /// Anybody: nothing is checked.
    Anybody,
    /// The holder of a key, if the signature proves to be theirs.
    Key(Box<Holder>),
}

/// The holder of a key.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    held: Arc<Held>,
    claim: Claim,
}

impl Keyring {
    /// The keys of a configuration; with [`Auth::None`] none is asked for.
    pub(super) fn new(auth: &Auth, keys: Vec<AccessKey>) -> Self {
        Self(None).renewed(auth, keys)
    }

    /// Other keys. One of the same id and the same limits has used what it had used.
    pub(super) fn renewed(&self, auth: &Auth, keys: Vec<AccessKey>) -> Self {
        let held = |key: AccessKey| {
            let before = self.0.as_ref().and_then(|held| held.get(&key.id)?.meter.as_ref());
            let whose = format!("the access key `{}`", key.id);
            let meter = Meter::renewed(before, whose, key.limits);
            (key.id.clone(), Arc::new(Held { key, meter }))
        };
        Self(match auth {
            Auth::None => None,
            Auth::Tokens(_) => Some(keys.into_iter().map(held).collect()),
        })
    }

    /// Finds out who says that they send, at `now`.
    pub(super) fn sender(&self, parts: &Parts, now: UnixMillis) -> Result<Sender, Fault> {
        let Some(keys) = &self.0 else { return Ok(Sender::Anybody) };
        let claim = Claim::of(parts, now)?;
        let held = keys.get(&claim.key_id).cloned().ok_or_else(|| {
            let message = format!(
                "the access key `{}` is not known here: give it an `[[access_key]]` block",
                shown(&claim.key_id)
            );
            Fault::new(Name::UnrecognizedClient, message)
        })?;
        Ok(Sender::Key(Box::new(Holder { held, claim })))
    }
}

impl Sender {
    /// Verifies that the sender is who they say, and has sent this body.
    pub(crate) fn verify(&self, body: &[u8]) -> Result<(), Fault> {
        match self {
            Self::Anybody => Ok(()),
            Self::Key(holder) => holder.claim.verify(&holder.held.key.secret, body),
        }
    }

    /// Counts the request for its access key. What else is to be counted for it comes to the meters,
    /// of which `connection` is one. Only for a sender that was verified: an id alone is no secret,
    /// and nobody may use up another one's share.
    pub(crate) fn count(&self, connection: Option<Arc<Meter>>) -> Result<Meters, Fault> {
        let meter = match self {
            Self::Anybody => None,
            Self::Key(holder) => holder.held.meter.clone(),
        };
        if let Some(meter) = &meter {
            meter.request()?;
        }
        Ok(Meters::of(connection, meter))
    }

    /// Whether a stream of this name is reached.
    pub(crate) fn reaches(&self, stream: &str) -> bool {
        match self {
            Self::Anybody => true,
            Self::Key(holder) => holder.held.key.allow.iter().any(|it| it.matches(stream)),
        }
    }

    /// The region that the sender takes this for; the one that they all know where nobody says.
    pub(crate) fn region(&self) -> &str {
        match self {
            Self::Anybody => "us-east-1",
            Self::Key(holder) => holder.claim.region(),
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}
