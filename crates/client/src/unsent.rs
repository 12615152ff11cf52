//! Failures that nobody waits for.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::encoded::Encoded;
use crate::error::SendError;

/// An event that was not accepted, or of which that is unknown, and for which nobody waits.
#[derive(Clone, Debug)]
pub struct Unsent {
    event: Encoded,
    error: SendError,
}

impl Unsent {
    pub(crate) fn new(event: &Encoded, error: SendError) -> Self {
        Self { event: event.clone(), error }
    }

    /// Why.
    pub fn error(&self) -> &SendError {
        &self.error
    }

    /// The bucket.
    pub fn bucket(&self) -> &str {
        &self.event.head.bucket
    }

    /// The prefix, as it was at the call.
    pub fn prefix(&self) -> &str {
        &self.event.head.prefix
    }

    /// The event's name.
    pub fn name(&self) -> Option<&str> {
        self.event.head.name.as_deref()
    }

    /// The event as it is sent: the JSON object of `POST /v1/send/s3`, or the line.
    pub fn body(&self) -> &str {
        &self.event.text
    }
}

type OnError = dyn Fn(&Unsent) + Send + Sync;

/// Whom such failures are told.
#[derive(Clone, Default)]
pub(crate) struct Report(Option<Arc<OnError>>);

impl Report {
    pub(crate) fn new(on_error: impl Fn(&Unsent) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(on_error)))
    }

    /// Tells. A panic of whoever is told is theirs, and ends here: other events are on their way.
    pub(crate) fn tell(&self, unsent: &Unsent) {
        if let Some(on_error) = &self.0 {
            drop(catch_unwind(AssertUnwindSafe(|| on_error(unsent))));
        } else {
            tracing::warn!(
                bucket = unsent.bucket(),
                prefix = unsent.prefix(),
                event = unsent.name(),
                error = %unsent.error,
                "an event that nobody waits for has failed"
            );
        }
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "on_error" } else { "log" })
    }
}
