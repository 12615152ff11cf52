//! What a crash or damage leaves of a run, and what a reader makes of it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::fs;
use std::sync::Arc;

use model::{Clock, Destination, Interval, ManualClock, Minute, UnixMillis};
use wal::{
    AppendError, Appender, Batch, DataDir, Error, IdentifiedPlace, Identity, Log, LogOptions,
    LogState, RunName, RunReader,
};

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(UnixMillis::from_seconds(1_795_342_500)))
}

fn start(data: &DataDir, clock: Arc<dyn Clock>, max_destinations: u32) -> (Log, Appender) {
    let data_dir = data.root().to_owned();
    let interval = Interval::default();
    let options = LogOptions {
        data_dir,
        interval,
        max_bytes: 1 << 30,
        max_destinations,
        run_bytes: wal::DEFAULT_RUN_BYTES,
    };
    Log::start(options, clock, Arc::new(())).unwrap()
}

fn batch(prefixes: &[&str]) -> Batch {
    let mut batch = Batch::new();
    for prefix in prefixes {
        batch.push(&Destination::parse("bucket", prefix).unwrap(), None, &[b'x'; 10_000]);
    }
    batch
}

/// A closed run of 60 events in 20 commits.
async fn closed_run() -> (tempfile::TempDir, DataDir, RunName) {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::create(dir.path()).unwrap();
    let (log, appender) = start(&data, clock(), 100);
    for _ in 0..20 {
        appender.append(batch(&["a", "b", "a"])).await.unwrap();
    }
    log.close().await.unwrap();
    let run = data.runs().unwrap()[0];
    (dir, data, run)
}

/// How many events are read, and how much damage is met on the way.
fn read(reader: &RunReader) -> (u64, usize) {
    let (mut events, mut damages) = (0, 0);
    for destination in reader.destinations() {
        let Ok((id, _)) = destination else {
            damages += 1;
            continue;
        };
        for record in reader.records(id) {
            match record {
                Ok(record) => events += record.iter().flatten().count() as u64,
                Err(_) => damages += 1,
            }
        }
    }
    (events, damages)
}

#[tokio::test]
async fn w2_a_run_that_is_written_is_held_until_it_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::create(dir.path()).unwrap();
    let (log, appender) = start(&data, clock(), 100);
    appender.append(batch(&["a"])).await.unwrap();
    let run = data.runs().unwrap()[0];
    assert!(matches!(RunReader::open(&data, run), Err(Error::Busy { .. })));
    log.close().await.unwrap();
    let reader = RunReader::open(&data, run).unwrap();
    assert_eq!((read(&reader), reader.closed().unwrap().events), ((1, 0), 1));
}

#[tokio::test]
async fn a_crash_in_opening_leaves_nothing_that_stops_a_reader() {
    let (_dir, data, run) = closed_run().await;
    let run_dir = data.run_dir(run);
    fs::write(run_dir.join("snap.00000000000000FF.generating"), b"half").unwrap();
    let reader = RunReader::open(&data, run).unwrap();
    assert_eq!(read(&reader), (60, 0));
    drop(reader);
    // A database that is not there is damage, unless the run was still being made.
    fs::remove_file(run_dir.join("db")).unwrap();
    assert!(matches!(RunReader::open(&data, run), Err(Error::Damaged { .. })));
    fs::write(run_dir.join("opening"), b"").unwrap();
    assert_eq!(data.runs().unwrap(), []);
    data.remove_unborn_runs().unwrap();
    assert!(!run_dir.exists());
}

/// A run of events of these sizes, one commit each, of which the last record of the event at
/// `position` was not written.
async fn run_without_a_slice(
    sizes: &[usize],
    position: u32,
    is_closed: bool,
) -> (tempfile::TempDir, DataDir, RunName) {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::create(dir.path()).unwrap();
    let (log, appender) = start(&data, clock(), 100);
    for size in sizes {
        let mut batch = Batch::new();
        batch.push(&Destination::parse("bucket", "a").unwrap(), None, &vec![b'x'; *size]);
        appender.append(batch).await.unwrap();
    }
    log.close().await.unwrap();
    let run = data.runs().unwrap()[0];
    if !is_closed {
        fs::remove_file(data.run_dir(run).join("closed")).unwrap();
    }
    let config = sled::Config::new().path(data.run_dir(run)).segment_size(4 * 1024 * 1024);
    let db = config.mode(sled::Mode::HighThroughput).open().unwrap();
    // `e`, destination (16), place (4), position (4), slice (2); a fence ends with its place.
    let keys = db.scan_prefix("e").keys().map(Result::unwrap);
    let is_of_event = |key: &sled::IVec| key.get(21..25) == Some(&position.to_be_bytes());
    let of_event: Vec<_> = keys.filter(is_of_event).collect();
    db.remove(of_event.last().unwrap()).unwrap();
    drop(db);
    (dir, data, run)
}

