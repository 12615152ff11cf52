//! `log.max_bytes` against a writer that is faster than the count of what lies on disk.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::sync::Arc;

use model::{Destination, Interval, ManualClock, UnixMillis};
use wal::{AppendError, Batch, Log, LogOptions, bytes_on_disk};

/// What one commit of one batch may take on disk: its pages, and the leaf that sled writes anew.
const ONE_COMMIT_BYTES: u64 = 2 * 1024 * 1024;

#[tokio::test]
async fn the_limit_is_exceeded_by_no_more_than_a_commit() {
    const MAX_BYTES: u64 = 24 * 1024 * 1024;
    let dir = tempfile::tempdir().unwrap();
    let options = LogOptions {
        data_dir: dir.path().to_owned(),
        interval: Interval::default(),
        max_bytes: MAX_BYTES,
        max_destinations: 1000,
        run_bytes: wal::DEFAULT_RUN_BYTES,
    };
    let clock = Arc::new(ManualClock::new(UnixMillis::from_seconds(1_795_342_500)));
    let (log, appender) = Log::start(options, clock, Arc::new(())).unwrap();
    let refusal = loop {
        let mut batch = Batch::new();
        for number in 0..100 {
            let destination = Destination::parse("bucket", &number.to_string()).unwrap();
            let mut payload = [0; 1000];
            getrandom::fill(&mut payload).unwrap();
            batch.push(&destination, None, &payload);
        }
        if let Err(refusal) = appender.append(batch).await {
            break refusal;
        }
    };
    assert!(matches!(&refusal, AppendError::Full { message } if message.contains("log.max_bytes")));
    let bytes = bytes_on_disk(&dir.path().join("open"));
    assert!(bytes <= MAX_BYTES + ONE_COMMIT_BYTES, "{bytes}");
    assert!(bytes >= MAX_BYTES / 2, "{bytes}: it was refused too early");
    log.close().await.unwrap();
}
