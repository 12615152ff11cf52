//! The rules that hold, in the form in which requests are judged by them.

use std::sync::Arc;

use model::Clock;

use crate::auth::Gate;
use crate::config::{RateLimits, Rules};
use crate::firehose::Firehose;
use crate::meter::Meter;
use crate::payload::Limit;

/// Judges requests, each by one set of rules from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Judge {
    pub(crate) gate: Gate,
    pub(crate) firehose: Firehose,
    /// What an event may be.
    pub(crate) limit: Limit,
    connection_limits: RateLimits,
}

impl Judge {
    /// By these rules.
    pub(crate) fn new(rules: Rules, clock: Arc<dyn Clock>) -> Self {
        Self {
            firehose: Firehose::new(rules.streams, &rules.auth, rules.access_keys, clock),
            gate: Gate::new(rules.auth),
            limit: Limit { max_event_bytes: rules.max_event_bytes },
            connection_limits: rules.connection_limits,
        }
    }

    /// By other rules. What was counted in this minute goes on to count where the limits are the same.
    pub(crate) fn renewed(&self, rules: Rules) -> Self {
        let Rules { auth, streams, access_keys, connection_limits, max_event_bytes } = rules;
        Self {
            firehose: self.firehose.renewed(streams, &auth, access_keys),
            gate: self.gate.renewed(auth),
            limit: Limit { max_event_bytes },
            connection_limits,
        }
    }

    /// Counts for a new connection; `None` where nothing is limited.
    pub(crate) fn connection(&self) -> Option<Arc<Meter>> {
        Meter::new("this connection", self.connection_limits)
    }
}
