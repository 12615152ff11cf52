//! A call: what is sent when its future is awaited, or put into the queue.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::client::Shared;
use crate::encoded::{Encoded, Head};
use crate::error::{GaveUp, SendError};
use crate::id::EventId;
use crate::payload::Form;
use crate::pending::{Outcome, Pending};
use crate::queue::{Closed, Message};
use crate::unsent::Unsent;

/// One event to one destination, not sent yet. `await` sends it and gives its id;
/// [`queue`](Self::queue) only puts it into the queue.
///
/// The payload was written when the call was made: what the caller changes later changes nothing.
/// Nothing is sent before the future is polled. Dropping it before it has its place in the queue means
/// that nothing is sent; afterwards the event is sent as if it had been kept (C6).
#[must_use = "nothing is sent before it is awaited, or put into the queue"]
pub struct SendS3(State);

enum State {
    Call(Box<Call>),
    Running(Pin<Box<dyn Future<Output = Outcome> + Send>>),
    /// Between the two, for the length of one statement; and after the end.
    Taken,
}

/// All that a call says.
pub(crate) struct Call {
    pub(crate) shared: Arc<Shared>,
    pub(crate) head: Head,
    pub(crate) form: Result<Form, SendError>,
}

impl SendS3 {
    pub(crate) fn new(call: Call) -> Self {
        Self(State::Call(Box::new(call)))
    }

    /// Gives the event an id by which a repeat of it is known, 1 to 255 bytes: what is sent under the
    /// same id again, to the same destination and also by another process, is delivered once, if it
    /// comes within the service's window (15 minutes). Not for lines of [`Text`](crate::Text).
    pub fn id(mut self, id: impl Into<String>) -> Self {
        if let State::Call(call) = &mut self.0 {
            call.head.id = Some(id.into());
        }
        self
    }

    /// Waits for a place in the queue, and does not wait for the answer: for loops. What it gives can be
    /// awaited for the event's id, or dropped: the event is sent all the same, and a failure is then told
    /// to [`Builder::on_error`](crate::Builder::on_error).
    ///
    /// ```no_run
    /// # async fn example(client: minutelog_client::Client, rows: Vec<u32>) -> Result<(), minutelog_client::SendError> {
    /// for row in rows {
    ///     if row % 2 == 0 {
    ///         drop(client.send_s3("my-bucket", "rows/", row).queue().await?);
    ///     }
    /// }
    /// client.flush().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn queue(self) -> Result<Sending, SendError> {
        match self.0 {
            State::Call(call) => call.queue().await,
            // It was polled before, and is on its way: what is left of it is its end.
            State::Running(_) | State::Taken => Err(SendError::Invalid {
                field: "payload",
                reason: "the call was awaited already".to_owned(),
            }),
        }
    }
}

impl Future for SendS3 {
    type Output = Result<EventId, SendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Call(_) = self.0
            && let State::Call(call) = std::mem::replace(&mut self.0, State::Taken)
        {
            self.0 = State::Running(Box::pin(async move { call.queue().await?.await }));
        }
        match &mut self.0 {
            State::Running(running) => {
                let outcome = ready!(running.as_mut().poll(context));
                self.0 = State::Taken;
                Poll::Ready(outcome)
            }
            // Polled after its end, which no executor does.
            State::Call(_) | State::Taken => Poll::Pending,
        }
    }
}

impl fmt::Debug for SendS3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendS3").finish_non_exhaustive()
    }
}

impl Call {
    async fn queue(self) -> Result<Sending, SendError> {
        let deadline = Instant::now() + self.shared.timeout;
        let event = Encoded::new(self.head, self.form?, &self.shared.address)?;
        let queue = &self.shared.queue;
        let Ok(place) = timeout_at(deadline, queue.place(&event)).await else {
            return Err(SendError::NotAccepted(GaveUp::new("the queue had no room")));
        };
        let place = place.map_err(|Closed| SendError::Closed)?;
        // No await from here on: it has its place, and is in the queue with it (C6).
        let report = self.shared.report.clone();
        let (pending, outcome) = Pending::new(event.clone(), deadline, place, report);
        queue.tell(Message::Event(Box::new(pending)));
        Ok(Sending { outcome, event, shared: self.shared })
    }
}

/// An event that is in the queue. `await` gives its id.
///
/// Dropping it changes nothing for the event.
#[must_use = "drop it where nobody waits for the event: a failure is then told to `on_error`"]
pub struct Sending {
    outcome: oneshot::Receiver<Outcome>,
    event: Encoded,
    shared: Arc<Shared>,
}

impl Future for Sending {
    type Output = Result<EventId, SendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.outcome).poll(context));
        // A pending event tells its outcome even when it is dropped.
        Poll::Ready(outcome.unwrap_or(Err(SendError::Closed)))
    }
}

impl Drop for Sending {
    /// An outcome that came and that nobody took is reported, if it is a failure.
    fn drop(&mut self) {
        self.outcome.close();
        if let Ok(Err(error)) = self.outcome.try_recv() {
            self.shared.report.tell(&Unsent::new(&self.event, error));
        }
    }
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").finish_non_exhaustive()
    }
}