#[tokio::test]
async fn a_large_event_that_was_not_written_to_its_end_was_never_acknowledged() {
    let read_and_end = async |sizes: &[usize], position, is_closed| {
        let (_dir, data, run) = run_without_a_slice(sizes, position, is_closed).await;
        let reader = RunReader::open(&data, run).unwrap();
        (read(&reader), reader.end().unwrap())
    };
    assert_eq!(read_and_end(&[10, 100_000], 1, false).await, ((1, 0), 1));
    assert_eq!(read_and_end(&[100_000], 0, false).await, ((0, 0), 0));
    // What was closed was written to its end; so was what something was written after.
    assert_eq!(read_and_end(&[10, 100_000], 1, true).await, ((1, 1), 2));
    assert_eq!(read_and_end(&[10, 100_000, 10], 1, false).await, ((2, 1), 3));
    // Damage beside the records changes nothing about it.
    let (_dir, data, run) = run_without_a_slice(&[10, 100_000], 1, false).await;
    fs::write(data.run_dir(run).join("conf"), "something else").unwrap();
    let reader = RunReader::open(&data, run).unwrap();
    assert!(reader.damage().is_some());
    assert_eq!((read(&reader), reader.end().unwrap()), ((1, 0), 1));
}

#[tokio::test]
async fn damage_beside_the_records_costs_none_of_them() {
    for file in ["lock", "closed", "conf"] {
        for damage in ["", "removed", "replaced by this text", "replaced by a directory"] {
            let (_dir, data, run) = closed_run().await;
            let path = data.run_dir(run).join(file);
            fs::remove_file(&path).unwrap();
            match damage {
                "removed" => {}
                "replaced by a directory" => fs::create_dir(&path).unwrap(),
                text => fs::write(&path, text).unwrap(),
            }
            let reader = RunReader::open(&data, run).unwrap();
            assert_eq!(read(&reader), (60, 0), "{file} {damage}");
            // What is empty or gone may be what a crash leaves.
            let is_noted = file != "lock" && damage != "removed";
            assert_eq!(reader.damage().is_some(), is_noted, "{file} {damage}");
        }
    }
}

/// What a crash leaves of a closing record: nothing under its name, and perhaps a part of it beside.
#[tokio::test]
async fn a_crash_while_a_run_is_closed_leaves_one_that_is_read_to_its_end() {
    for written in [None, Some(0), Some(9), Some(usize::MAX)] {
        let (_dir, data, run) = closed_run().await;
        let [closed, new] = ["closed", "closed.12345.new"].map(|name| data.run_dir(run).join(name));
        let record = fs::read(&closed).unwrap();
        fs::remove_file(&closed).unwrap();
        if let Some(written) = written {
            fs::write(&new, &record[..written.min(record.len())]).unwrap();
        }
        let reader = RunReader::open(&data, run).unwrap();
        assert_eq!((reader.closed(), reader.damage()), (None, None), "{written:?}");
        assert_eq!((read(&reader), reader.end().unwrap()), ((60, 0), 60), "{written:?}");
        drop(reader);
        data.remove_run(run).unwrap();
        assert!(!data.run_dir(run).exists(), "it goes with all that is in it");
    }
}

#[tokio::test]
async fn w6_a_short_end_is_noticed_by_the_closing_record() {
    let (_dir, data, run) = closed_run().await;
    let db = data.run_dir(run).join("db");
    for entry in fs::read_dir(data.run_dir(run)).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("snap.") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    let bytes = fs::read(&db).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    fs::write(&db, &bytes[..used / 2]).unwrap();
    match RunReader::open(&data, run) {
        Ok(reader) => {
            let (events, _) = read(&reader);
            assert!(events < 60, "{events}");
            assert_eq!(reader.closed().unwrap().events, 60);
        }
        Err(error) => assert!(matches!(error, Error::Damaged { .. }), "{error}"),
    }
}

