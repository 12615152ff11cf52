//! Services at work on a disk that records, and which moment is before which.
//!
//! Whatever happens outside of the disk is stamped with the disk's position at that moment: an
//! acknowledgement when the client has read it, an object when S3 has stored it and before it says
//! so. So a power cut can be made at any position afterwards, and it is known what the world
//! outside held: all with a stamp that is not later.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tests::{
    Fault, Kind, Ledger, Load, LoadPlan, Pair, Random, Rule, Setup, Site, Witness, minute_of,
    wait_for,
};

use super::disk::{Blocks, Disk, Operation, Recording};
use super::mount::{Journal, Mounted};

/// How many times the load comes and goes.
const CYCLES: u64 = 3;

/// How often somebody looks for directories that come and go.
const LOOK: Duration = Duration::from_millis(1);

/// What the senders send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// Arrays of events up to 3 KB.
    Small,
    /// Events up to 1 MB, most of them over 16 KiB.
    Large,
}

impl Size {
    fn load(self, seed: u64) -> LoadPlan {
        let plan = LoadPlan::new(seed);
        match self {
            Self::Small => plan,
            Self::Large => LoadPlan {
                senders: 2,
                events_per_request: 1,
                pad_bytes: 1_000_000,
                rest: Duration::from_millis(20),
                ..plan
            },
        }
    }
}

/// What happened.
#[derive(Debug)]
pub(crate) struct History {
    /// On the disk.
    pub(crate) recording: Recording,
    /// In S3, stamped.
    pub(crate) site: Site,
    /// What was sent, and all that was acknowledged at some time.
    ledger: Ledger,
    /// When each id was.
    stamps: BTreeMap<String, u64>,
    /// When directories came and went.
    marks: Vec<u64>,
}

/// Notes the disk's position at each acknowledgement.
#[derive(Clone, Debug)]
struct Stamps {
    disk: Arc<Disk>,
    of: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Witness for Stamps {
    fn acknowledged(&mut self, ids: &[String]) {
        let position = self.disk.position();
        let mut stamps = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        stamps.extend(ids.iter().map(|id| (id.clone(), position)));
    }
}

impl History {
    /// Lets both services work on an empty disk for some seconds, under a load that comes and goes:
    /// where nobody sends, nothing but its own syncs makes the flusher's work safe.
    pub(crate) fn make(
        place: &Path,
        journal: Journal,
        empty: &Blocks,
        size: Size,
        mut random: Random,
    ) -> Self {
        let disk = Disk::new(empty.clone());
        let mounted = Mounted::new(place, "load", journal, &disk);
        let mounted = mounted.unwrap_or_else(|error| panic!("ext4 does not mount: {error:?}"));
        let data = mounted.root().join("log");
        let log = super::RUNS.to_owned();
        let site = Site::with(&Setup { data: Some(data.clone()), log, ..Setup::default() });
        site.s3.stamp_by(disk.counter());
        site.s3.add(Rule::new(Fault::LoseAnswer).on("PutObject").times(3));
        let stamps = Stamps { disk: Arc::clone(&disk), of: Arc::default() };
        let load =
            Load::start_before(&size.load(random.number()), |_| Some(Box::new(stamps.clone())));
        let (marks, stop) = (Mutex::default(), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| watch(&data, &disk, &stop, &marks));
            let stop = StopOnDrop(&stop);
            work(&site, &load, &mut random);
            drop(stop);
        });
        let recording = disk.recording();
        drop(mounted);
        let ledger = load.stop();
        let stamps = std::mem::take(&mut *stamps.of.lock().unwrap_or_else(PoisonError::into_inner));
        let marks = marks.into_inner().unwrap_or_else(PoisonError::into_inner);
        Self { recording, site, ledger, stamps, marks }
    }

    /// What is held to be acknowledged by whoever was told at `position` or before.
    pub(crate) fn ledger_at(&self, position: u64) -> Ledger {
        self.ledger.told_only(|id| self.stamps.get(id).is_some_and(|stamp| *stamp <= position))
    }

    /// How many events were acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.ledger.acknowledged()
    }

    /// Positions to lose the power at, in their order.
    pub(crate) fn moments(&self, count: usize, random: &mut Random) -> Vec<u64> {
        let end = self.recording.operations.len() as u64;
        let acknowledged: Vec<u64> = self.stamps.values().copied().collect();
        let mut of_minutes: BTreeMap<String, u64> = BTreeMap::new();
        for (id, stamp) in &self.stamps {
            let minute = of_minutes.entry(minute_of(id, self.site.seconds())).or_insert(*stamp);
            *minute = (*minute).min(*stamp);
        }
        let of_minutes: Vec<u64> = of_minutes.into_values().collect();
        let first = acknowledged.iter().min().copied().unwrap_or(end);
        let stored = self.site.s3.stamps();
        let operations = (0..).zip(&self.recording.operations);
        let flushes: Vec<u64> = operations
            .filter(|(_, operation)| matches!(operation, Operation::Flush))
            .map(|(position, _)| position)
            .collect();
        let mut moment = || match random.below(20) {
            // The sharpest: what was just acknowledged, and not one operation more.
            0..4 => one_of(&acknowledged, random),
            4..7 => one_of(&of_minutes, random),
            7 => random.below(first + 1),
            // All that waits for a flush may be lost or torn.
            8..10 => one_of(&flushes, random),
            // Many of them, where much is written at a time.
            10..12 => random.below(end),
            // An object in S3 whose receipt is still to come; what a receipt allows to be removed.
            12..14 => one_of(&stored, random),
            14..16 => one_of(&stored, random) + random.below(40),
            // Opened, sealed, removed.
            _ => (one_of(&self.marks, random) + random.below(16)).saturating_sub(8),
        };
        let mut moments: Vec<u64> = (0..count).map(|_| moment().min(end)).collect();
        moments.sort_unstable();
        moments
    }
}

