//! What the log takes of the disk: each record is written once.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use model::{Destination, Interval, ManualClock, UnixMillis};
use wal::{Batch, DataDir, Log, LogOptions, RunReader};

const COMMITS: u64 = 60;
const EVENTS: u64 = 1000;
const EVENT_BYTES: usize = 512;

#[tokio::test]
async fn the_log_of_large_requests_is_little_larger_than_their_events() {
    // With bytes that cannot be packed, and without.
    for (destinations, noise_bytes) in [(1, 0), (5, 0), (1, EVENT_BYTES - 8), (5, EVENT_BYTES - 8)]
    {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::create(dir.path()).unwrap();
        let (data_dir, interval) = (data.root().to_owned(), Interval::default());
        let options = LogOptions {
            data_dir,
            interval,
            max_bytes: 1 << 30,
            max_destinations: 10,
            run_bytes: wal::DEFAULT_RUN_BYTES,
        };
        let clock = Arc::new(ManualClock::new(UnixMillis::from_seconds(1_795_342_500)));
        let (log, appender) = Log::start(options, clock, Arc::new(())).unwrap();
        for commit in 0..COMMITS {
            let prefix = format!("p{}", commit % destinations);
            let destination = Destination::parse("bucket", &prefix).unwrap();
            let mut batch = Batch::new();
            for event in 0..EVENTS {
                let digits = EVENT_BYTES - noise_bytes;
                let mut payload = format!("{:0digits$}", commit * EVENTS + event).into_bytes();
                payload.resize(EVENT_BYTES, 0);
                getrandom::fill(&mut payload[digits..]).unwrap();
                batch.push(&destination, None, &payload);
            }
            appender.append(batch).await.unwrap();
        }
        log.close().await.unwrap();
        let run = data.runs().unwrap()[0];
        let db = fs::metadata(data.run_dir(run).join("db")).unwrap();
        let bytes = COMMITS * EVENTS * EVENT_BYTES as u64;
        let on_disk = db.blocks() * 512;
        // What sled has written twice it has not yet written over in so short a log.
        assert!(on_disk * 10 < bytes * 13, "{on_disk} bytes for {bytes} of events");
        let reader = RunReader::open(&data, run).unwrap();
        let mut numbers = Vec::new();
        for destination in reader.destinations() {
            for record in reader.records(destination.unwrap().0) {
                let record = record.unwrap();
                let number = |payload: &[u8]| {
                    let digits = &payload[..EVENT_BYTES - noise_bytes];
                    std::str::from_utf8(digits).unwrap().parse::<u64>()
                };
                numbers.extend(record.iter().map(|event| number(event.unwrap().payload).unwrap()));
            }
        }
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..COMMITS * EVENTS));
    }
}