#[tokio::test]
async fn w6_a_flipped_byte_in_a_record_costs_that_record_and_is_told() {
    let (_dir, data, run) = closed_run().await;
    let reader = RunReader::open(&data, run).unwrap();
    assert_eq!(read(&reader), (60, 0));
    drop(reader);
    let db = data.run_dir(run).join("db");
    let bytes = fs::read(&db).unwrap();
    // In the middle of each long run of payload there is one; sled keeps several generations of
    // a leaf, and only the newest counts: flip them all.
    let mut damaged = bytes.clone();
    let mut start = 0;
    while let Some(at) = bytes[start..].windows(9_000).position(|w| w.iter().all(|b| *b == b'x')) {
        damaged[start + at + 4_500] ^= 1;
        start += at + 10_000;
    }
    assert_ne!(damaged, bytes);
    fs::write(&db, damaged).unwrap();
    match RunReader::open(&data, run) {
        Ok(reader) => {
            let (events, damages) = read(&reader);
            assert!(events < 60 && (damages > 0 || reader.closed().unwrap().events == 60));
        }
        Err(error) => assert!(matches!(error, Error::Damaged { .. }), "{error}"),
    }
}

#[tokio::test]
async fn w4_a_minute_that_has_a_part_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::create(dir.path()).unwrap();
    let clock = clock();
    let minute = Minute::containing(clock.now(), Interval::default());
    fs::create_dir(data.sealing_dir().join(format!("{}.0", minute.to_name()))).unwrap();
    let (log, appender) = start(&data, clock, 100);
    let appended = appender.append(batch(&["a"])).await.unwrap();
    assert_eq!(data.runs().unwrap()[0].minute, minute.next());
    assert!(minute.next().contains(appended.first().time()));
    log.close().await.unwrap();
}

#[tokio::test]
async fn limits_refuse_a_request_whole_and_leave_the_others_alone() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::create(dir.path()).unwrap();
    let (log, appender) = start(&data, clock(), 2);
    appender.append(batch(&["a"])).await.unwrap();
    let refused = appender.append(batch(&["b", "c"])).await;
    assert!(matches!(refused, Err(AppendError::TooManyDestinations { limit: 2, .. })));
    appender.append(batch(&["a", "b"])).await.unwrap();
    assert_eq!(appender.state(), LogState::Accepting);
    log.close().await.unwrap();
    assert_eq!(appender.state(), LogState::Draining);
    assert!(matches!(appender.append(batch(&["a"])).await, Err(AppendError::Draining)));
    let reader = RunReader::open(&data, data.runs().unwrap()[0]).unwrap();
    assert_eq!(read(&reader), (3, 0));
}

#[tokio::test]
async fn w8_no_event_is_in_the_log_without_its_identity() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::create(dir.path()).unwrap();
    let (log, appender) = start(&data, clock(), 100);
    for number in 0..20 {
        let mut batch = batch(&["a", "b", "a"]);
        batch.identify(Identity::new([number; 16]));
        appender.append(batch).await.unwrap();
    }
    log.close().await.unwrap();
    let run = data.runs().unwrap()[0];
    let db = data.run_dir(run).join("db");
    let bytes = fs::read(&db).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for step in 0..60 {
        for entry in fs::read_dir(data.run_dir(run)).unwrap().flatten() {
            if entry.file_name().to_string_lossy().starts_with("snap.") {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        // The log as it is when it is cut off here.
        let mut torn = bytes.clone();
        torn[used * step / 60..].fill(0);
        fs::write(&db, torn).unwrap();
        let Ok(reader) = RunReader::open(&data, run) else { continue };
        let mut places = Vec::new();
        for identified in reader.identified() {
            places.extend(identified.unwrap());
        }
        for (id, _) in reader.destinations().flatten() {
            for record in reader.records(id).flatten() {
                for event in record.iter() {
                    let seq = event.unwrap().id.seq().get();
                    let known = |place: &IdentifiedPlace| {
                        (place.first.get()..place.first.get() + place.events).contains(&seq)
                    };
                    assert!(places.iter().any(known), "event {seq}, cut at {step}/60");
                    seen.insert(seq);
                }
            }
        }
    }
    assert!(seen.len() > 30, "{seen:?}");
}
