//! The log as ingest uses it: start, append, drain, close.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use model::{Clock, Interval, Minute, RunId};
use tokio::sync::{mpsc, oneshot, watch};

use crate::batch::{Appended, Batch};
use crate::company::Company;
use crate::control::ControlServer;
use crate::error::{Error, Result};
use crate::layout::DataDir;
use crate::live::LiveLog;
use crate::run::OpenRun;
use crate::usage::Usage;
use crate::writer::{Command, Request, Writer};

/// How many requests may wait for the writer. Their bytes are bounded by who takes them in.
const WAITING_REQUESTS: usize = 4096;

/// How often the bytes on disk are counted anew.
const USAGE_PERIOD: Duration = Duration::from_secs(1);

/// How a log is kept.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// The data directory. It is made if need be.
    pub data_dir: PathBuf,
    /// The length of a minute.
    pub interval: Interval,
    /// The most bytes that the log may take on disk, all states together.
    pub max_bytes: u64,
    /// The most destinations in one minute.
    pub max_destinations: u32,
    /// After so many bytes of payloads a further run of the minute goes on, so that the flusher may
    /// compress what is closed while the rest of the minute is written.
    pub run_bytes: u64,
}

/// What [`LogOptions::run_bytes`] is where nobody says otherwise: what one core compresses in a second
/// at a fast level.
pub const DEFAULT_RUN_BYTES: u64 = 128 * 1024 * 1024;

/// What a log is ready for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogState {
    /// Appending.
    Accepting,
    /// Full, and why; it accepts again when the flusher has made room.
    Full(String),
    /// Told to take no more.
    Draining,
    /// Stopped for good after an error of the disk, and which.
    Stopped(String),
}

/// Why a batch was not appended. Nothing of it is in the log, save for [`AppendError::Stopped`]:
/// then it may be there, and is delivered once or not at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// No room.
    #[error("the log is full: {message}")]
    Full {
        /// What there is and what there would have to be.
        message: String,
    },
    /// The minute would have more destinations than it may have.
    #[error("the minute would have more than {limit} destinations")]
    TooManyDestinations {
        /// The limit.
        limit: u32,
        /// How long until the next minute.
        retry_after: Duration,
    },
    /// The minute would have more events with an identity than it may have.
    #[error("the minute would have more than {limit} events with an identity")]
    TooManyIdentities {
        /// The limit.
        limit: u32,
        /// How long until the next minute.
        retry_after: Duration,
    },
    /// The log is being drained or closed.
    #[error("the log is being drained")]
    Draining,
    /// The disk failed.
    #[error("the log has stopped: {message}")]
    Stopped {
        /// What failed.
        message: String,
    },
}

/// One commit: what went to disk with one sync.
#[derive(Clone, Copy, Debug)]
pub struct Commit {
    /// How many requests.
    pub requests: u64,
    /// How many events.
    pub events: u64,
    /// The bytes of their records.
    pub bytes: u64,
    /// From the first record to the last answer.
    pub duration: Duration,
    /// The minute.
    pub minute: Minute,
}

/// Who is told what the log does. Called from the log's own threads; must be quick.
pub trait LogObserver: Send + Sync {
    /// A commit was made.
    fn committed(&self, _commit: &Commit) {}

    /// What the log takes on disk, in bytes, all states together; told once a second.
    fn log_bytes(&self, _bytes: u64) {}
}

/// An observer that looks away.
impl LogObserver for () {}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) usage: Usage,
    state: watch::Sender<LogState>,
    drained: watch::Sender<bool>,
    current: Mutex<Option<Arc<OpenRun>>>,
    commands: mpsc::WeakSender<Command>,
}

impl Shared {
    pub(crate) fn set_current(&self, run: Option<Arc<OpenRun>>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = run;
    }

    pub(crate) fn current(&self) -> Option<Arc<OpenRun>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes no more events and closes the open minute. Returns when that is done: whether it was
    /// done in good order.
    pub(crate) fn drain_blocking(&self) -> bool {
        self.state.send_if_modified(|state| {
            let stopped = matches!(state, LogState::Stopped(_));
            if !stopped {
                *state = LogState::Draining;
            }
            !stopped
        });
        if let Some(commands) = self.commands.upgrade()
            && commands.blocking_send(Command::Close).is_ok()
        {
            // The writer lets go of its end when the run is closed.
            while !commands.is_closed() {
                thread::sleep(Duration::from_millis(2));
            }
        }
        !matches!(&*self.state.borrow(), LogState::Stopped(_))
    }

    /// Returns once the writer has come round to a request that was made now, or has ended.
    pub(crate) fn progress_blocking(&self) {
        let Some(commands) = self.commands.upgrade() else { return };
        let (asked, answer) = oneshot::channel();
        if commands.blocking_send(Command::Progress(asked)).is_ok() {
            // It answers by letting go of its end.
            answer.blocking_recv().ok();
        }
    }

    fn stop(&self, reason: &str) {
        self.state.send_replace(LogState::Stopped(reason.to_owned()));
    }
}

/// Appends batches. Clones share one writer.
#[derive(Clone, Debug)]
pub struct Appender {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
}

