//! The flusher's promises, F1 to F7, on a real log and a store that fails as it is told to.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

mod ahead;
mod reload;
mod repeats;

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flusher::{Config, Drained, Error, GzipLevel};
use model::{Clock, Destination, Interval, ManualClock, UnixMillis};
use store::{Class, Fault, FaultyStore, MemoryStore, PutError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wal::{Appender, Batch, DataDir, Log, LogOptions, Outcome, Stage, read_deliveries};

type Faulty = FaultyStore<MemoryStore>;

struct Bench {
    dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
    store: Arc<Faulty>,
}

fn destination(prefix: &str) -> Destination {
    Destination::parse("bucket", prefix).unwrap()
}

fn refusal(class: Class) -> Fault {
    Fault::Refuse(PutError::NotStored { class, message: format!("told to {class:?}") })
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(UnixMillis::from_seconds(1_795_342_500)));
        let store = Arc::new(FaultyStore::new(MemoryStore::new()));
        Self { dir: tempfile::tempdir().unwrap(), clock, store }
    }

    fn data(&self) -> DataDir {
        DataDir::at(self.dir.path())
    }

    fn log(&self) -> (Log, Appender) {
        let options = LogOptions {
            data_dir: self.dir.path().to_owned(),
            interval: Interval::default(),
            max_bytes: 1 << 30,
            max_destinations: 1000,
            run_bytes: wal::DEFAULT_RUN_BYTES,
        };
        // The log's own clock stands still: only the flusher's moves on.
        let clock = Arc::new(ManualClock::new(self.clock.now()));
        Log::start(options, clock, Arc::new(())).unwrap()
    }

    /// Accepts one event for each prefix, with the prefix as its line.
    async fn accept(&self, prefixes: &[&str]) {
        let (log, appender) = self.log();
        send(&appender, prefixes).await;
        log.close().await.unwrap();
    }

    fn config(&self) -> Config {
        Config {
            data_dir: self.dir.path().to_owned(),
            ops_listen: ([127, 0, 0, 1], 0).into(),
            gzip_level: GzipLevel::Fixed(6),
            upload_concurrency: 4,
            receipt_retention: Duration::from_secs(3600),
            keep_delivered: Duration::ZERO,
            idempotency_window: Duration::from_secs(900),
        }
    }

    async fn once(&self) -> Drained {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let stop = CancellationToken::new();
        let once = flusher::run_once(self.config(), self.store.clone(), clock, stop);
        tokio::select! {
            drained = once => drained.unwrap(),
            () = self.pass_time() => unreachable!("time passes for ever"),
        }
    }

    /// Back-off is by the clock: it goes on while the flusher waits.
    async fn pass_time(&self) {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            self.clock.advance(Duration::from_millis(5));
        }
    }

    /// Every line in the store with its prefix, sorted.
    fn delivered(&self) -> Vec<(String, String)> {
        let mut lines = Vec::new();
        for object in self.store.inner().objects() {
            let mut text = String::new();
            flate2::bufread::GzDecoder::new(&*object.bytes).read_to_string(&mut text).unwrap();
            let prefix = object.destination.prefix().to_string();
            lines.extend(text.lines().map(|line| (prefix.clone(), line.to_owned())));
        }
        lines.sort();
        lines
    }

    fn expected(prefixes: &[&str]) -> Vec<(String, String)> {
        prefixes.iter().map(|prefix| ((*prefix).to_owned(), (*prefix).to_owned())).collect()
    }
}

async fn send(appender: &Appender, prefixes: &[&str]) {
    let mut batch = Batch::new();
    for prefix in prefixes {
        batch.push(&destination(prefix), None, prefix.as_bytes());
    }
    appender.append(batch).await.unwrap();
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}

#[tokio::test]
async fn f1_a_seal_that_was_interrupted_is_made_anew() {
    let bench = Bench::new();
    bench.accept(&["a", "b"]).await;
    let left_over = bench.data().sealing_dir().join("20261122T101500Z-60s.0");
    std::fs::create_dir_all(&left_over).unwrap();
    std::fs::write(left_over.join("manifest"), "half").unwrap();
    assert_eq!(bench.once().await, Drained::Yes);
    assert_eq!(bench.delivered(), Bench::expected(&["a", "b"]));
    assert!(is_empty(&bench.data().sealing_dir()));
}

