//! Hours in fast minutes, with kills and S3's faults mixed: memory, open files and disk stay flat.

use std::thread;
use std::time::Duration;

use tests::{Fault, Kind, Load, LoadPlan, Pair, Random, Rule, RuleId, Setup, Site, wait_for};

use crate::case::{Case, Plan};
use crate::figures::Figures;
use crate::judge::settle_for_long;
use crate::process::{Holding, disk_bytes};

/// A round is ten seconds: 720 of them are two hours.
pub(crate) const CASE: Case = Case {
    name: "soak",
    about: "hours of fast minutes with kills and S3's faults mixed: memory, files, disk stay flat",
    needs: &[],
    short: 3,
    long: 720,
    run,
};

const ROUND: Duration = Duration::from_secs(10);

/// In so many rounds of each [`EPOCH`] nothing is killed, so that a leak has time to show.
const QUIET: u64 = 40;
const EPOCH: u64 = 60;

/// What may be held more in the last third than in the first: the noise of allocators, and of how
/// much of a minute was there when it was looked at.
const SLACK_BYTES: u64 = 24 * 1024 * 1024;
const SLACK_FILES: u64 = 24;
const SLACK_DISK_BYTES: u64 = 32 * 1024 * 1024;

/// The highest of each in a third of the time; of the disk the lowest, as how much waits for S3
/// depends on the fault of the moment.
#[derive(Clone, Copy, Debug)]
struct Held {
    resident_bytes: [u64; 2],
    open_files: [u64; 2],
    disk_bytes: u64,
}

impl Default for Held {
    fn default() -> Self {
        Self { resident_bytes: [0; 2], open_files: [0; 2], disk_bytes: u64::MAX }
    }
}

fn run(plan: &Plan<'_>) -> Figures {
    let mut random = plan.random("soak");
    let site = Site::with(&Setup {
        buckets: vec!["my-bucket", "other-bucket"],
        // What is kept of what was delivered reaches its largest size within the run.
        flusher: "receipt_retention = \"20m\"\n".to_owned(),
        ..Setup::default()
    });
    let load = plan.load(&LoadPlan {
        destinations: [("my-bucket", "p"), ("my-bucket", "q/r"), ("other-bucket", "p")]
            .map(|(bucket, prefix)| (bucket.to_owned(), prefix.to_owned()))
            .to_vec(),
        pad_bytes: 200,
        rest: Duration::from_millis(40),
        ..LoadPlan::new(random.number())
    });
    let mut pair = Pair::new(&site, &load);
    pair.start_both();
    let mut figures = Figures::default();
    let mut thirds = [Held::default(); 3];
    for round in 0..plan.rounds {
        let rule = site.s3.add(fault(&mut random));
        let kills = round % EPOCH >= QUIET || plan.rounds < EPOCH;
        one_round(&mut pair, &mut random, kills, &mut figures);
        end(&mut pair, &site, rule, &mut figures);
        let third = usize::try_from(round * 3 / plan.rounds).expect("it is 0, 1 or 2");
        look(&mut pair, &site, &mut thirds[third]);
        if round % 30 == 29 {
            tell(round, &load, &thirds[third]);
        }
    }
    pair.kill_both();
    if plan.rounds >= 3 * EPOCH {
        assert_flat(&thirds[0], &thirds[2]);
    }
    note(&thirds, &mut figures);
    figures.join(&settle_for_long(&site, &load.stop()));
    figures
}

/// What S3 does wrong for a round.
fn fault(random: &mut Random) -> Rule {
    const CALLS: [&str; 2] = ["PutObject", "HeadObject"];
    let call = CALLS[usize::from(random.below(4) == 0)];
    let rule = |fault| Rule::new(fault).on(call);
    match random.below(7) {
        0 => rule(Fault::Refuse(500, "InternalError")).times(20),
        1 => rule(Fault::Refuse(503, "SlowDown")).times(20),
        2 => rule(Fault::LoseAnswer).times(10),
        3 => rule(Fault::Drop).times(10),
        4 => rule(Fault::Hang).times(2),
        5 => rule(Fault::Delay(Duration::from_millis(300))),
        _ => rule(Fault::Refuse(403, "AccessDenied")).bucket("other-bucket"),
    }
}

fn one_round(pair: &mut Pair<'_>, random: &mut Random, kills: bool, figures: &mut Figures) {
    let mut left = ROUND;
    while kills && random.below(3) > 0 && !left.is_zero() {
        let pause = Duration::from_millis(random.below(4000)).min(left);
        thread::sleep(pause);
        left -= pause;
        let kind = Kind::BOTH[usize::from(random.below(2) == 0)];
        pair.kill_and_start(kind);
        figures.add("kills", 1);
    }
    thread::sleep(left);
}

/// Ends the fault; what it parked is tried again, as a person would who has mended it: not while the
/// flusher is being started, in whose place the command would do it, and keep it out.
fn end(pair: &mut Pair<'_>, site: &Site, rule: RuleId, figures: &mut Figures) {
    figures.add("faulty_answers", u64::from(site.s3.hits(rule)));
    site.s3.mend(rule);
    wait_for("the flusher to answer", || {
        let flusher = pair.service(Kind::Flusher).expect("it is started again each time");
        if flusher.has_ended().is_some() {
            // Its port was taken, or this fails.
            pair.kill_and_start(Kind::Flusher);
            return false;
        }
        flusher.ops("/healthz").is_some()
    });
    let retry = site.admin(&["retry"]);
    assert!(matches!(retry.code, Some(0 | 75)), "{retry:?}");
}

fn look(pair: &mut Pair<'_>, site: &Site, highest: &mut Held) {
    for (number, kind) in Kind::BOTH.into_iter().enumerate() {
        let Some(held) = pair.service(kind).and_then(|service| Holding::of(service)) else {
            continue;
        };
        let resident = &mut highest.resident_bytes[number];
        *resident = held.resident_bytes.max(*resident);
        let files = &mut highest.open_files[number];
        *files = held.open_files.max(*files);
    }
    highest.disk_bytes = disk_bytes(&site.data()).min(highest.disk_bytes);
}

fn assert_flat(first: &Held, last: &Held) {
    for number in 0..2 {
        let (before, after) = (first.resident_bytes[number], last.resident_bytes[number]);
        assert!(after <= before + SLACK_BYTES, "memory grew: {first:?}, {last:?}");
        let (before, after) = (first.open_files[number], last.open_files[number]);
        assert!(after <= before + SLACK_FILES, "open files grew: {first:?}, {last:?}");
    }
    let limit = first.disk_bytes + SLACK_DISK_BYTES;
    assert!(last.disk_bytes <= limit, "the disk fills: {first:?}, {last:?}");
}

fn tell(round: u64, load: &Load, highest: &Held) {
    eprintln!("round {round}: {} acknowledged, {highest:?}", load.acknowledged());
}

fn note(thirds: &[Held; 3], figures: &mut Figures) {
    let [ingest, flusher] = [0, 1].map(|number| {
        thirds.iter().map(|third| third.resident_bytes[number]).max().unwrap_or_default()
    });
    figures.highest("ingest_bytes", ingest);
    figures.highest("flusher_bytes", flusher);
    let files = thirds.iter().flat_map(|third| third.open_files).max();
    figures.highest("open_files", files.unwrap_or_default());
    let disk = thirds.iter().map(|third| third.disk_bytes).filter(|bytes| *bytes < u64::MAX).max();
    figures.highest("disk_bytes", disk.unwrap_or_default());
}
