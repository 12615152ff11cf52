//! Damage at rest: files of every kind changed, cut, swapped, gone or turned into something else.
//!
//! All seeds begin with one data directory, made by real processes. Each damages one to three
//! things in a copy of it, lets the flusher work on it, alone or beside ingest under load, and
//! judges what came of it by what was acknowledged.

mod fixture;
mod harm;
mod verdict;

use std::panic::{AssertUnwindSafe, catch_unwind};

use tests::{Kind as ServiceKind, Ledger, LoadPlan, Random, wait_for};

use crate::case::{Case, Plan};
use crate::figures::Figures;
use crate::need::Need;
use crate::process::peak_resident_bytes;

use self::fixture::Fixture;
use self::harm::{Harm, Way, harm};
use self::verdict::Verdict;

/// A round is one seed.
pub(crate) const CASE: Case = Case {
    name: "damage",
    about: "damage at rest in each kind of file: bits, cuts, swaps, removals, links, pipes",
    // Pipes and links are made; files of mode 0600 are no obstacle.
    needs: &[Need::Root],
    short: 40,
    long: 1000,
    run,
};

/// `EX_DATAERR`, `EX_IOERR` and `EX_TEMPFAIL`.
pub(crate) const BAD_DATA: i32 = 65;
const BAD_IO: i32 = 74;
const TRY_AGAIN: i32 = 75;

/// One in so many seeds runs the services, and so many times is the flusher run again.
const WITH_SERVICES: u64 = 6;
const AGAIN: u64 = 5;

/// The sender that sends beside the damage.
const FRESH_SENDER: usize = 100;

/// A forged length is no reason to take memory.
const MEMORY_LIMIT_BYTES: u64 = 512 * 1024 * 1024;

fn run(plan: &Plan<'_>) -> Figures {
    let fixture = Fixture::make(plan);
    let mut figures = Figures::default();
    let mut failed = Vec::new();
    for seed in 0..plan.rounds {
        // One seed's failure says nothing of the others: all of them are wanted.
        match catch_unwind(AssertUnwindSafe(|| one_seed(plan, &fixture, seed))) {
            Ok(of_seed) => figures.join(&of_seed),
            Err(_) => failed.push(seed),
        }
    }
    assert!(failed.is_empty(), "{} seeds failed, see above: {failed:?}", failed.len());
    figures
}

fn one_seed(plan: &Plan<'_>, fixture: &Fixture, seed: u64) -> Figures {
    let mut random = plan.random(&format!("damage {seed}"));
    fixture.restore();
    let data = fixture.site.data();
    let mut harms = Vec::new();
    for _ in 0..=random.below(3) {
        harms.extend(harm(&data, &mut random));
    }
    let told = Told::new(seed, &harms);
    let mut figures = Figures::default();
    figures.add("seeds", 1);
    for harm in &harms {
        figures.add(harm.figure(), 1);
    }
    figures.join(&refusals(fixture, &harms));
    let verdict = Verdict::before(fixture, &harms);
    if random.below(WITH_SERVICES) == 0 {
        let fresh = beside_load(plan, fixture, &mut random);
        figures.add("beside_services", 1);
        figures.join(&verdict.after(&fresh));
    } else {
        once(fixture);
        figures.join(&verdict.after(&Ledger::default()));
        if random.below(AGAIN) == 0 {
            once(fixture);
            verdict.after(&Ledger::default());
        }
    }
    drop(told);
    figures
}

/// What says of what kind the directory is, or who may work on it, is not guessed: the program
/// refuses to start, names it, and goes on when a person has put it back.
fn refusals(fixture: &Fixture, harms: &[Harm]) -> Figures {
    let mut figures = Figures::default();
    let data = fixture.site.data();
    for name in ["format", "flusher.lock"] {
        let Some(harm) = harms.iter().find(|harm| harm.kind.to_string() == name) else { continue };
        let output = fixture.site.flush_once();
        let text = output.stderr.clone();
        if let Some(BAD_DATA | BAD_IO) = output.code
            && harm.way != Way::Remove
        {
            assert!(text.contains(name), "it does not name {name}: {text}");
            figures.add("refused", 1);
            let path = data.join(name);
            let is_dir = std::fs::symlink_metadata(&path).is_ok_and(|it| it.is_dir());
            let removed =
                if is_dir { std::fs::remove_dir(&path) } else { std::fs::remove_file(&path) };
            removed.expect("it can be removed");
            std::fs::copy(fixture.kept.join(name), path).expect("it can be put back");
        }
    }
    figures
}

/// One flusher alone delivers all that can be delivered.
fn once(fixture: &Fixture) {
    let output = fixture.site.flush_once();
    let rows = fixture.site.log_rows();
    match output.code {
        Some(0) => assert!(rows.is_empty(), "drained, and there is {rows:#?}"),
        Some(TRY_AGAIN) => {
            let stuck = rows.iter().find(|row| row["state"] != "quarantined");
            assert!(stuck.is_none(), "it is stuck: {stuck:#?}\n{}", output.stderr);
            assert!(!rows.is_empty(), "nothing is left, and it says so: {}", output.stderr);
        }
        code => panic!("the flusher ended with {code:?}: {}", output.stderr),
    }
}

/// The services at work: they neither end nor hang, and new events pass as if nothing had been.
fn beside_load(plan: &Plan<'_>, fixture: &Fixture, random: &mut Random) -> Ledger {
    let site = &fixture.site;
    let load = plan.load(&LoadPlan {
        senders: 1,
        first_sender: FRESH_SENDER,
        ..LoadPlan::new(random.number())
    });
    let mut flusher = site.start(ServiceKind::Flusher, &[]);
    let mut ingest = site.start(ServiceKind::Ingest, &[]);
    load.aim(Some(ingest.address()));
    wait_for("events to be accepted", || load.acknowledged() >= 10);
    let fresh = load.stop();
    assert!(ingest.has_ended().is_none(), "ingest ended: {}", ingest.log());
    assert_eq!(ingest.terminate(), Some(0));
    wait_for("all that is whole to be delivered", || {
        assert!(flusher.has_ended().is_none(), "the flusher ended: {}", flusher.log());
        site.log_rows().iter().all(|row| row["state"] == "quarantined")
    });
    let peak = peak_resident_bytes(&flusher);
    assert!(peak <= MEMORY_LIMIT_BYTES, "the flusher took {peak} bytes");
    assert_eq!(flusher.terminate(), Some(0));
    fresh
}

/// Tells what was damaged when a seed fails.
struct Told<'h>(u64, &'h [Harm]);

impl<'h> Told<'h> {
    fn new(seed: u64, harms: &'h [Harm]) -> Self {
        Self(seed, harms)
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for harm in self.1 {
                eprintln!("seed {}: {:?} of {}", self.0, harm.way, harm.path.display());
            }
        }
    }
}
