//! Why an event has no id, split by what the caller does next.

use std::fmt;
use std::sync::Arc;

/// Why a call gave no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The call itself is wrong; nothing was sent. Mend it.
    #[error("{reason}: mend the `{field}` of the call")]
    Invalid {
        /// Which part of the call.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The service refuses the event, and will as often as it comes as it is. It is not in the log.
    /// What the service says of it tells what to mend.
    #[error("the event was refused: {0}")]
    Refused(Refusal),
    /// What answers at the address is not minutelog's ingest, or its certificate can't be trusted. The
    /// event is not in the log. Mend the address, or the authorities that the client trusts.
    #[error("{reason}: check the client's address and authorities")]
    NotTheService {
        /// What it was.
        reason: String,
    },
    /// Given up after its time; the event is not in the log, and will not be. Send it again later.
    #[error("not accepted in time: {0}: send it again later")]
    NotAccepted(GaveUp),
    /// Given up, and nobody knows: an answer was lost. The event may be in the log; it is then delivered
    /// once. Look it up by its name, or send events with an [`id`](crate::SendS3::id), under which a
    /// repeat is known as one.
    #[error("it may have been accepted or not: {0}: look it up before it is sent again")]
    Unknown(GaveUp),
    /// The call came after [`close`](crate::Client::close), or found no room before it. The event is
    /// not in the log.
    #[error("the client is closed: the event was not sent")]
    Closed,
}

impl SendError {
    /// What the service said last, where it said something.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::NotAccepted(gave_up) | Self::Unknown(gave_up) => gave_up.refusal.as_ref(),
            Self::Invalid { .. } | Self::NotTheService { .. } | Self::Closed => None,
        }
    }

    /// Whether the event may be in the log all the same.
    pub fn may_be_accepted(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }
}

/// A problem document of the service (RFC 9457). `docs/http.md` has the table of all problems.
#[derive(Clone, PartialEq, Eq)]
pub struct Refusal(Arc<Parts>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) title: String,
    pub(crate) detail: String,
    pub(crate) field: Option<String>,
}

impl Refusal {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// The status of the answer.
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// The last part of the problem's `type`, as in `invalid-bucket`.
    pub fn kind(&self) -> &str {
        &self.0.kind
    }

    /// What kind of problem it is, in words.
    pub fn title(&self) -> &str {
        &self.0.title
    }

    /// What happened, why, and what to do.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The field of the event that is wrong, where it is one.
    pub fn field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status(), self.kind(), self.detail())
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Why an event was given up: what the last try of it failed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GaveUp {
    reason: Arc<str>,
    refusal: Option<Refusal>,
}

impl GaveUp {
    pub(crate) fn new(reason: impl Into<Arc<str>>) -> Self {
        Self { reason: reason.into(), refusal: None }
    }

    pub(crate) fn refused(refusal: Refusal) -> Self {
        Self { reason: refusal.to_string().into(), refusal: Some(refusal) }
    }

    /// What the last try failed with.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The service's answer to the last try, where there was one.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}
