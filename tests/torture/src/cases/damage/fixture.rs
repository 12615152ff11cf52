//! A data directory with every kind of file in it, in every state that files can be in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tests::{
    Fault, Kind, Ledger, LoadPlan, Objects, Pair, Rule, Setup, Site, Snapshot, minute_of, run_of,
    wait_for,
};

use crate::case::Plan;

const REFUSED: &str = "refused-bucket";
const BUSY: &str = "busy-bucket";

/// A payload of this length is cut in slices.
const LARGE_BYTES: u64 = 80_000;

/// What all seeds begin with.
#[derive(Debug)]
pub(super) struct Fixture {
    pub(super) site: Site,
    pub(super) kept: PathBuf,
    pub(super) ledger: Ledger,
    /// What stood in S3.
    pub(super) delivered: Snapshot,
    /// The payloads that stood there.
    pub(super) before: BTreeSet<String>,
    /// Minutes, as in the names of directories, of which there is a part on its way.
    pub(super) sealed: BTreeSet<String>,
    /// Where each acknowledged event lies, by its payload.
    pub(super) places: BTreeMap<String, Place>,
}

/// Where an event was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) id: String,
    /// The minute, as in the names of directories.
    pub(super) minute: String,
    /// The run, `<minute>.<run>`.
    pub(super) run: String,
    pub(super) bucket: String,
    pub(super) prefix: String,
}

impl Fixture {
    /// Makes it with real processes: what is delivered, what is refused, what is delivered in part
    /// and left by a killed flusher, what is sealed and never tried, and runs, closed and torn.
    pub(super) fn make(plan: &Plan<'_>) -> Self {
        let mut random = plan.random("fixture");
        let buckets = vec!["my-bucket", REFUSED, BUSY];
        let site = Site::with(&Setup { buckets, ..Setup::default() });
        let to = |places: &[(&str, &str)]| -> Vec<(String, String)> {
            places.iter().map(|(bucket, prefix)| ((*bucket).into(), (*prefix).into())).collect()
        };
        let working = [("my-bucket", "p"), ("my-bucket", "q/r"), ("my-bucket", "")];
        let mut first_sender = 0;
        let mut ledger = Ledger::default();
        // Receipts; then parts of which some waits for a person; then some that is tried again.
        for extra in [None, Some((REFUSED, "x")), Some((BUSY, "y"))] {
            let places: Vec<_> = working.into_iter().chain(extra).collect();
            let rules = [
                site.s3.add(Rule::new(Fault::Refuse(403, "AccessDenied")).bucket(REFUSED)),
                site.s3.add(Rule::new(Fault::Refuse(503, "SlowDown")).bucket(BUSY)),
            ];
            let load = plan.load(&LoadPlan {
                first_sender,
                senders: 2,
                destinations: to(&places),
                rest: Duration::from_millis(40),
                keyed: true,
                ..LoadPlan::new(random.number())
            });
            first_sender += 2;
            let mut pair = Pair::new(&site, &load);
            pair.start_both();
            let want = Objects::read(&site.s3).0.len() + 6;
            wait_for("objects of two minutes", || site.s3.bytes().len() >= want);
            if extra.is_some_and(|(bucket, _)| bucket == REFUSED) {
                wait_for("a parked part", || parts(&site.data(), "parked").len() >= 2);
            }
            pair.kill_both();
            ledger.join(load.stop());
            for rule in rules {
                site.s3.mend(rule);
            }
        }
        // Sealed, and never tried.
        ledger.join(runs(plan, &site, &mut first_sender, random.number(), &to(&working)));
        site.flush_once_without_s3().exits(75);
        // Runs of which some are closed and some torn, several of one minute.
        ledger.join(runs(plan, &site, &mut first_sender, random.number(), &to(&working)));
        Self::keep(plan, site, ledger)
    }

    fn keep(plan: &Plan<'_>, site: Site, ledger: Ledger) -> Self {
        let kept = plan.work.join("kept");
        copy(&site.data(), &kept);
        site.admin(&["verify"]).exits(0);
        let delivered = site.s3.snapshot(u64::MAX);
        let mut objects = Objects::read(&site.s3);
        let before = objects.0.drain(..).flat_map(|object| object.lines).collect();
        let of_minute = |name: String| name.split_once('.').map(|(minute, _)| minute.to_owned());
        let sealed = parts(&kept, "sealed").into_iter().chain(parts(&kept, "parked"));
        let sealed = sealed.filter_map(of_minute).collect();
        let places = ledger.events().filter_map(|(sent, id)| {
            let id = id?.to_owned();
            let minute = minute_of(&id, site.seconds()).replace(['-', ':'], "");
            let minute = format!("{minute}-{}s", site.seconds());
            let run = format!("{minute}.{}", run_of(&id));
            let (bucket, prefix) = (sent.bucket.clone(), sent.prefix.clone());
            Some((sent.payload.clone(), Place { id, minute, run, bucket, prefix }))
        });
        let places = places.collect();
        Self { site, kept, ledger, delivered, before, sealed, places }
    }

    /// Puts everything back as it was.
    pub(super) fn restore(&self) {
        let data = self.site.data();
        fs::remove_dir_all(&data).expect("it is there");
        copy(&self.kept, &data);
        self.site.s3.restore(&self.delivered);
    }
}

/// Ingest under load, killed or stopped in the middle of minutes, with nobody to deliver.
fn runs(
    plan: &Plan<'_>,
    site: &Site,
    first_sender: &mut usize,
    seed: u64,
    destinations: &[(String, String)],
) -> Ledger {
    let load = plan.load(&LoadPlan {
        first_sender: *first_sender,
        senders: 2,
        destinations: destinations.to_vec(),
        pad_bytes: LARGE_BYTES,
        rest: Duration::from_millis(30),
        keyed: true,
        ..LoadPlan::new(seed)
    });
    *first_sender += 2;
    let mut pair = Pair::new(site, &load);
    for round in 0..4 {
        pair.start(Kind::Ingest);
        let before = load.acknowledged();
        wait_for("events to be accepted", || load.acknowledged() >= before + 12);
        if round % 2 == 0 {
            pair.kill(Kind::Ingest);
        } else {
            load.aim(None);
            let ingest = pair.take(Kind::Ingest).expect("it was started");
            assert_eq!(ingest.terminate(), Some(0));
        }
    }
    load.stop()
}

/// The names of the directories of a stage.
fn parts(data: &Path, stage: &str) -> Vec<String> {
    let entries = fs::read_dir(data.join(stage)).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn copy(from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    command.args(["--archive", "--sparse=always"]).arg(from).arg(to);
    let status = command.status().expect("cp can be run");
    assert!(status.success(), "cp failed: {status}");
}
