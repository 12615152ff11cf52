//! `kill -9` at every system call that changes something: of one seal-and-deliver cycle, and of an
//! ingest that opens a minute, takes events and closes it.

use std::path::Path;

use rustix::process::Signal;
use tests::{Kind, Ledger, Sent, Service, Site, until};

use crate::case::{Case, Plan};
use crate::figures::Figures;
use crate::judge::{Late, judge};
use crate::need::Need;
use crate::prepared::Prepared;
use crate::strace::{Hit, counting, hitting, points, words};

/// A round is one kill of the flusher and one of ingest, spread evenly over all of their calls; there
/// are fewer where there are fewer calls.
pub(crate) const CASE: Case = Case {
    name: "every-syscall",
    about: "kill -9 at each system call of a seal-and-deliver cycle, and of opening a minute",
    needs: &[Need::Strace],
    short: 12,
    long: 100_000,
    run,
};

/// What changes something on disk or at S3. `write` and its kin are also what wakes threads.
const CALLS: [&str; 21] = [
    "openat",
    "write",
    "writev",
    "pwrite64",
    "fsync",
    "fdatasync",
    "sync_file_range",
    "rename",
    "renameat2",
    "unlink",
    "unlinkat",
    "rmdir",
    "mkdir",
    "mkdirat",
    "ftruncate",
    "fallocate",
    "flock",
    "connect",
    "sendto",
    "fchmodat",
    "close",
];

fn run(plan: &Plan<'_>) -> Figures {
    let mut figures = flusher(plan);
    figures.join(&ingest(plan));
    figures
}

fn flusher(plan: &Plan<'_>) -> Figures {
    let (prepared, log) = (Prepared::make(plan.work), plan.work.join("strace"));
    let once = |site: &Site, runner: &[String]| {
        tests::run(&mut site.command_under(&words(runner), &["flusher", "--once"]))
    };
    once(&prepared.site(), &counting(&CALLS, &[], &log)).exits(0);
    let mut figures = Figures::default();
    let offset = plan.random("flusher").number();
    for point in points(&CALLS, &log, plan.rounds, offset) {
        let site = prepared.site();
        let output = once(&site, &hitting(point, Hit::Kill, &[], &log));
        let killed = output.code.is_none();
        assert!(killed || output.code == Some(0), "{point:?}: {output:?}");
        figures.add("kills_of_the_flusher", u64::from(killed));
        figures.add("came_through", u64::from(!killed));
        let again = site.flush_once();
        assert_eq!(again.code, Some(0), "{point:?}: {again:?}");
        figures.join(&judge(&site, prepared.ledger(), Late::Forbidden));
    }
    figures
}

fn ingest(plan: &Plan<'_>) -> Figures {
    let log = plan.work.join("strace");
    let site = Site::new();
    let (whole, _) = one_ingest(&site, &counting(&CALLS, &[], &log));
    assert_eq!(whole.acknowledged(), EVENTS, "a run that nothing happens to");
    let mut figures = Figures::default();
    let offset = plan.random("ingest").number();
    for point in points(&CALLS, &log, plan.rounds, offset) {
        let site = Site::new();
        let (mut ledger, killed) = one_ingest(&site, &hitting(point, Hit::Kill, &[], &log));
        figures.add("kills_of_ingest", u64::from(killed));
        figures.add("came_through", u64::from(!killed));
        // The next one begins whatever the first has left.
        let next = site.ingest();
        ledger.note(sent(1, 0), Some(next.client().send("my-bucket", "p", &sent(1, 0).payload)));
        assert_eq!(next.terminate(), Some(0));
        let flushed = site.flush_once();
        assert_eq!(flushed.code, Some(0), "{point:?}: {flushed:?}");
        figures.join(&judge(&site, &ledger, Late::Forbidden));
    }
    figures
}

const EVENTS: usize = 3;

fn sent(sender: usize, number: usize) -> Sent {
    let (bucket, prefix) = ("my-bucket".to_owned(), "p".to_owned());
    Sent { bucket, prefix, payload: format!(r#""{sender}-{number}""#), sender }
}

/// Starts ingest under strace, sends it some events and tells it to stop; what it acknowledged, and
/// whether it was killed.
fn one_ingest(site: &Site, runner: &[String]) -> (Ledger, bool) {
    let mut ledger = Ledger::default();
    let mut service = site.spawn_under(&words(runner), Kind::Ingest, &[]);
    let up = until("ingest to come up or to die", || match service.has_ended() {
        Some(_) => Some(false),
        None => service.ops("/healthz").map(|_| true),
    });
    for number in 0..EVENTS {
        let sent = sent(0, number);
        let answer =
            up.then(|| service.client().try_send(&sent.bucket, &sent.prefix, &sent.payload));
        let answer = answer.and_then(Result::ok).filter(|answer| answer.status == 200);
        ledger.note(sent, answer.map(|answer| answer.ids().swap_remove(0)));
    }
    terminate_traced(&service);
    let status = service.wait();
    (ledger, status.code() != Some(0))
}

/// Tells the process that strace runs to stop; strace ends with it.
pub(crate) fn terminate_traced(service: &Service) {
    let tracer = service.pid();
    let children = Path::new("/proc").join(format!("{tracer}/task/{tracer}/children"));
    let text = std::fs::read_to_string(children).unwrap_or_default();
    for pid in text.split_whitespace().filter_map(|pid| pid.parse().ok()) {
        let pid = rustix::process::Pid::from_raw(pid).expect("no process has the id 0");
        // It may have died since.
        rustix::process::kill_process(pid, Signal::TERM).ok();
    }
}
