//! Minutes of several runs: what is closed of them is compressed before they are over.

use super::*;
use std::path::PathBuf;
use wal::{Inspector, ManifestReader};

/// So much of a destination that it is compressed ahead.
const LARGE: usize = 1500;

fn line(prefix: &str, number: usize) -> String {
    let text = blake3::hash(format!("{prefix} {number}").as_bytes()).to_hex();
    format!("{prefix} {number:05} {}", text.repeat(12))
}

impl Bench {
    /// A log whose runs end after 1 MiB; its clock is as far into the minute as the flusher's.
    fn log_of_runs(&self, dir: &Path) -> (Log, Appender) {
        let options = LogOptions {
            data_dir: dir.to_owned(),
            interval: Interval::default(),
            max_bytes: 1 << 30,
            max_destinations: 1000,
            run_bytes: 1024 * 1024,
        };
        let clock = Arc::new(ManualClock::new(self.clock.now()));
        Log::start(options, clock, Arc::new(())).unwrap()
    }

    fn ahead_dir(&self) -> PathBuf {
        self.data().sealing_dir().join("20261122T101500Z-60s.ahead")
    }

    /// Every line in the store by prefix, in the order in which they stand; one object for each.
    fn objects(&self) -> Vec<(String, Vec<String>)> {
        let objects = self.store.inner().objects();
        let mut all = objects.iter().map(|object| {
            let mut text = String::new();
            flate2::bufread::GzDecoder::new(&*object.bytes).read_to_string(&mut text).unwrap();
            let lines = text.lines().map(str::to_owned).collect();
            (object.destination.prefix().to_string(), lines)
        });
        let mut all: Vec<_> = all.by_ref().collect();
        all.sort();
        all
    }

    /// Runs the flusher as a service until `until` holds, then stops it.
    async fn serve_until(&self, until: impl AsyncFnOnce(&Self)) {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let stop = CancellationToken::new();
        let served = flusher::run(
            self.config(),
            self.store.clone(),
            clock,
            stop.clone(),
            tokio::sync::mpsc::channel(1).1,
        );
        let served = tokio::spawn(served);
        tokio::time::timeout(Duration::from_secs(120), until(self)).await.unwrap();
        stop.cancel();
        served.await.unwrap().unwrap();
    }

    async fn wait(&self, what: impl Fn(&Self) -> bool) {
        while !what(self) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until all runs that were closed are compressed: nothing more is written.
    async fn wait_until_ahead(&self) {
        let segments = self.ahead_dir().join("segments");
        let length = || std::fs::metadata(&segments).map_or(0, |metadata| metadata.len());
        let (mut last, mut same) = (0, 0);
        while same < 15 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = length();
            same = if now == last && now > 0 { same + 1 } else { 0 };
            last = now;
        }
    }
}

/// Two large destinations, a small one, and one that begins late.
async fn send_all(appender: &Appender, numbers: std::ops::Range<usize>) {
    for start in numbers.clone().step_by(25) {
        let mut batch = Batch::new();
        for number in start..numbers.end.min(start + 25) {
            for prefix in ["a", "b"] {
                batch.push(&destination(prefix), None, line(prefix, number).as_bytes());
            }
            if number.is_multiple_of(100) {
                batch.push(&destination("small"), None, line("small", number).as_bytes());
            }
            if number > LARGE {
                batch.push(&destination("late"), None, line("late", number).as_bytes());
            }
        }
        appender.append(batch).await.unwrap();
    }
}

fn expected(numbers: std::ops::Range<usize>) -> Vec<(String, Vec<String>)> {
    let of = |prefix: &str, wanted: &dyn Fn(usize) -> bool| {
        let lines = numbers.clone().filter(|number| wanted(*number));
        (prefix.to_owned(), lines.map(|number| line(prefix, number)).collect::<Vec<_>>())
    };
    let all = [
        of("a", &|_| true),
        of("b", &|_| true),
        of("late", &|number| number > LARGE),
        of("small", &|number| number.is_multiple_of(100)),
    ];
    all.into_iter().filter(|(_, lines)| !lines.is_empty()).collect()
}

