//! A connection that can be slowed down and cut while it is in use.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::lock;

/// A slow connection passes bytes on in so many steps a second, so that it is quick to notice that
/// it is slow no more.
const STEPS: u32 = 4;

/// What a connection does besides passing bytes on.
#[derive(Debug, Default)]
struct State {
    /// Bytes a second, each way.
    rate: Option<u32>,
    /// How many bytes it still writes before it breaks.
    writes_left: Option<usize>,
}

/// Changes a connection while it is in use.
#[derive(Clone, Debug, Default)]
pub(super) struct Control(Arc<Mutex<State>>);

impl Control {
    /// As fast as it goes, and whole.
    pub(super) fn mend(&self) {
        *lock(&self.0) = State::default();
    }

    pub(super) fn slow_down(&self, bytes_per_second: u32) {
        lock(&self.0).rate = Some(bytes_per_second);
    }

    pub(super) fn cut_after(&self, bytes: usize) {
        lock(&self.0).writes_left = Some(bytes);
    }

    /// How many bytes pass in one step.
    fn step(&self) -> Option<usize> {
        let rate = lock(&self.0).rate?;
        usize::try_from(rate / STEPS).ok().map(|step| step.max(1))
    }

    /// How long a step lasts.
    fn pause(&self) -> Duration {
        let rate = lock(&self.0).rate.unwrap_or(STEPS);
        Duration::from_secs(1) / rate.clamp(1, STEPS)
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Wire {
    inner: TcpStream,
    control: Control,
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
}

impl Wire {
    pub(super) fn new(inner: TcpStream, control: Control) -> Self {
        Self { inner, control, reading: None, writing: None }
    }
}

/// Waits for the end of a pause.
fn rest(pause: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>) -> Poll<()> {
    if let Some(sleep) = pause {
        ready!(sleep.as_mut().poll(cx));
        *pause = None;
    }
    Poll::Ready(())
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(rest(&mut this.reading, cx));
        let Some(step) = this.control.step() else {
            return Pin::new(&mut this.inner).poll_read(cx, buffer);
        };
        let mut piece = vec![0; step.min(buffer.remaining())];
        let mut piece = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut this.inner).poll_read(cx, &mut piece))?;
        buffer.put_slice(piece.filled());
        this.reading = Some(Box::pin(sleep(this.control.pause())));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(rest(&mut this.writing, cx));
        let step = this.control.step();
        let left = lock(&this.control.0).writes_left;
        if left == Some(0) {
            return Poll::Ready(Err(io::Error::other("cut by script")));
        }
        let most = step.unwrap_or(usize::MAX).min(left.unwrap_or(usize::MAX)).min(bytes.len());
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, &bytes[..most]))?;
        if let Some(left) = &mut lock(&this.control.0).writes_left {
            *left = left.saturating_sub(written);
        }
        if step.is_some() {
            this.writing = Some(Box::pin(sleep(this.control.pause())));
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
