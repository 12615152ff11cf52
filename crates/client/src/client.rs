//! What callers hold.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::address::Address;
use crate::builder::{Builder, ConnectError};
use crate::call::{Call, SendS3};
use crate::encoded::Head;
use crate::payload::Payload;
use crate::queue::{Message, Queue};
use crate::unsent::Report;

/// A client of one service. Clones are the same client: they share its queue and its connection.
///
/// Events that nobody waits for are on their way in the background. [`close`](Self::close) before the
/// program ends, or what is still in the queue is lost with the runtime. When all clones are dropped
/// without it, what is in the queue is sent all the same, for as long as the runtime lives; nobody can
/// wait for it then.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

/// What all clones of a client share.
pub(crate) struct Shared {
    pub(crate) address: Address,
    pub(crate) queue: Queue,
    pub(crate) timeout: Duration,
    pub(crate) report: Report,
    pub(crate) ended: watch::Receiver<()>,
}

/// A client under a name: what it sends is found by that name, and what goes to several destinations is
/// shown as one event.
#[derive(Clone, Debug)]
pub struct Named {
    client: Client,
    name: Arc<str>,
}

impl Client {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// A client of the service at this address, as in `http://127.0.0.1:9600`, with everything as
    /// [`Builder`] has it. It connects with the first event.
    ///
    /// It sends from a task of the tokio runtime that it is called in; without one it fails.
    pub fn connect(url: &str) -> Result<Self, ConnectError> {
        Self::builder(url).build()
    }

    /// A client that differs from that in some way.
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder::new(url.into())
    }

    /// Sends one event. `await` gives its id once it is on stable storage (C1); the service delivers it
    /// to S3 after the end of the minute. An empty `prefix` is none.
    ///
    /// What fails for a reason that passes is tried again, under an idempotency key, so that a repeat is
    /// no second event (C2).
    ///
    /// Calls that are awaited together travel together:
    ///
    /// ```no_run
    /// # async fn example(client: minutelog_client::Client, orders: Vec<String>) -> Result<(), minutelog_client::SendError> {
    /// let calls = orders.iter().map(|order| client.send_s3("my-bucket", "orders/", order));
    /// let ids = futures::future::try_join_all(calls).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn send_s3(
        &self,
        bucket: impl Into<String>,
        prefix: impl Into<String>,
        payload: impl Payload,
    ) -> SendS3 {
        self.call(bucket.into(), prefix.into(), None, payload)
    }

    /// The same under a name, 1 to 256 bytes.
    ///
    /// ```no_run
    /// # async fn example(client: minutelog_client::Client, total: u32) -> Result<(), minutelog_client::SendError> {
    /// let order = client.event("order-1001");
    /// order.send_s3("my-bucket", "orders/", &total).await?;
    /// if total > 1000 {
    ///     order.send_s3("audit-bucket", "", &total).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn event(&self, name: impl Into<Arc<str>>) -> Named {
        Named { client: self.clone(), name: name.into() }
    }

    /// Waits until every event that was put into the queue before has its outcome. It does not fail: a
    /// failure is told by the event's own future.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        self.0.queue.tell(Message::Flush(done));
        // The worker drops its end when it has come so far, or when it ends.
        drop(flushed.await);
    }

    /// Waits until every event that is in the queue has its outcome, and ends the connection. Calls that
    /// come later, and those that have no place in the queue yet, fail with
    /// [`SendError::Closed`](crate::SendError::Closed).
    pub async fn close(&self) {
        self.0.queue.close();
        let mut ended = self.0.ended.clone();
        // Nothing is ever sent on it: it ends with the worker.
        while ended.changed().await.is_ok() {}
    }

    fn call(
        &self,
        bucket: String,
        prefix: String,
        name: Option<Arc<str>>,
        payload: impl Payload,
    ) -> SendS3 {
        let head = Head { bucket, prefix, name, id: None };
        SendS3::new(Call { shared: Arc::clone(&self.0), head, form: payload.form() })
    }
}

impl Named {
    /// As [`Client::send_s3`], under this name.
    pub fn send_s3(
        &self,
        bucket: impl Into<String>,
        prefix: impl Into<String>,
        payload: impl Payload,
    ) -> SendS3 {
        let name = Some(Arc::clone(&self.name));
        self.client.call(bucket.into(), prefix.into(), name, payload)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("address", &self.0.address).finish_non_exhaustive()
    }
}
