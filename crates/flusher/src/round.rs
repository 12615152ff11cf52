//! Minutes sealed one after the other: while one part is on its way to stable storage, the next minute is
//! read.

use std::thread::{self, JoinHandle};
use std::time::Instant;

use model::Minute;
use wal::DataDir;

use crate::seal::{Sealed, Unfinished};

/// Minutes that are sealed one after the other.
pub(crate) struct Round<F> {
    /// Is told of each part; whether to go on.
    pub(crate) done: F,
    /// The part that is on its way to stable storage.
    pub(crate) last: Option<Ending>,
    pub(crate) is_over: bool,
    /// The first error.
    pub(crate) failed: wal::Result<()>,
}

impl<F> Round<F> {
    pub(crate) fn new(done: F) -> Self {
        Self { done, last: None, is_over: false, failed: Ok(()) }
    }

    pub(crate) fn fail(&mut self, error: wal::Error, is_over: bool) {
        self.is_over |= is_over;
        if self.failed.is_ok() {
            self.failed = Err(error);
        }
    }
}

/// A part on its way to stable storage: a thread of its own waits for the disk.
pub(crate) struct Ending {
    pub(crate) minute: Minute,
    pub(crate) level: u32,
    pub(crate) started: Instant,
    thread: JoinHandle<wal::Result<Sealed>>,
}

impl Ending {
    pub(crate) fn begin(
        data: &DataDir,
        unfinished: Box<Unfinished>,
        minute: Minute,
        level: u32,
        started: Instant,
    ) -> wal::Result<Self> {
        let data = data.clone();
        let root = data.root().to_owned();
        let thread = thread::Builder::new()
            .name("seal-end".to_owned())
            .spawn(move || unfinished.finish(&data))
            .map_err(wal::Error::io(&root))?;
        Ok(Self { minute, level, started, thread })
    }

    /// Waits for its end.
    pub(crate) fn wait(self) -> wal::Result<Sealed> {
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
