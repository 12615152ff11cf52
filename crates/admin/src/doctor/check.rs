//! One check and what came of it.

use model::Bucket;
use serde::Serialize;

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// It works, and should be mended.
    Warn,
    /// It does not work.
    Fail,
    /// It could not be learnt.
    Unknown,
}

impl State {
    /// The state in one word, as in JSON.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
        }
    }
}

/// One check and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// The bucket; none where it is about this machine.
    pub(super) bucket: Option<Bucket>,
    /// What was checked.
    #[serde(rename = "check")]
    pub(super) name: &'static str,
    /// What came of it.
    pub(super) state: State,
    /// What there is, or what is wrong.
    pub(super) detail: String,
    /// How to mend it.
    pub(super) advice: Option<String>,
}

impl Check {
    fn new(name: &'static str, state: State, detail: impl Into<String>) -> Self {
        Self { bucket: None, name, state, detail: detail.into(), advice: None }
    }

    pub(super) fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, State::Ok, detail)
    }

    pub(super) fn warn(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, State::Warn, detail)
    }

    pub(super) fn fail(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, State::Fail, detail)
    }

    pub(super) fn unknown(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, State::Unknown, detail)
    }

    /// Says how to mend it.
    pub(super) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Says which bucket it is about.
    pub(super) fn of(mut self, bucket: &Bucket) -> Self {
        self.bucket = Some(bucket.clone());
        self
    }
}