/// Objects that lie in several extents, of all that was sealed.
fn scattered(bench: &Bench) -> Vec<String> {
    let mut prefixes = Vec::new();
    for stage in Stage::ALL {
        for part in bench.data().parts(stage).unwrap() {
            let dir = bench.data().part_dir(stage, part);
            let mut manifest = ManifestReader::open(&dir).unwrap();
            while let Some((_, object)) = manifest.next_object().unwrap() {
                if object.extents.iter().count() > 1 {
                    prefixes.push(object.destination.prefix().to_string());
                }
            }
        }
    }
    prefixes.sort();
    prefixes
}

fn damages(bench: &Bench) -> usize {
    Inspector::new(bench.dir.path().to_owned()).verify(None, |_| ()).unwrap().damaged.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_closed_is_compressed_before_the_minute_is_over() {
    let bench = Bench::new();
    let (log, appender) = bench.log_of_runs(bench.dir.path());
    send_all(&appender, 0..2 * LARGE).await;
    bench
        .serve_until(async move |bench: &Bench| {
            bench.wait_until_ahead().await;
            assert!(bench.data().parts(Stage::Sealed).unwrap().is_empty(), "the minute is open");
            send_all(&appender, 2 * LARGE..2 * LARGE + 300).await;
            bench.wait_until_ahead().await;
            log.close().await.unwrap();
            for prefix in ["a", "b", "late", "small"] {
                bench.store.script_for(destination(prefix), refusal(Class::Park));
            }
            bench.clock.advance(Duration::from_secs(61));
            bench.wait(|bench| bench.data().parts(Stage::Parked).unwrap().len() == 1).await;
        })
        .await;
    assert!(is_empty(&bench.data().sealing_dir()));
    assert_eq!(scattered(&bench), ["a", "b", "late"]);
    assert_eq!(damages(&bench), 0);
    assert_eq!(bench.once().await, Drained::Yes);
    assert!(bench.objects() == expected(0..2 * LARGE + 300));
    assert_eq!(damages(&bench), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_of_large_minutes_is_read_run_by_run() {
    let bench = Bench::new();
    let (log, appender) = bench.log_of_runs(bench.dir.path());
    send_all(&appender, 0..2 * LARGE).await;
    log.close().await.unwrap();
    assert!(bench.data().runs().unwrap().len() > 3);
    bench.clock.advance(Duration::from_secs(61));
    assert_eq!(bench.once().await, Drained::Yes);
    assert!(bench.objects() == expected(0..2 * LARGE));
    assert_eq!(scattered(&bench), ["a", "b", "late"]);
    assert_eq!(damages(&bench), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn f1_what_was_compressed_ahead_goes_with_the_flusher() {
    let bench = Bench::new();
    let (log, appender) = bench.log_of_runs(bench.dir.path());
    send_all(&appender, 0..LARGE).await;
    bench.serve_until(async move |bench: &Bench| bench.wait_until_ahead().await).await;
    assert!(bench.ahead_dir().exists());
    std::fs::write(bench.ahead_dir().join("segments"), "not what it was").unwrap();
    send_all(&appender, LARGE..LARGE + 100).await;
    log.close().await.unwrap();
    bench.clock.advance(Duration::from_secs(61));
    assert_eq!(bench.once().await, Drained::Yes);
    assert!(bench.objects() == expected(0..LARGE + 100));
    assert!(is_empty(&bench.data().sealing_dir()));
}

/// G6: a run turns up whose events come before those that are compressed.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_in_its_order_is_sealed_without() {
    let (bench, earlier) = (Bench::new(), tempfile::tempdir().unwrap());
    bench.clock.advance(Duration::from_secs(5));
    let (log, appender) = bench.log_of_runs(earlier.path());
    send_all(&appender, 0..100).await;
    log.close().await.unwrap();
    bench.clock.advance(Duration::from_secs(5));
    let (log, appender) = bench.log_of_runs(bench.dir.path());
    send_all(&appender, 100..LARGE).await;
    bench
        .serve_until(async move |bench: &Bench| {
            bench.wait_until_ahead().await;
            log.close().await.unwrap();
            let run = DataDir::at(earlier.path()).runs().unwrap()[0];
            let from = DataDir::at(earlier.path()).run_dir(run);
            std::fs::rename(from, bench.data().run_dir(run)).unwrap();
            bench.clock.advance(Duration::from_secs(51));
            bench.wait(|bench| !bench.data().parts(Stage::Receipts).unwrap().is_empty()).await;
        })
        .await;
    assert!(bench.objects() == expected(0..LARGE));
    assert!(scattered(&bench).is_empty());
    assert!(is_empty(&bench.data().sealing_dir()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_judged_before_its_end_is_left_to_the_seal() {
    let spoil = |bench: &Bench, how: &str| {
        let runs = bench.data().runs().unwrap();
        let closed = |run: &&wal::RunName| bench.data().run_dir(**run).join("closed").exists();
        let run = *runs.iter().find(closed).unwrap();
        match how {
            "never closed" => {
                std::fs::remove_file(bench.data().run_dir(run).join("closed")).unwrap();
            }
            _ => std::fs::write(bench.data().run_dir(run).join("closed"), "garbage").unwrap(),
        }
    };
    for how in ["never closed", "damaged"] {
        let bench = Bench::new();
        let (log, appender) = bench.log_of_runs(bench.dir.path());
        send_all(&appender, 0..LARGE).await;
        spoil(&bench, how);
        bench
            .serve_until(async move |bench: &Bench| {
                log.close().await.unwrap();
                tokio::time::sleep(Duration::from_millis(500)).await;
                assert!(is_empty(&bench.data().sealing_dir()), "{how}");
                bench.clock.advance(Duration::from_secs(61));
                bench.wait(|bench| bench.data().runs().unwrap().is_empty()).await;
            })
            .await;
        let lines = bench.objects();
        assert!(lines[0] == expected(0..LARGE)[0], "{how}");
        assert!(scattered(&bench).is_empty(), "{how}");
    }
}

/// F7: what is taken for granted of events with an identity, and what comes of it.
#[tokio::test(flavor = "multi_thread")]
async fn f7_a_repeat_of_what_was_compressed_ahead_is_in_no_object() {
    for is_repeated in [false, true] {
        let bench = Bench::new();
        let (log, appender) = bench.log_of_runs(bench.dir.path());
        let identified = async |number: usize| {
            let mut batch = Batch::new();
            batch.push(&destination("a"), None, line("a", number).as_bytes());
            batch.identify(wal::Identity::new([7; 16]));
            appender.append(batch).await.unwrap();
        };
        identified(0).await;
        send_all(&appender, 1..LARGE).await;
        if is_repeated {
            identified(0).await;
        }
        send_all(&appender, LARGE..2 * LARGE).await;
        bench
            .serve_until(async |bench: &Bench| {
                bench.wait_until_ahead().await;
                log.close().await.unwrap();
                bench.clock.advance(Duration::from_secs(61));
                bench.wait(|bench| bench.data().runs().unwrap().is_empty()).await;
            })
            .await;
        let mut lines = expected(0..2 * LARGE);
        // The first number went to one destination only.
        lines[1].1.remove(0);
        lines[3].1.remove(0);
        assert!(bench.objects() == lines, "{is_repeated}");
        assert_eq!(scattered(&bench).is_empty(), is_repeated);
        let identities =
            bench.data().part_dir(Stage::Receipts, bench.data().parts(Stage::Receipts).unwrap()[0]);
        let mut reader = wal::IdentitiesReader::open(&identities).unwrap().unwrap();
        let held = reader.next_entry().unwrap().unwrap();
        assert_eq!((held.number, held.events), (0, 1));
        assert!(reader.next_entry().unwrap().is_none());
    }
}

/// What was read ahead and what is held at the seal are two looks at a run: damage in between costs nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_closing_record_that_is_damaged_after_it_was_read_costs_no_event() {
    for how in ["gone", "damaged"] {
        let bench = Bench::new();
        let (log, appender) = bench.log_of_runs(bench.dir.path());
        send_all(&appender, 0..LARGE).await;
        bench
            .serve_until(async |bench: &Bench| {
                bench.wait_until_ahead().await;
                for run in bench.data().runs().unwrap() {
                    let closed = bench.data().run_dir(run).join("closed");
                    match how {
                        "gone" if closed.exists() => std::fs::remove_file(closed).unwrap(),
                        "damaged" if closed.exists() => std::fs::write(closed, "garbage").unwrap(),
                        _ => {}
                    }
                }
                log.close().await.unwrap();
                bench.clock.advance(Duration::from_secs(61));
                bench.wait(|bench| bench.data().runs().unwrap().is_empty()).await;
            })
            .await;
        assert!(bench.objects() == expected(0..LARGE), "{how}");
    }
}
