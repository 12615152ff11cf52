//! A request's body on its way in: time limits, and what becomes of a body that nobody wants.

use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use futures::Stream;
use futures::future::poll_fn;
use futures::stream::try_unfold;
use http::HeaderMap;
use http::header::EXPECT;
use http_body_util::BodyExt;
use hyper::body::Frame;
use tokio::time::{Instant, timeout, timeout_at};

use crate::memory::Exhausted;

/// How long a client may send nothing.
const IDLE: Duration = Duration::from_secs(10);
/// How long a whole body may take.
const WHOLE: Duration = Duration::from_mins(1);
/// How much of an unwanted body is read, and for how long, so that its sender gets to the answer.
const DISCARD_BYTES: usize = 64 * 1024 * 1024;
const DISCARD_TIME: Duration = Duration::from_secs(10);

/// Why a body did not come through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("no more of the body came within {} s", IDLE.as_secs())]
    Idle,
    #[error("the body took longer than {} s", WHOLE.as_secs())]
    Slow,
    #[error("the body broke off: {0}")]
    Broken(String),
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    #[error("the body can't be decompressed: {0}")]
    Corrupt(String),
    #[error(transparent)]
    Memory(#[from] Exhausted),
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        Self::other(fault)
    }
}

/// An error on the way through a decoder is either a fault from below it or the decoder's own.
impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.downcast::<Fault>() {
            Ok(fault) => fault,
            Err(error) => Self::Corrupt(error.to_string()),
        }
    }
}

/// A body that is still to be read.
#[derive(Debug)]
pub(crate) struct Upload {
    body: Body,
    deadline: Instant,
    /// The client waits for a go-ahead before it sends (RFC 9110, 10.1.1).
    waits: bool,
    /// What was looked at and is not taken yet.
    ahead: Option<Next>,
}

/// What comes next of a body; `None` at its end.
type Next = Option<Result<Frame<Bytes>, axum::Error>>;

impl Upload {
    /// A body that has from now on the time it may take.
    pub(crate) fn new(headers: &HeaderMap, body: Body) -> Self {
        let waits = headers
            .get(EXPECT)
            .is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        Self { body, deadline: Instant::now() + WHOLE, waits, ahead: None }
    }

    /// The body, if it is there already, in one piece of `bytes`: small ones come with their headers.
    /// Whatever else is there is left to be read.
    ///
    /// Nothing is waited for, and so no timer is set. A server gives out a body only once it was
    /// asked for it, which is why this looks twice.
    pub(crate) async fn at_once(&mut self, bytes: usize) -> Option<Bytes> {
        // The first look at the body is what sends the go-ahead.
        self.waits = false;
        let mut looked = false;
        let next = poll_fn(|context| match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(next) => Poll::Ready(Some(next)),
            Poll::Pending if looked => Poll::Ready(None),
            Poll::Pending => {
                looked = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
        });
        match next.await? {
            Some(Ok(frame))
                if frame.data_ref().is_some_and(|data| data.len() == bytes)
                    && self.body.is_end_stream() =>
            {
                frame.into_data().ok()
            }
            next => {
                self.ahead = Some(next);
                None
            }
        }
    }

    /// The next bytes, or `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        // The first look at the body is what sends the go-ahead.
        self.waits = false;
        loop {
            let idle = Instant::now() + IDLE;
            let (until, late) = if idle < self.deadline {
                (idle, Fault::Idle)
            } else {
                (self.deadline, Fault::Slow)
            };
            let frame = match self.ahead.take() {
                Some(next) => next,
                None => timeout_at(until, self.body.frame()).await.map_err(|_| late)?,
            };
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| Fault::Broken(error.to_string()))?;
            // Trailers are no part of the body.
            if let Ok(bytes) = frame.into_data()
                && !bytes.is_empty()
            {
                return Ok(Some(bytes));
            }
        }
    }

    /// The body as a stream that ends with [`Fault::TooLarge`] above `limit` bytes on the wire.
    pub(crate) fn stream(&mut self, limit: usize) -> impl Stream<Item = io::Result<Bytes>> + Send {
        try_unfold((self, 0_usize), move |(upload, before)| async move {
            let Some(bytes) = upload.next().await? else { return Ok(None) };
            let total = before.saturating_add(bytes.len());
            if total > limit {
                Err(Fault::TooLarge(limit).into())
            } else {
                Ok(Some((bytes, (upload, total))))
            }
        })
    }

    /// Reads what is left and forgets it, while the answer is on its way.
    ///
    /// Many clients read the answer only when they have sent all; were the connection closed on
    /// them in the middle, they would see a reset in place of the answer. A client that still
    /// waits for the go-ahead sends nothing and needs none of it.
    pub(crate) fn discard(mut self) {
        if self.waits || self.body.is_end_stream() {
            return;
        }
        tokio::spawn(timeout(DISCARD_TIME, async move {
            let mut left = DISCARD_BYTES;
            while let Ok(Some(bytes)) = self.next().await {
                let Some(less) = left.checked_sub(bytes.len()) else { break };
                left = less;
            }
        }));
    }
}
