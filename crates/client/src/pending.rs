//! An event on its way, from its place in the queue to its outcome.

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::encoded::Encoded;
use crate::error::{GaveUp, SendError};
use crate::id::EventId;
use crate::queue::Place;
use crate::unsent::{Report, Unsent};

/// What a call ends with.
pub(crate) type Outcome = Result<EventId, SendError>;

/// An event that is in the queue or under way. It is settled once (C5): at the latest when it is
/// dropped.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) event: Encoded,
    pub(crate) deadline: Instant,
    /// Whether a request with it was begun.
    pub(crate) was_sent: bool,
    caller: Option<(oneshot::Sender<Outcome>, Place)>,
    report: Report,
}

impl Pending {
    /// An event that has its place, and who waits for it.
    pub(crate) fn new(
        event: Encoded,
        deadline: Instant,
        place: Place,
        report: Report,
    ) -> (Self, oneshot::Receiver<Outcome>) {
        let (caller, outcome) = oneshot::channel();
        (Self { event, deadline, was_sent: false, caller: Some((caller, place)), report }, outcome)
    }

    /// Whether it has its outcome.
    pub(crate) fn is_settled(&self) -> bool {
        self.caller.is_none()
    }

    /// Tells whoever waits, and gives the place back. Where nobody waits, a failure is reported.
    pub(crate) fn settle(&mut self, outcome: Outcome) {
        let Some((caller, place)) = self.caller.take() else { return };
        drop(place);
        if let Err(Err(error)) = caller.send(outcome) {
            self.report.tell(&Unsent::new(&self.event, error));
        }
    }
}

impl Drop for Pending {
    /// The worker is gone with the runtime that it was on.
    fn drop(&mut self) {
        let error = if self.was_sent {
            SendError::Unknown(GaveUp::new("the runtime of the client has ended"))
        } else {
            SendError::Closed
        };
        self.settle(Err(error));
    }
}
