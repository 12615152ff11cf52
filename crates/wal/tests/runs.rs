//! A minute of which there is much is several runs, one after the other.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use model::{Destination, EventId, Interval, ManualClock, Minute, UnixMillis};
use wal::{
    AppendError, Appender, Batch, Closed, DataDir, Log, LogOptions, MinuteReader, RunReader,
};

const RUN_BYTES: u64 = 256 * 1024;

fn start(dir: &Path, clock: &Arc<ManualClock>, max_destinations: u32) -> (Log, Appender) {
    let options = LogOptions {
        data_dir: dir.to_owned(),
        interval: Interval::default(),
        max_bytes: 1 << 30,
        max_destinations,
        run_bytes: RUN_BYTES,
    };
    Log::start(options, Arc::clone(clock) as _, Arc::new(())).unwrap()
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(UnixMillis::from_seconds(1_795_342_500)))
}

/// 50 KB for `prefix`, in a commit of their own.
async fn send(appender: &Appender, prefix: &str) -> Result<EventId, AppendError> {
    let mut batch = Batch::new();
    let mut payload = [b' '; 1000];
    getrandom::fill(&mut payload).unwrap();
    for _ in 0..50 {
        batch.push(&Destination::parse("bucket", prefix).unwrap(), None, &payload);
    }
    let appended = appender.append(batch).await?;
    Ok(appended.ids().next().unwrap())
}

#[tokio::test]
async fn events_are_in_their_order_in_all_runs_together() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let (log, appender) = start(dir.path(), &clock, 10);
    let mut sent = Vec::new();
    for number in 0..60 {
        // The clock stands still, and goes back.
        match number {
            20 => clock.advance(Duration::from_secs(3)),
            40 => clock.set(UnixMillis::from_seconds(1_795_342_500)),
            _ => {}
        }
        sent.push(send(&appender, ["a", "b"][number % 2]).await.unwrap());
    }
    log.close().await.unwrap();
    assert!(sent.is_sorted(), "ids follow each other as the events were acknowledged");
    let data = DataDir::at(dir.path());
    let names = data.runs().unwrap();
    assert!((8..=12).contains(&names.len()), "{names:?}");
    let closed: Vec<Closed> =
        names.iter().map(|run| Closed::read(&data.run_dir(*run)).unwrap().unwrap()).collect();
    assert_eq!(closed.iter().map(|closed| closed.events).sum::<u64>(), 60 * 50);
    assert!(closed.iter().all(|closed| closed.destinations <= 2));
    let readers = names.iter().map(|run| RunReader::open(&data, *run).unwrap()).collect();
    let reader = MinuteReader::new(readers);
    for (prefix, first) in [("a", 0), ("b", 1)] {
        let destination = Destination::parse("bucket", prefix).unwrap();
        let records = reader.records(wal::DestinationId::of(&destination)).map(Result::unwrap);
        let read: Vec<EventId> = records.map(|record| record.first_id()).collect();
        let expected: Vec<EventId> = sent.iter().copied().skip(first).step_by(2).collect();
        let read: Vec<EventId> = read.into_iter().filter(|id| expected.contains(id)).collect();
        assert_eq!(read, expected);
    }
}

#[tokio::test]
async fn limits_are_those_of_the_minute() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let (log, appender) = start(dir.path(), &clock, 3);
    for number in 0..30 {
        send(&appender, ["a", "b", "c"][number % 3]).await.unwrap();
    }
    assert!(DataDir::at(dir.path()).runs().unwrap().len() > 3);
    let refused = send(&appender, "d").await.unwrap_err();
    assert!(matches!(refused, AppendError::TooManyDestinations { limit: 3, .. }), "{refused}");
    send(&appender, "a").await.unwrap();
    clock.advance(Duration::from_secs(60));
    send(&appender, "d").await.unwrap();
    log.close().await.unwrap();
}

#[tokio::test]
async fn no_run_begins_in_the_last_moments_of_a_minute() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let minute = Minute::containing(UnixMillis::from_seconds(1_795_342_500), Interval::default());
    clock.set(UnixMillis::new(minute.end().as_millis() - 5));
    let (log, appender) = start(dir.path(), &clock, 3);
    for _ in 0..20 {
        send(&appender, "a").await.unwrap();
    }
    log.close().await.unwrap();
    assert_eq!(DataDir::at(dir.path()).runs().unwrap().len(), 1);
}

/// Between two runs nobody holds the minute, and the flusher seals one that is ahead of the clock.
#[tokio::test]
async fn a_minute_that_is_ahead_of_the_clock_stays_one_run() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let (log, appender) = start(dir.path(), &clock, 3);
    send(&appender, "a").await.unwrap();
    clock.set(UnixMillis::from_seconds(1_795_342_500 - 5));
    for _ in 0..20 {
        send(&appender, "a").await.unwrap();
    }
    log.close().await.unwrap();
    assert_eq!(DataDir::at(dir.path()).runs().unwrap().len(), 1);
}

/// G6: a run's own times count, whatever its files say.
#[tokio::test]
async fn another_ingest_goes_on_after_the_last_time_of_a_closed_run() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    clock.advance(Duration::from_secs(50));
    let (log, appender) = start(dir.path(), &clock, 3);
    let before = send(&appender, "a").await.unwrap();
    log.close().await.unwrap();
    let data = DataDir::at(dir.path());
    let db = data.run_dir(data.runs().unwrap()[0]).join("db");
    let epoch = std::time::SystemTime::UNIX_EPOCH;
    std::fs::File::options().write(true).open(db).unwrap().set_modified(epoch).unwrap();
    clock.set(UnixMillis::from_seconds(1_795_342_520));
    let (log, appender) = start(dir.path(), &clock, 3);
    let after = send(&appender, "a").await.unwrap();
    log.close().await.unwrap();
    assert!(after.time() > before.time());
}
