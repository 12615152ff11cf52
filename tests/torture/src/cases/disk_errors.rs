//! System calls that fail: `EIO` and `ENOSPC` on the n-th write, sync and read, of the flusher and of
//! ingest.

use tests::{Kind, Ledger, Sent, Site, run as run_command, until};

use super::every_syscall::terminate_traced;
use crate::case::{Case, Plan};
use crate::figures::Figures;
use crate::judge::{Late, judge};
use crate::need::Need;
use crate::prepared::Prepared;
use crate::strace::{Hit, Point, counting, has_failed, hitting, points, words};

/// A round is one error met by the flusher and one met by ingest, spread evenly over their calls.
pub(crate) const CASE: Case = Case {
    name: "disk-errors",
    about: "EIO and ENOSPC on the n-th write, sync and read; nothing is acknowledged after it",
    needs: &[Need::Strace],
    short: 16,
    long: 100_000,
    run,
};

/// What the flusher does to files, besides `write`, which is hit on files alone: of other things it wakes
/// threads. Reads of sockets have other names. `pread64` is left out: that is how
/// sled reads a run, all of which has just been read by `read`; a disk that fails only then, behind the
/// page cache, would cut a run without a closing record off unnoticed.
const OF_THE_FLUSHER: [&str; 10] = [
    "pwrite64",
    "fsync",
    "fdatasync",
    "sync_file_range",
    "ftruncate",
    "rename",
    "unlink",
    "unlinkat",
    "read",
    "mkdir",
];

/// What ingest does to the log. `write` is left out: most of them wake threads.
const OF_INGEST: [&str; 9] = [
    "pwrite64",
    "fsync",
    "fdatasync",
    "sync_file_range",
    "ftruncate",
    "rename",
    "mkdir",
    "flock",
    "pread64",
];

/// What a process that the disk has ended exits with, and one that has a defect.
const IO: i32 = 74;
const INTERNAL: i32 = 70;

fn run(plan: &Plan<'_>) -> Figures {
    let mut figures = flusher(plan);
    figures.join(&ingest(plan));
    figures
}

fn flusher(plan: &Plan<'_>) -> Figures {
    let (prepared, log) = (Prepared::make(plan.work), plan.work.join("strace"));
    let once = |site: &Site, runner: &[String]| {
        run_command(&mut site.command_under(&words(runner), &["flusher", "--once"]))
    };
    let mut figures = Figures::default();
    let mut random = plan.random("flusher");
    let site = prepared.site();
    once(&site, &counting(&OF_THE_FLUSHER, &[], &log)).exits(0);
    let on_any = points(&OF_THE_FLUSHER, &log, plan.rounds, random.number());
    let site = prepared.site();
    once(&site, &counting(&["write"], &prepared.written_by_a_flusher(&site), &log)).exits(0);
    let writes = points(&["write"], &log, plan.rounds, random.number());
    for point in on_any.into_iter().chain(writes) {
        let error = ["EIO", "ENOSPC"][usize::from(random.below(3) == 0 && !reads(point))];
        let site = prepared.site();
        let files = prepared.written_by_a_flusher(&site);
        let files = if point.call == "write" { &*files } else { &[] };
        let output = once(&site, &hitting(point, Hit::Fail(error), files, &log));
        assert!(output.code.is_some(), "{point:?} {error}: {output:?}");
        assert_ne!(output.code, Some(INTERNAL), "{point:?} {error}: {output:?}");
        figures.add("errors_of_the_flusher", u64::from(has_failed(&log)));
        let again = site.flush_once();
        assert_eq!(again.code, Some(0), "{point:?} {error}: {output:?} then {again:?}");
        figures.join(&judge(&site, prepared.ledger(), Late::Forbidden));
    }
    figures
}

fn reads(point: Point) -> bool {
    matches!(point.call, "read" | "pread64")
}

fn ingest(plan: &Plan<'_>) -> Figures {
    let log = plan.work.join("strace");
    let site = Site::new();
    let whole = one_ingest(&site, &counting(&OF_INGEST, &[], &log));
    assert_eq!(whole.ledger.acknowledged(), EVENTS, "a run that nothing happens to");
    let mut figures = Figures::default();
    let mut random = plan.random("ingest");
    for point in points(&OF_INGEST, &log, plan.rounds, random.number()) {
        let error = ["EIO", "ENOSPC"][usize::from(random.below(2) == 0 && !reads(point))];
        let hit = match random.below(2) {
            0 => Hit::Fail(error),
            _ => Hit::FailFromThereOn(error),
        };
        let site = Site::new();
        let one = one_ingest(&site, &hitting(point, hit, &[], &log));
        let failed = has_failed(&log);
        figures.add("errors_of_ingest", u64::from(failed));
        figures.add("ended_with_74", u64::from(one.code == Some(IO)));
        assert!(
            !one.acknowledged_after_a_refusal,
            "{point:?} {hit:?}: acknowledged after an error"
        );
        let syncs = matches!(point.call, "fdatasync" | "fsync" | "sync_file_range" | "pwrite64");
        if failed && syncs && one.ledger.acknowledged() < EVENTS {
            assert_eq!(one.code, Some(IO), "{point:?} {hit:?}: {}", one.log);
        }
        let flushed = site.flush_once();
        assert_eq!(flushed.code, Some(0), "{point:?} {hit:?}: {flushed:?}");
        figures.join(&judge(&site, &one.ledger, Late::Forbidden));
    }
    figures
}

const EVENTS: usize = 6;

struct One {
    ledger: Ledger,
    acknowledged_after_a_refusal: bool,
    code: Option<i32>,
    log: String,
}

/// Starts ingest under strace, sends it events one by one, and tells it to stop.
fn one_ingest(site: &Site, runner: &[String]) -> One {
    let mut ledger = Ledger::default();
    let mut service = site.spawn_under(&words(runner), Kind::Ingest, &[]);
    let up = until("ingest to come up or to end", || match service.has_ended() {
        Some(_) => Some(false),
        None => service.ops("/healthz").map(|_| true),
    });
    let (mut refused, mut acknowledged_after_a_refusal) = (false, false);
    for number in 0..EVENTS {
        let (bucket, prefix) = ("my-bucket".to_owned(), "p".to_owned());
        let payload = format!(r#""{number}-{}""#, "x".repeat(number * 20_000));
        let answer = up.then(|| service.client().try_send(&bucket, &prefix, &payload));
        let answer = answer.and_then(Result::ok).filter(|answer| answer.status == 200);
        acknowledged_after_a_refusal |= refused && answer.is_some();
        refused |= answer.is_none();
        let id = answer.map(|answer| answer.ids().swap_remove(0));
        ledger.note(Sent { bucket, prefix, payload, sender: 0 }, id);
    }
    terminate_traced(&service);
    let code = service.wait().code();
    One { ledger, acknowledged_after_a_refusal, code, log: service.log() }
}