fn one_of(moments: &[u64], random: &mut Random) -> u64 {
    assert!(!moments.is_empty(), "nothing has happened");
    moments[usize::try_from(random.below(moments.len() as u64)).expect("an index")]
}

/// Starts both, lets the load come and go, now and then kills one, and at the end both.
fn work(site: &Site, load: &Load, random: &mut Random) {
    let mut pair = Pair::new(site, load);
    pair.start_both();
    let mut pause = |from, to| thread::sleep(Duration::from_millis(from + random.below(to - from)));
    for cycle in 0..CYCLES {
        let service = pair.service(Kind::Ingest).expect("it was started");
        load.aim(Some(service.address()));
        let before = load.acknowledged();
        pause(200, 700);
        wait_for("an acknowledgement", || load.acknowledged() > before);
        load.aim(None);
        pause(300, 1100);
        if cycle + 1 < CYCLES {
            pair.kill_and_start(Kind::BOTH[usize::from(cycle % 2 == 1)]);
        }
    }
    wait_for("an object in S3", || !site.s3.stamps().is_empty());
    pair.kill_both();
}

struct StopOnDrop<'s>(&'s AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Notes the disk's position whenever a directory has come or gone.
fn watch(data: &Path, disk: &Disk, stop: &AtomicBool, marks: &Mutex<Vec<u64>>) {
    let mut before = BTreeSet::new();
    while !stop.load(Ordering::SeqCst) {
        let mut now = BTreeSet::new();
        for stage in ["open", "sealing", "sealed", "receipts"] {
            let entries = fs::read_dir(data.join(stage)).into_iter().flatten().flatten();
            now.extend(entries.map(|entry| (stage, entry.file_name())));
        }
        if now != before {
            marks.lock().unwrap_or_else(PoisonError::into_inner).push(disk.position());
            before = now;
        }
        thread::sleep(LOOK);
    }
}