#[tokio::test]
async fn f2_f3_a_receipt_follows_a_confirmation_and_nothing_else() {
    let bench = Bench::new();
    bench.accept(&["a"]).await;
    for _ in 0..20 {
        bench.store.script(Fault::LoseAnswer);
    }
    assert_eq!(bench.once().await, Drained::No);
    let data = bench.data();
    let part = data.parts(Stage::Sealed).unwrap()[0];
    let last = read_deliveries(&data.part_dir(Stage::Sealed, part)).unwrap();
    assert!(matches!(last[&0], Outcome::Failed(_)), "{last:?}");
    assert_eq!(data.runs().unwrap().len(), 1, "the log is kept");
    let tries = bench.store.tries();
    assert!(tries.len() > 1 && tries.iter().all(|key| *key == tries[0]), "one key for ever");

    let mended = Bench { store: Arc::new(FaultyStore::new(MemoryStore::new())), ..bench };
    assert_eq!(mended.once().await, Drained::Yes);
    let last = read_deliveries(&data.part_dir(Stage::Receipts, part)).unwrap();
    assert!(matches!(last[&0], Outcome::Delivered(_)), "{last:?}");
    assert_eq!(mended.store.tries(), &tries[..1]);
}

#[tokio::test]
async fn a_lost_answer_makes_no_second_object() {
    let bench = Bench::new();
    bench.accept(&["a"]).await;
    bench.store.script(Fault::LoseAnswer);
    assert_eq!(bench.once().await, Drained::Yes);
    assert_eq!(bench.store.tries().len(), 2);
    assert_eq!(bench.delivered(), Bench::expected(&["a"]));
    let data = bench.data();
    let part = data.parts(Stage::Receipts).unwrap()[0];
    let last = read_deliveries(&data.part_dir(Stage::Receipts, part)).unwrap();
    assert!(matches!(&last[&0], Outcome::Delivered(receipt) if receipt.already_there));
}

#[tokio::test]
async fn f4_the_log_goes_only_when_every_object_is_settled() {
    let bench = Bench::new();
    bench.accept(&["bad", "good"]).await;
    for _ in 0..20 {
        bench.store.script_for(destination("bad"), refusal(Class::Retry));
    }
    assert_eq!(bench.once().await, Drained::No);
    assert_eq!(bench.delivered(), Bench::expected(&["good"]));
    let data = bench.data();
    assert_eq!(data.runs().unwrap().len(), 1);
    assert_eq!(data.parts(Stage::Sealed).unwrap().len(), 1);
}

#[tokio::test]
async fn f4_what_is_not_taken_for_long_keeps_its_sealed_bytes_and_no_others() {
    let bench = Bench::new();
    bench.accept(&["bad", "good"]).await;
    for _ in 0..20 {
        bench.store.script_for(destination("bad"), refusal(Class::Retry));
    }
    assert_eq!(bench.once().await, Drained::No);
    assert_eq!(bench.data().runs().unwrap().len(), 1, "it may be taken in a moment");
    bench.clock.advance(Duration::from_secs(600));
    assert_eq!(bench.once().await, Drained::No);
    let data = bench.data();
    assert!(data.runs().unwrap().is_empty(), "the log does not stay for one destination");
    assert_eq!(data.parts(Stage::Sealed).unwrap().len(), 1, "nobody has to do anything about it");

    let mut tries = 0;
    while bench.once().await == Drained::No {
        tries += 1;
        assert!(tries <= 20, "it was refused 20 times");
        bench.clock.advance(Duration::from_secs(600));
    }
    assert_eq!(bench.delivered(), Bench::expected(&["bad", "good"]));
}

