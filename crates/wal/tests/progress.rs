//! Whether the writer comes round, as a watchdog wants to know it.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use model::{Destination, Interval, SystemClock};
use wal::{Batch, Commit, DataDir, Log, LogObserver, LogOptions, own_log_progresses};

const SOON: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_mins(1);

/// Holds the writer up after a commit while it is shut.
#[derive(Default)]
struct Gate {
    shut: AtomicBool,
}

impl LogObserver for Gate {
    fn committed(&self, _commit: &Commit) {
        while self.shut.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

#[tokio::test]
async fn a_writer_that_is_held_up_is_told_from_one_that_works_and_one_that_has_drained() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::at(dir.path());
    let error = own_log_progresses(&data, PATIENCE).unwrap_err().to_string();
    assert!(error.ends_with("nobody listens"), "{error}");

    let gate = Arc::new(Gate::default());
    let options = LogOptions {
        data_dir: dir.path().to_owned(),
        interval: Interval::default(),
        max_bytes: 1 << 30,
        max_destinations: 10,
        run_bytes: 1 << 30,
    };
    let (log, appender) =
        Log::start(options, Arc::new(SystemClock), Arc::clone(&gate) as _).unwrap();
    own_log_progresses(&data, PATIENCE).unwrap();

    gate.shut.store(true, Ordering::SeqCst);
    let mut batch = Batch::new();
    batch.push(&Destination::parse("bucket", "p").unwrap(), None, b"1");
    // It is acknowledged, and then the writer is stuck.
    appender.append(batch).await.unwrap();
    let error = own_log_progresses(&data, SOON).unwrap_err().to_string();
    assert!(error.ends_with("does not answer: it is stopped or hung"), "{error}");
    gate.shut.store(false, Ordering::SeqCst);
    own_log_progresses(&data, PATIENCE).unwrap();

    let of = data.clone();
    tokio::task::spawn_blocking(move || wal::drain_ingest(&of)).await.unwrap().unwrap();
    own_log_progresses(&data, PATIENCE).unwrap();
    log.close().await.unwrap();
}
