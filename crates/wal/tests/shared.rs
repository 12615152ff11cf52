//! Events of destinations that share records: read as if each had its own.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::{Destination, EventId, Interval, ManualClock, UnixMillis};
use wal::{
    Appender, Batch, DataDir, DestinationId, LiveFilter, Log, LogOptions, MinuteReader, RunName,
    RunReader, live_events,
};

fn start(data: &DataDir) -> (Log, Appender) {
    let (data_dir, interval) = (data.root().to_owned(), Interval::default());
    let options = LogOptions {
        data_dir,
        interval,
        max_bytes: 1 << 30,
        max_destinations: 1000,
        run_bytes: wal::DEFAULT_RUN_BYTES,
    };
    let clock = Arc::new(ManualClock::new(UnixMillis::from_seconds(1_795_342_500)));
    Log::start(options, clock, Arc::new(())).unwrap()
}

fn destination(number: u32) -> Destination {
    Destination::parse("bucket", &number.to_string()).unwrap()
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    getrandom::fill(&mut noise).unwrap();
    noise
}

type Events = BTreeMap<DestinationId, Vec<(EventId, Vec<u8>)>>;

/// Appends so many commits with an event of `bytes` for each destination, larger ones among them.
async fn append(appender: &Appender, commits: u32, destinations: u32, bytes: usize) -> Events {
    let mut events = Events::new();
    for commit in 0..commits {
        let mut batch = Batch::new();
        let mut sent = Vec::new();
        for number in 0..destinations {
            let is_large = (commit + number) % 50 == 7;
            let payload = noise(if is_large { 40_000 } else { bytes });
            batch.push(&destination(number), None, &payload);
            sent.push((DestinationId::of(&destination(number)), payload));
        }
        let appended = appender.append(batch).await.unwrap();
        for (id, (to, payload)) in appended.ids().zip(sent) {
            events.entry(to).or_default().push((id, payload));
        }
    }
    events
}

/// A closed run, and what is in it.
async fn closed_run(
    commits: u32,
    destinations: u32,
    bytes: usize,
) -> (tempfile::TempDir, DataDir, RunName, Events) {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::create(dir.path()).unwrap();
    let (log, appender) = start(&data);
    let events = append(&appender, commits, destinations, bytes).await;
    log.close().await.unwrap();
    let run = data.runs().unwrap()[0];
    (dir, data, run, events)
}

fn database(data: &DataDir, run: RunName) -> sled::Db {
    let config = sled::Config::new().path(data.run_dir(run)).segment_size(4 * 1024 * 1024);
    config.mode(sled::Mode::HighThroughput).open().unwrap()
}

/// The keys of shared records: `s`, place (4), position (4).
fn shared_keys(db: &sled::Db) -> Vec<sled::IVec> {
    db.scan_prefix("s").keys().map(Result::unwrap).filter(|key| key.len() == 9).collect()
}

#[tokio::test]
async fn g6_events_come_in_their_order_wherever_they_lie() {
    // The second is far more than is held in memory.
    for (commits, destinations, bytes) in [(20, 30, 100), (60, 300, 500)] {
        let (_dir, data, run, events) = closed_run(commits, destinations, bytes).await;
        let reader = MinuteReader::new(vec![RunReader::open(&data, run).unwrap()]);
        let mut read = Events::new();
        for known in reader.destinations() {
            let (id, _) = known.unwrap();
            for record in reader.records(id) {
                let record = record.unwrap();
                let of_it = record.iter().map(|event| event.unwrap());
                let of_it = of_it.map(|event| (event.id, event.payload.to_vec()));
                read.entry(id).or_default().extend(of_it);
            }
        }
        assert!(read == events);
        let [run_reader] = reader.runs() else { panic!("there is one") };
        assert_eq!(run_reader.end().unwrap(), u64::from(commits * destinations));
        // In any other order as well.
        for (id, expected) in events.iter().rev().step_by(20) {
            let records = run_reader.records(*id).map(Result::unwrap);
            assert_eq!(records.map(|record| record.events()).sum::<u32>() as usize, expected.len());
        }
        drop(reader);
        let shared = shared_keys(&database(&data, run)).len();
        assert!(shared > 0 && shared * 10 < (commits * destinations) as usize, "{shared}");
    }
}

#[tokio::test]
async fn w6_what_a_lost_or_changed_shared_record_has_cost_is_told() {
    for is_lost in [true, false] {
        let (_dir, data, run, events) = closed_run(20, 30, 100).await;
        let db = database(&data, run);
        let keys = shared_keys(&db);
        let victim = &keys[keys.len() / 2];
        if is_lost {
            db.remove(victim).unwrap();
        } else {
            let mut value = db.get(victim).unwrap().unwrap().to_vec();
            let middle = value.len() / 2;
            value[middle] ^= 1;
            db.insert(victim, value).unwrap();
        }
        db.flush().unwrap();
        drop(db);
        let reader = RunReader::open(&data, run).unwrap();
        let (mut read, mut missing, mut whats) = (0, 0, Vec::new());
        for id in events.keys() {
            for record in reader.records(*id) {
                match record {
                    Ok(record) => read += u64::from(record.events()),
                    Err(damage) => {
                        missing += damage.missing;
                        whats.push(damage.what);
                    }
                }
            }
        }
        assert!(missing > 0 && read + missing == 600, "{read} + {missing}");
        let told = whats.iter().filter(|what| what.contains("checksum")).count();
        assert_eq!(told, usize::from(!is_lost), "{whats:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_open_minute_is_read_whole_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::create(dir.path()).unwrap();
    let (log, appender) = start(&data);
    append(&appender, 1, 30, 100).await;
    let done = Arc::new(AtomicBool::new(false));
    let (is_done, of) = (Arc::clone(&done), data.clone());
    let look = tokio::task::spawn_blocking(move || {
        let mut last = 0;
        while !is_done.load(Ordering::Relaxed) {
            let mut events = 0;
            live_events(&of, &LiveFilter::default(), false, |_| events += 1).unwrap();
            assert!(events >= last && events % 30 == 0, "{last}, then {events}");
            last = events;
        }
    });
    append(&appender, 60, 30, 100).await;
    done.store(true, Ordering::Relaxed);
    look.await.unwrap();
    let mut events = 0;
    live_events(&data, &LiveFilter::default(), false, |_| events += 1).unwrap();
    assert_eq!(events, 61 * 30);
    log.close().await.unwrap();
}