#[tokio::test]
async fn f4_what_is_parked_keeps_its_sealed_bytes_and_no_others() {
    let bench = Bench::new();
    bench.accept(&["bad", "good"]).await;
    bench.store.script_for(destination("bad"), refusal(Class::Park));
    assert_eq!(bench.once().await, Drained::No);
    assert_eq!(bench.delivered(), Bench::expected(&["good"]));
    let data = bench.data();
    assert!(data.runs().unwrap().is_empty(), "the log does not stay for one destination");
    let part = data.parts(Stage::Parked).unwrap()[0];

    // The next flusher tries it again: it was mended in the meantime.
    assert_eq!(bench.once().await, Drained::Yes);
    assert_eq!(bench.delivered(), Bench::expected(&["bad", "good"]));
    assert_eq!(data.parts(Stage::Receipts).unwrap(), [part]);
    assert!(!data.part_dir(Stage::Receipts, part).join("segments").exists());
}

#[tokio::test]
async fn f5_a_dead_destination_delays_no_other() {
    let bench = Bench::new();
    let prefixes: Vec<String> = (0..40).map(|number| format!("p{number:02}")).collect();
    let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
    bench.accept(&prefixes).await;
    for _ in 0..1000 {
        bench.store.script_for(destination("p07"), refusal(Class::Retry));
    }
    let stop = CancellationToken::new();
    let clock = Arc::clone(&bench.clock) as Arc<dyn Clock>;
    bench.clock.advance(Duration::from_secs(60));
    let running =
        flusher::run(bench.config(), bench.store.clone(), clock, stop.clone(), mpsc::channel(1).1);
    let running = tokio::spawn(running);
    for minute in 0..3_usize {
        let healthy = (prefixes.len() - 1) * (minute + 1);
        while bench.store.inner().objects().len() < healthy {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if minute < 2 {
            bench.accept(&prefixes).await;
            bench.clock.advance(Duration::from_secs(60));
        }
    }
    let delivered = bench.delivered();
    assert!(delivered.iter().all(|(prefix, _)| prefix != "p07"));
    assert_eq!(bench.data().parts(Stage::Sealed).unwrap().len(), 3);
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn f5_an_upload_that_hangs_delays_nothing_of_its_own_minute() {
    let bench = Bench::new();
    bench.accept(&["hangs", "stumbles"]).await;
    bench.store.script_for(destination("hangs"), Fault::Delay(Duration::from_secs(86_400)));
    for _ in 0..3 {
        bench.store.script_for(destination("stumbles"), refusal(Class::Retry));
    }
    bench.clock.advance(Duration::from_secs(60));
    let stop = CancellationToken::new();
    let clock = Arc::clone(&bench.clock) as Arc<dyn Clock>;
    let running = tokio::spawn(flusher::run(
        bench.config(),
        bench.store.clone(),
        clock,
        stop.clone(),
        mpsc::channel(1).1,
    ));
    let delivered = async {
        while bench.delivered() != Bench::expected(&["stumbles"]) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        ended = tokio::time::timeout(Duration::from_secs(60), delivered) => ended.unwrap(),
        () = bench.pass_time() => unreachable!("time passes for ever"),
    }
    running.abort();
}

#[tokio::test]
async fn f6_a_second_flusher_is_refused() {
    let bench = Bench::new();
    bench.accept(&["a"]).await;
    let _first = wal::Lock::exclusive(&bench.data().flusher_lock()).unwrap();
    let clock = Arc::clone(&bench.clock) as Arc<dyn Clock>;
    let second =
        flusher::run_once(bench.config(), bench.store.clone(), clock, CancellationToken::new());
    assert!(matches!(second.await, Err(Error::SecondFlusher(_))));
    assert!(bench.store.tries().is_empty());
}

#[tokio::test]
async fn g4_a_run_that_turns_up_late_goes_into_a_further_part() {
    let bench = Bench::new();
    let (stopped, appender) = bench.log();
    send(&appender, &["a", "late"]).await;
    bench.accept(&["a", "b"]).await;
    // Held, and its minute not long over: everything waits for it.
    bench.clock.advance(Duration::from_secs(60));
    assert_eq!(bench.once().await, Drained::No);
    assert!(bench.delivered().is_empty());
    bench.clock.advance(Duration::from_secs(10));
    assert_eq!(bench.once().await, Drained::No);
    assert_eq!(bench.delivered(), Bench::expected(&["a", "b"]));
    stopped.close().await.unwrap();
    assert_eq!(bench.once().await, Drained::Yes);
    assert_eq!(bench.delivered(), Bench::expected(&["a", "a", "b", "late"]));
    let parts = bench.data().parts(Stage::Receipts).unwrap();
    assert_eq!(parts.iter().map(|name| name.part).collect::<Vec<_>>(), [0, 1]);
}

#[tokio::test]
async fn g4_a_reader_of_a_run_makes_no_further_part() {
    let bench = Bench::new();
    bench.accept(&["a"]).await;
    let data = bench.data();
    let run = data.runs().unwrap()[0];
    bench.accept(&["b"]).await;
    bench.clock.advance(Duration::from_secs(600));
    let reader = wal::Lock::shared(&data.run_dir(run).join("lock")).unwrap();
    assert_eq!(bench.once().await, Drained::No);
    assert!(bench.delivered().is_empty());
    drop(reader);
    assert_eq!(bench.once().await, Drained::Yes);
    assert_eq!(bench.delivered(), Bench::expected(&["a", "b"]));
    assert_eq!(data.parts(Stage::Receipts).unwrap().len(), 1);
}

#[tokio::test]
async fn a_run_that_somebody_reads_for_a_moment_is_waited_for() {
    let bench = Bench::new();
    bench.accept(&["a"]).await;
    let data = bench.data();
    let run = data.runs().unwrap()[0];
    let reader = wal::Lock::shared(&data.run_dir(run).join("lock")).unwrap();
    let reading = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        drop(reader);
    });
    assert_eq!(bench.once().await, Drained::Yes);
    assert_eq!(bench.delivered(), Bench::expected(&["a"]));
    reading.join().unwrap();
}

