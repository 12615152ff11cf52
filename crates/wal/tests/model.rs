//! A model test: whatever is appended, closed, crashed and reopened, the log holds exactly what
//! was acknowledged, as a plain map does.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use model::{Destination, EventId, EventName, Interval, ManualClock, Minute, UnixMillis};
use proptest::prelude::*;
use wal::{Appender, Batch, DataDir, Log, LogOptions, MinuteReader, RunReader};

#[derive(Clone, Debug)]
enum Action {
    /// Append a batch: for each event a destination, whether it has a name, and its size.
    Append(Vec<(u8, bool, usize)>),
    /// Several batches at once, so that they share a commit.
    Together(Vec<Vec<(u8, bool, usize)>>),
    /// Let time pass, in milliseconds; back as well.
    Pass(i64),
    /// Close the log in good order and start it again.
    Restart,
    /// Lose the process: what was acknowledged is in the files, the rest is gone.
    Crash,
}

fn batch() -> impl Strategy<Value = Vec<(u8, bool, usize)>> {
    let size =
        prop_oneof![8 => 1_usize..300, 2 => 20_000_usize..50_000, 1 => 100_000_usize..300_000];
    prop::collection::vec((0_u8..5, any::<bool>(), size), 1..8)
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => batch().prop_map(Action::Append),
        3 => prop::collection::vec(batch(), 2..5).prop_map(Action::Together),
        3 => (-3_000_i64..5_000).prop_map(Action::Pass),
        1 => Just(Action::Restart),
        1 => Just(Action::Crash),
    ]
}

type Event = (EventId, Option<EventName>, Vec<u8>);
type Acknowledged = BTreeMap<(Minute, Destination), Vec<Event>>;

struct Bench {
    dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
    log: Option<(Log, Appender)>,
    acknowledged: Acknowledged,
    sent: u64,
    /// The minutes of each run, in the order in which it wrote to them.
    minutes: BTreeMap<model::RunId, Vec<Minute>>,
}

fn interval() -> Interval {
    Interval::from_seconds(1).unwrap()
}

fn start(dir: &Path, clock: &Arc<ManualClock>) -> (Log, Appender) {
    let options = LogOptions {
        data_dir: dir.to_owned(),
        interval: interval(),
        max_bytes: 1 << 30,
        max_destinations: 100,
        run_bytes: wal::DEFAULT_RUN_BYTES,
    };
    Log::start(options, clock.clone(), Arc::new(())).unwrap()
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(UnixMillis::new(1_795_342_500_000)));
        let log = Some(start(dir.path(), &clock));
        let acknowledged = BTreeMap::new();
        Self { dir, clock, log, acknowledged, sent: 0, minutes: BTreeMap::new() }
    }

    async fn append(&mut self, batches: &[Vec<(u8, bool, usize)>]) {
        let (_, appender) = self.log.as_ref().unwrap();
        let mut waiting = Vec::new();
        for events in batches {
            let mut batch = Batch::new();
            let mut contents = Vec::new();
            for (destination, named, size) in events {
                self.sent += 1;
                let destination = Destination::parse("bucket", &format!("p{destination}")).unwrap();
                let name = named.then(|| EventName::new(&format!("n{}", self.sent)).unwrap());
                let mut payload = self.sent.to_string().into_bytes();
                payload.resize(*size, b'x');
                batch.push(&destination, name.as_ref(), &payload);
                contents.push((destination, name, payload));
            }
            let appender = appender.clone();
            let append = tokio::spawn(async move { appender.append(batch).await.unwrap() });
            waiting.push((append, contents));
        }
        for (append, contents) in waiting {
            let appended = append.await.unwrap();
            assert_eq!(appended.ids().count(), contents.len());
            for (id, (destination, name, payload)) in appended.ids().zip(contents) {
                let minute = Minute::containing(id.time(), interval());
                let minutes = self.minutes.entry(id.run()).or_default();
                if minutes.last() != Some(&minute) {
                    assert!(!minutes.contains(&minute), "{minute} was reopened: {minutes:?}");
                    minutes.push(minute);
                }
                let events = self.acknowledged.entry((minute, destination)).or_default();
                events.push((id, name, payload));
            }
        }
    }

    async fn apply(&mut self, action: &Action) {
        match action {
            Action::Append(batch) => self.append(std::slice::from_ref(batch)).await,
            Action::Together(batches) => self.append(batches).await,
            Action::Pass(millis) => {
                let now = self.clock_now().saturating_add_signed(*millis);
                self.clock.set(UnixMillis::new(now));
                // The writer looks at the clock every 50 ms; half of the time it gets to see it.
                if millis % 2 == 0 {
                    tokio::time::sleep(Duration::from_millis(60)).await;
                }
            }
            Action::Restart => {
                self.close().await;
                self.log = Some(start(self.dir.path(), &self.clock));
            }
            Action::Crash => {
                // Everything acknowledged has left the process: a copy taken now is what a kill
                // leaves.
                let copy = tempfile::tempdir().unwrap();
                copy_dir(self.dir.path(), copy.path());
                self.close().await;
                self.dir = copy;
                self.log = Some(start(self.dir.path(), &self.clock));
            }
        }
    }

    fn clock_now(&self) -> u64 {
        model::Clock::now(&*self.clock).as_millis()
    }

    async fn close(&mut self) {
        let (log, appender) = self.log.take().unwrap();
        drop(appender);
        log.close().await.unwrap();
    }

    /// Reads everything back and compares it with what was acknowledged.
    async fn check(mut self) {
        self.close().await;
        let data = DataDir::at(self.dir.path());
        let mut by_minute = BTreeMap::<Minute, Vec<RunReader>>::new();
        for name in data.runs().unwrap() {
            assert_eq!(std::fs::read_dir(data.run_dir(name).join("blobs")).unwrap().count(), 0);
            let reader = RunReader::open(&data, name).unwrap();
            by_minute.entry(name.minute).or_default().push(reader);
        }
        let mut read = Acknowledged::new();
        for (minute, runs) in by_minute {
            let reader = MinuteReader::new(runs);
            for destination in reader.destinations() {
                let (id, destination) = destination.unwrap();
                let events = read.entry((minute, destination)).or_default();
                for record in reader.records(id) {
                    let record = record.unwrap();
                    for event in record.iter() {
                        let event = event.unwrap();
                        events.push((event.id, event.event_name(), event.payload.to_vec()));
                    }
                }
            }
        }
        for events in self.acknowledged.values_mut() {
            // Requests that were sent side by side are acknowledged in the order of their ids.
            events.sort_by_key(|(id, ..)| *id);
        }
        assert_eq!(read.keys().collect::<Vec<_>>(), self.acknowledged.keys().collect::<Vec<_>>());
        for (key, events) in read {
            assert!(events == self.acknowledged[&key], "{key:?} differs");
        }
    }
}

fn copy_dir(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            std::fs::create_dir_all(&to).unwrap();
            copy_dir(&entry.path(), &to);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_holds_exactly_what_was_acknowledged(actions in prop::collection::vec(action(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut bench = Bench::new();
            for action in &actions {
                bench.apply(action).await;
            }
            bench.check().await;
        });
    }
}
