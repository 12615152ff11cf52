//! A log, a store that can fail, and a screen that is read back, for tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flusher::{Config, DestinationFilter, Drained, GzipLevel};
use model::{Destination, EventId, EventName, Interval, SystemClock};
use store::{Class, Fault, FaultyStore, MemoryStore, PutError, Store};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wal::{Appender, Batch, Inspector, Log, LogOptions};

use crate::{Error, Result, Screen};

pub(crate) struct Fixture {
    pub(crate) store: Arc<FaultyStore<MemoryStore>>,
    dir: tempfile::TempDir,
}

/// A running ingest.
pub(crate) struct Ingest {
    pub(crate) log: Log,
    appender: Appender,
}

/// What a command has printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Printed {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) result: Result<()>,
}

impl Printed {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let store = Arc::new(FaultyStore::new(MemoryStore::new()));
        Self { store, dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn inspector(&self) -> Inspector {
        Inspector::new(self.data_dir())
    }

    pub(crate) fn ingest(&self) -> Ingest {
        let options = LogOptions {
            data_dir: self.data_dir(),
            // Long enough for a test to end within it.
            interval: Interval::from_seconds(900).unwrap(),
            max_bytes: 1 << 30,
            max_destinations: 100,
            run_bytes: wal::DEFAULT_RUN_BYTES,
        };
        let (log, appender) = Log::start(options, Arc::new(SystemClock), Arc::new(())).unwrap();
        Ingest { log, appender }
    }

    /// Appends `(prefix, name, payload)` events, runs no longer than that, and closes.
    pub(crate) async fn logged(&self, events: &[(&str, &str, &str)]) -> Vec<EventId> {
        let ingest = self.ingest();
        let ids = ingest.append(events).await;
        drop(ingest.appender);
        ingest.log.close().await.unwrap();
        ids
    }

    fn config(&self) -> Config {
        Config {
            data_dir: self.data_dir(),
            ops_listen: "127.0.0.1:0".parse().unwrap(),
            gzip_level: GzipLevel::Fixed(6),
            upload_concurrency: 4,
            receipt_retention: Duration::from_hours(1),
            keep_delivered: Duration::from_hours(1),
            idempotency_window: Duration::from_secs(900),
        }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::<FaultyStore<MemoryStore>>::clone(&self.store)
    }

    /// What `admin` does where no flusher runs.
    pub(crate) async fn deliver(&self, filter: DestinationFilter) -> Result<Drained> {
        let (store, clock) = (self.store(), Arc::new(SystemClock));
        let stop = CancellationToken::new();
        let drained = flusher::run_once_for(self.config(), store, clock, stop, filter).await;
        Ok(drained.unwrap())
    }

    /// Starts a flusher; it ends when the token is cancelled.
    pub(crate) async fn flusher(&self) -> (CancellationToken, tokio::task::JoinHandle<()>) {
        let stop = CancellationToken::new();
        let run = flusher::run(
            self.config(),
            self.store(),
            Arc::new(SystemClock),
            stop.clone(),
            mpsc::channel(1).1,
        );
        let task = tokio::spawn(async move { run.await.unwrap() });
        while !self.data_dir().join("flusher.sock").exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        (stop, task)
    }

    /// Lets the next puts to a prefix be refused, for a reason that a person must mend.
    pub(crate) fn refuse(&self, prefix: &str, times: usize) {
        let error = PutError::NotStored { class: Class::Park, message: "access denied".to_owned() };
        for _ in 0..times {
            self.store.script_for(destination(prefix), Fault::Refuse(error.clone()));
        }
    }
}

impl Ingest {
    pub(crate) async fn append(&self, events: &[(&str, &str, &str)]) -> Vec<EventId> {
        let mut batch = Batch::new();
        for (prefix, name, payload) in events {
            let name = EventName::new(name).ok();
            batch.push(&destination(prefix), name.as_ref(), payload.as_bytes());
        }
        self.appender.append(batch).await.unwrap().ids().collect()
    }
}

pub(crate) fn destination(prefix: &str) -> Destination {
    Destination::parse("bucket", prefix).unwrap()
}

/// Calls a report with a screen that is read back.
pub(crate) fn print(json: bool, report: impl FnOnce(&mut Screen<'_>) -> Result<()>) -> Printed {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut screen = Screen { out: &mut out, err: &mut err, json, colour: false, moving: false };
    let result = report(&mut screen);
    printed(&out, &err, result)
}

/// The same for what has to be awaited.
pub(crate) async fn print_async(
    json: bool,
    repair: impl AsyncFnOnce(&mut Screen<'_>) -> Result<(), Error>,
) -> Printed {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut screen = Screen { out: &mut out, err: &mut err, json, colour: false, moving: false };
    let result = repair(&mut screen).await;
    printed(&out, &err, result)
}

fn printed(out: &[u8], err: &[u8], result: Result<()>) -> Printed {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Printed { out: text(out), err: text(err), result }
}

/// All files below a directory with their bytes, to see that nothing is written.
pub(crate) fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(dir) else { return found };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.push((path.clone(), Vec::new()));
            found.extend(files(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            found.push((path, bytes));
        }
    }
    found.sort();
    found
}