impl Appender {
    /// Appends a batch; resolves once it is on stable storage.
    ///
    /// Cancellation safe: a batch whose caller has gone is appended whole or not at all.
    pub async fn append(&self, batch: Batch) -> Result<Appended, AppendError> {
        match self.state() {
            LogState::Draining => return Err(AppendError::Draining),
            LogState::Stopped(message) => return Err(AppendError::Stopped { message }),
            LogState::Accepting | LogState::Full(_) => {}
        }
        let (answer, appended) = oneshot::channel();
        if self.commands.send(Command::Append(Request { batch, answer })).await.is_err() {
            return Err(self.gone().await);
        }
        match appended.await {
            Ok(answer) => answer,
            Err(_) => Err(self.gone().await),
        }
    }

    /// What the log takes at the moment.
    pub fn state(&self) -> LogState {
        match &*self.shared.state.borrow() {
            LogState::Accepting => match self.shared.usage.refusal(0) {
                Some(message) => LogState::Full(message),
                None => LogState::Accepting,
            },
            state => state.clone(),
        }
    }

    /// Why the writer has let go of a request. It does so a moment before it says why.
    async fn gone(&self) -> AppendError {
        let mut state = self.shared.state.subscribe();
        match state.wait_for(|state| *state != LogState::Accepting).await.as_deref() {
            Ok(LogState::Stopped(message)) => AppendError::Stopped { message: message.clone() },
            _ => AppendError::Draining,
        }
    }
}

/// A log that is being written.
#[derive(Debug)]
pub struct Log {
    shared: Arc<Shared>,
    /// Keeps the writer at work while nobody appends.
    _commands: mpsc::Sender<Command>,
    writer: thread::JoinHandle<()>,
    _control: ControlServer,
}

impl Log {
    /// Starts a log: a new run, whatever lies in the data directory.
    pub fn start(
        options: LogOptions,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn LogObserver>,
    ) -> Result<(Self, Appender)> {
        let data = DataDir::create(&options.data_dir)?;
        let usage = Usage::measure(&data, options.max_bytes)?;
        let (commands, waiting) = mpsc::channel(WAITING_REQUESTS);
        let shared = Arc::new(Shared {
            usage,
            state: watch::Sender::new(LogState::Accepting),
            drained: watch::Sender::new(false),
            current: Mutex::new(None),
            commands: commands.downgrade(),
        });
        let control = LiveLog::new(Arc::clone(&shared), Arc::clone(&clock)).serve(&data)?;
        watch_usage(&data, &shared, Arc::clone(&observer))?;
        let mut writer = Writer {
            data: data.clone(),
            options,
            clock,
            observer,
            shared: Arc::clone(&shared),
            commands: waiting,
            run: random_run(),
            active: None,
            closed: std::collections::BTreeSet::new(),
            company: Company::default(),
            before: None,
        };
        let for_writer = Arc::clone(&shared);
        let work = move || {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| writer.work()));
            let reason = match result {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("the writer panicked".to_owned()),
            };
            // W5: the state is sticky; whoever waits for the writer is told it.
            for_writer.set_current(None);
            match reason {
                Some(reason) => for_writer.stop(&reason),
                None => drop(for_writer.drained.send_replace(true)),
            }
        };
        let writer = thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(work)
            .map_err(Error::io(data.root()))?;
        let appender = Appender { commands: commands.clone(), shared: Arc::clone(&shared) };
        Ok((Self { shared, _commands: commands, writer, _control: control }, appender))
    }

    /// Resolves with the reason when the log stops for good.
    pub async fn stopped(&self) -> String {
        let mut state = self.shared.state.subscribe();
        let stopped = |state: &LogState| matches!(state, LogState::Stopped(_));
        match state.wait_for(stopped).await.as_deref() {
            Ok(LogState::Stopped(reason)) => reason.clone(),
            _ => "the writer has gone".to_owned(),
        }
    }

    /// Resolves when `admin drain` has closed the log.
    pub async fn drained(&self) {
        let mut drained = self.shared.drained.subscribe();
        // The sender lives as long as `self`.
        drained.wait_for(|drained| *drained).await.ok();
    }

    /// Commits what waits and closes the run. What is appended from here on is refused.
    pub async fn close(self) -> Result<()> {
        let (shared, writer) = (Arc::clone(&self.shared), self.writer);
        let close = move || shared.drain_blocking() && writer.join().is_ok();
        let closed = tokio::task::spawn_blocking(close).await.unwrap_or(false);
        match &*self.shared.state.borrow() {
            LogState::Stopped(message) => Err(Error::Stopped { message: message.clone() }),
            _ if closed => Ok(()),
            _ => Err(Error::Stopped { message: "the writer has gone".to_owned() }),
        }
    }
}

/// A run that no other has: 48 random bits.
pub(crate) fn random_run() -> RunId {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("Linux has random bytes");
    RunId::from_bits(u64::from_le_bytes(bytes))
}

/// Counts the bytes on disk once a second, until the log is gone.
fn watch_usage(data: &DataDir, shared: &Arc<Shared>, observer: Arc<dyn LogObserver>) -> Result<()> {
    let shared = Arc::downgrade(shared);
    let counted = data.clone();
    let count = move || {
        while let Some(shared) = shared.upgrade() {
            if let Err(error) = shared.usage.refresh(&counted) {
                tracing::warn!(%error, "cannot count the bytes of the log");
            }
            observer.log_bytes(shared.usage.log_bytes());
            drop(shared);
            thread::sleep(USAGE_PERIOD);
        }
    };
    thread::Builder::new()
        .name("log-usage".to_owned())
        .spawn(count)
        .map(drop)
        .map_err(Error::io(data.root()))
}
