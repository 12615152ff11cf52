//! Hostile clients: whatever they send, ingest answers as it should, stays within its memory, lets
//! go of their connections, and serves good clients beside them.

mod bodies;
mod crowd;
mod framing;
mod guests;
mod odd;
mod raw;
mod tokens;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tests::{Kind, LoadPlan, Service, Setup, Site, wait_for};

use crate::case::{Case, Plan};
use crate::figures::Figures;
use crate::judge::{Late, settle};
use crate::process::Holding;
use guests::Guest;
use raw::Attack;

/// A round is every attack once; and with each round the crowd that stands around them is larger by
/// [`crowd::IDLE`] idle and twice [`crowd::SLOW`] slow connections.
pub(crate) const CASE: Case = Case {
    name: "hostile",
    about: "malformed, slow, huge and smuggled requests, and idle connections, beside good clients",
    needs: &[],
    short: 1,
    long: 20,
    run,
};

/// As deploy/minutelog-ingest.service has it: glibc gives large pieces of memory back.
const ALLOCATOR: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "1048576");

/// What ingest may have in memory while it is attacked: 64 MiB of bodies and as much again that is
/// made of them before they are let go, 10,000 connections, sled's log, and what the allocator keeps.
const MAX_RESIDENT_BYTES: u64 = 384 * 1024 * 1024;

/// The log's own files come and go: so many more may be open than before.
const SPARE_FILES: u64 = 16;

/// So many attacks are under way at a time.
const AT_A_TIME: usize = 8;

/// So many good requests are seen before the attack begins.
const ENOUGH: u64 = 50;

fn run(plan: &Plan<'_>) -> Figures {
    raise_the_limit_on_open_files();
    let mut figures = Figures::default();
    figures.add("tokens_refused", tokens::run());
    let site = Site::with(&Setup { interval: "5s", ..Setup::default() });
    let flusher = site.flusher();
    let mut ingest = site.start(Kind::Ingest, &[ALLOCATOR]);
    let rest = Duration::from_millis(20);
    let load = plan.load(&LoadPlan { rest, ..LoadPlan::new(plan.random("load").number()) });
    load.aim(Some(ingest.address()));
    let guest = Guest::start(ingest.address());
    wait_for("good clients to be served", || guest.served() > ENOUGH);
    figures.highest("slowest_good_ms_before", guest.slowest_ms());
    let base = Holding::of(&ingest).expect("it runs");
    let highest = attacked(plan, &ingest, &mut figures);
    assert_eq!(ingest.has_ended(), None, "ingest has died of it");
    assert!(highest.resident_bytes <= MAX_RESIDENT_BYTES, "{highest:?}");
    wait_for("the attackers' connections to be closed", || {
        let now = Holding::of(&ingest).expect("it runs");
        now.open_files <= base.open_files + SPARE_FILES
    });
    figures.highest("slowest_good_ms_attacked", guest.slowest_ms());
    figures.highest("resident_mib_before", base.resident_bytes >> 20);
    figures.highest("resident_mib_attacked", highest.resident_bytes >> 20);
    figures.highest("open_files_before", base.open_files);
    figures.highest("open_files_attacked", highest.open_files);
    let mut ledger = load.stop();
    ledger.join(guest.stop());
    assert_eq!(ledger.sent(), ledger.acknowledged(), "a good request was refused");
    let (odd, accepted) = odd::send(&ingest);
    figures.add("odd_payloads", accepted);
    ledger.join(odd);
    assert_eq!(ingest.terminate(), Some(0), "it stops as it should");
    assert_eq!(flusher.terminate(), Some(0), "it stops as it should");
    figures.join(&settle(&site, &ledger, Late::Forbidden));
    figures
}

/// All attacks; returns the most that ingest held in the meantime.
fn attacked(plan: &Plan<'_>, ingest: &Service, figures: &mut Figures) -> Holding {
    let address = ingest.address();
    let attacks = [framing::attacks(), bodies::attacks()].concat();
    let (resident, files) = (AtomicU64::new(0), AtomicU64::new(0));
    let over = AtomicBool::new(false);
    let crowd = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                let Some(now) = Holding::of(ingest) else { break };
                resident.fetch_max(now.resident_bytes, Ordering::SeqCst);
                files.fetch_max(now.open_files, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(50));
            }
        });
        // It ends with whoever fails: the watch must not wait for ever.
        let _over = Flag(&over);
        let crowd = scope.spawn(|| crowd::stand(address, plan.rounds));
        for _ in 0..plan.rounds {
            figures.add("attacks", attacks.len() as u64);
            assert_eq!(failed(&attacks, address), 0, "attacks went otherwise: they are told above");
        }
        crowd.join().expect("each connection of the crowd ends as it should")
    });
    figures.join(&crowd);
    Holding { resident_bytes: resident.into_inner(), open_files: files.into_inner() }
}

/// Makes each attack; returns how many did not go as they must.
fn failed(attacks: &[Attack], address: SocketAddr) -> usize {
    let run = |some: &[Attack]| {
        thread::scope(|scope| {
            let runs: Vec<_> =
                some.iter().map(|attack| scope.spawn(|| attack.run(address))).collect();
            runs.into_iter().map(|run| usize::from(run.join().is_err())).sum::<usize>()
        })
    };
    attacks.chunks(AT_A_TIME).map(run).sum()
}

/// Set when it is dropped.
struct Flag<'f>(&'f AtomicBool);

impl Drop for Flag<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// For this process and the services that it starts.
fn raise_the_limit_on_open_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit { current: maximum, maximum };
    setrlimit(Resource::Nofile, limit).expect("it may be raised up to its maximum");
}