#[tokio::test]
async fn runs_of_one_minute_meet_in_one_object() {
    let bench = Bench::new();
    for _ in 0..5 {
        bench.accept(&["a"]).await;
    }
    assert_eq!(bench.once().await, Drained::Yes);
    assert_eq!(bench.store.inner().objects().len(), 1);
    assert_eq!(bench.delivered(), Bench::expected(&["a"; 5]));
}

#[tokio::test]
async fn g7_a_damaged_run_is_quarantined_and_the_rest_delivered() {
    let bench = Bench::new();
    bench.accept(&["a"]).await;
    let data = bench.data();
    let damaged = data.runs().unwrap()[0];
    bench.accept(&["b"]).await;
    let db = data.run_dir(damaged).join("db");
    let mut bytes = std::fs::read(&db).unwrap();
    // Where the payload's record is: any flipped byte of it is noticed.
    let at = bytes.windows(2).rposition(|window| window == [1, b'a']).unwrap() + 1;
    bytes[at] ^= 0x40;
    std::fs::write(&db, bytes).unwrap();
    assert_eq!(bench.once().await, Drained::No);
    assert_eq!(bench.delivered(), Bench::expected(&["b"]));
    assert_eq!(data.quarantined().unwrap(), [damaged.to_string()]);
    assert!(data.runs().unwrap().is_empty());
}

#[tokio::test]
async fn g7_damaged_segments_are_quarantined_with_their_log() {
    let bench = Bench::new();
    bench.accept(&["a", "b"]).await;
    for prefix in ["a", "b"] {
        for _ in 0..20 {
            bench.store.script_for(destination(prefix), refusal(Class::Retry));
        }
    }
    assert_eq!(bench.once().await, Drained::No);
    let data = bench.data();
    let part = data.parts(Stage::Sealed).unwrap()[0];
    let segments = data.part_dir(Stage::Sealed, part).join("segments");
    let mut bytes = std::fs::read(&segments).unwrap();
    bytes[12] ^= 1;
    std::fs::write(&segments, bytes).unwrap();
    let mended = Bench { store: Arc::new(FaultyStore::new(MemoryStore::new())), ..bench };
    assert_eq!(mended.once().await, Drained::No);
    assert_eq!(mended.delivered().len(), 1, "the other object is whole");
    assert_eq!(data.quarantined().unwrap().len(), 2, "the part and its run");
}
