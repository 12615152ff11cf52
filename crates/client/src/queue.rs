//! The queue: what comes into it has its place first.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::encoded::Encoded;
use crate::pending::Pending;

/// What the worker is told, in order.
#[derive(Debug)]
pub(crate) enum Message {
    /// An event, which has its place.
    Event(Box<Pending>),
    /// To be dropped when all that came before has its outcome.
    Flush(oneshot::Sender<()>),
    /// The last one: nothing is taken in after it.
    Close,
}

/// The bounds of the queue (C4). They hold for events that wait in it and that are under way.
#[derive(Debug)]
pub(crate) struct Queue {
    inbox: UnboundedSender<Message>,
    events: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    max_bytes: u32,
}

/// A place in the queue, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _event: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

/// The client is closed, or its worker is gone.
#[derive(Debug)]
pub(crate) struct Closed;

impl Queue {
    /// A queue of so many events and bytes.
    pub(crate) fn new(inbox: UnboundedSender<Message>, max_events: usize, max_bytes: u32) -> Self {
        let events = Arc::new(Semaphore::new(max_events));
        let bytes = Arc::new(Semaphore::new(usize::try_from(max_bytes).unwrap_or(usize::MAX)));
        Self { inbox, events, bytes, max_bytes }
    }

    /// Waits for a place, in the order of the calls. An event that is larger than the queue has all of
    /// it for itself.
    pub(crate) async fn place(&self, event: &Encoded) -> Result<Place, Closed> {
        let bytes = u32::try_from(event.bytes()).unwrap_or(u32::MAX).min(self.max_bytes);
        let place = Arc::clone(&self.events).acquire_owned().await.map_err(|_| Closed)?;
        let bytes = Arc::clone(&self.bytes).acquire_many_owned(bytes).await.map_err(|_| Closed)?;
        Ok(Place { _event: place, _bytes: bytes })
    }

    /// Tells the worker; what it no longer takes is dropped.
    pub(crate) fn tell(&self, message: Message) {
        drop(self.inbox.send(message));
    }

    /// Lets nobody in any more, those who wait for a place included.
    pub(crate) fn close(&self) {
        self.events.close();
        self.bytes.close();
        self.tell(Message::Close);
    }
}
