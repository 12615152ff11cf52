//! Progress of what may take long, for people who wait.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::{Instant, sleep_until};

/// What is done sooner shows no progress.
const LATE: Duration = Duration::from_secs(1);

/// A bar that shows only once the work has taken a second.
#[derive(Debug)]
pub(crate) struct Late {
    bar: ProgressBar,
    shows_at: Instant,
    /// Whether there is nothing more to show.
    settled: AtomicBool,
}

impl Late {
    /// No bar at all.
    pub(crate) fn never() -> Self {
        let settled = AtomicBool::new(true);
        Self { bar: ProgressBar::hidden(), shows_at: Instant::now(), settled }
    }

    /// A bar of this length, from now on.
    pub(crate) fn new(length: u64, style: ProgressStyle) -> Self {
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden());
        let settled = AtomicBool::new(false);
        Self { bar: bar.with_style(style), shows_at: Instant::now() + LATE, settled }
    }

    /// The bar, to be moved.
    pub(crate) fn bar(&self) -> ProgressBar {
        self.bar.clone()
    }

    /// Waits for a piece of the work, and shows the bar when it is time.
    pub(crate) async fn while_waiting<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        if !self.settled.load(Ordering::Relaxed) {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = sleep_until(self.shows_at) => {}
            }
            self.settled.store(true, Ordering::Relaxed);
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        work.await
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
