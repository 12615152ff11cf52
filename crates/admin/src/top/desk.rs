//! What lies between the keys and the disk: what is wanted, and the latest of what was read.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::top::reader::{Shown, Wanted};

/// Has room for one wish and one answer: a later one takes the place of an earlier one.
#[derive(Debug)]
pub(crate) struct Desk {
    papers: Mutex<Papers>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Papers {
    wanted: Wanted,
    is_new: bool,
    shown: Option<Shown>,
    /// When the look that is under way has begun.
    began: Option<Instant>,
    is_closed: bool,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self { papers: Mutex::default(), changed: Condvar::new() }
    }

    /// Asks for something else, or for the same.
    pub(crate) fn ask(&self, wanted: Wanted) {
        let mut papers = self.papers();
        if papers.wanted != wanted {
            papers.wanted = wanted;
            papers.is_new = true;
            self.changed.notify_one();
        }
    }

    /// What was put last, once.
    pub(crate) fn take(&self) -> Option<Shown> {
        self.papers().shown.take()
    }

    /// How long the look that is under way takes by now.
    pub(crate) fn busy(&self) -> Duration {
        self.papers().began.map_or(Duration::ZERO, |began| began.elapsed())
    }

    /// Nothing is wanted any more.
    pub(crate) fn close(&self) {
        self.papers().is_closed = true;
        self.changed.notify_one();
    }

    /// For the reader: what is wanted, once that is something else or `pause` is over. `None` where
    /// nothing is any more.
    pub(crate) fn next(&self, pause: Duration) -> Option<Wanted> {
        let mut papers = self.papers();
        papers.began = None;
        let waits = |papers: &mut Papers| !papers.is_new && !papers.is_closed;
        let waited = self.changed.wait_timeout_while(papers, pause, waits);
        let (mut papers, _) = waited.unwrap_or_else(PoisonError::into_inner);
        papers.is_new = false;
        papers.began = Some(Instant::now());
        (!papers.is_closed).then(|| papers.wanted.clone())
    }

    /// For the reader: puts what it has read.
    pub(crate) fn put(&self, shown: Shown) {
        self.papers().shown = Some(shown);
    }

    fn papers(&self) -> MutexGuard<'_, Papers> {
        self.papers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_is_what_counts_and_a_closed_desk_ends_the_wait() {
        let desk = Desk::new();
        for rows in [1, 2] {
            desk.ask(Wanted { rows, ..Wanted::default() });
        }
        assert_eq!(desk.next(Duration::MAX).unwrap().rows, 2);
        for error in ["a", "b"] {
            desk.put(Shown { error: Some(error.to_owned()), ..Shown::default() });
        }
        assert_eq!(desk.take().unwrap().error.as_deref(), Some("b"));
        assert!(desk.take().is_none());
        desk.ask(Wanted { rows: 2, ..Wanted::default() });
        assert_eq!(desk.next(Duration::ZERO).unwrap().rows, 2, "the pause is over");
        desk.close();
        assert!(desk.next(Duration::MAX).is_none());
    }
}
