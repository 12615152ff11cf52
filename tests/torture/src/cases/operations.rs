//! What people do to services: a second flusher, SIGSTOP and SIGCONT, ingest restarted within a
//! minute, SIGTERM and a second one in mid-upload, `drain`.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tests::{Fault, Kind, LoadPlan, Rule, Setup, Site, until, wait_for};

use crate::case::{Case, Plan};
use crate::figures::Figures;
use crate::judge::{Late, judge, settle};

/// A round is all of it once.
pub(crate) const CASE: Case = Case {
    name: "operations",
    about: "two flushers, SIGSTOP, restarts within a minute, two SIGTERMs in mid-upload, drain",
    needs: &[],
    short: 1,
    long: 20,
    run,
};

/// What a service ends with that is not needed, and one that SIGTERM has ended at once.
const UNAVAILABLE: i32 = 69;
const TERMINATED: i32 = 128 + 15;

fn run(plan: &Plan<'_>) -> Figures {
    let mut figures = Figures::default();
    let mut random = plan.random("operations");
    for _ in 0..plan.rounds {
        figures.join(&two_flushers(plan, random.number()));
        figures.join(&restarts_and_drain(plan, random.number()));
        figures.join(&two_signals(plan, random.number()));
    }
    figures
}

/// The second flusher refuses, also while the first is stopped for several minutes.
fn two_flushers(plan: &Plan<'_>, seed: u64) -> Figures {
    let site = Site::new();
    let load = plan.load(&LoadPlan::new(seed));
    let (ingest, flusher) = (site.ingest(), site.flusher());
    load.aim(Some(ingest.address()));
    wait_for("a first object", || !site.s3.calls("PutObject").is_empty());
    let mut figures = Figures::default();
    let mut refused = || {
        let mut second = site.spawn(Kind::Flusher, &[]);
        let status = until("the second flusher to refuse", || second.has_ended());
        assert_eq!(status.code(), Some(UNAVAILABLE), "{}", second.log());
        assert!(second.log().contains("another flusher"), "{}", second.log());
        site.flush_once().exits(UNAVAILABLE);
        figures.add("flushers_refused", 2);
    };
    refused();
    flusher.signal(Signal::STOP);
    let before = load.acknowledged();
    thread::sleep(Duration::from_secs(5));
    assert!(load.acknowledged() > before, "ingest goes on while the flusher is stopped");
    refused();
    flusher.signal(Signal::CONT);
    figures.add("stops_of_the_flusher", 1);
    let objects = site.s3.calls("PutObject").len();
    wait_for("the flusher to go on", || site.s3.calls("PutObject").len() > objects);
    load.aim(None);
    assert_eq!(ingest.terminate(), Some(0));
    assert_eq!(flusher.terminate(), Some(0));
    figures.join(&settle(&site, &load.stop(), Late::Forbidden));
    figures
}

/// Ingest is restarted five times within a minute, and the machine is then taken out.
fn restarts_and_drain(plan: &Plan<'_>, seed: u64) -> Figures {
    let site = Site::with(&Setup::long_minute());
    let load = plan.load(&LoadPlan::new(seed));
    let flusher = site.flusher();
    let mut figures = Figures::default();
    for restart in 0..5 {
        let ingest = site.ingest();
        load.aim(Some(ingest.address()));
        let before = load.acknowledged();
        wait_for("events to be accepted", || load.acknowledged() > before + 20);
        load.aim(None);
        if restart % 2 == 0 {
            assert_eq!(ingest.terminate(), Some(0));
        } else {
            ingest.kill();
        }
        figures.add("restarts_within_a_minute", 1);
    }
    let ingest = site.ingest();
    load.aim(Some(ingest.address()));
    let before = load.acknowledged();
    wait_for("events to be accepted", || load.acknowledged() > before);
    site.admin(&["drain"]).exits(0);
    figures.add("drains", 1);
    let refused = ingest.client().post_send(r#"{"bucket":"my-bucket","prefix":"p","payload":1}"#);
    refused.problem(503, "draining");
    load.aim(None);
    let ledger = load.stop();
    assert_eq!(ingest.terminate(), Some(0));
    assert_eq!(flusher.terminate(), Some(0));
    figures.join(&judge(&site, &ledger, Late::Forbidden));
    figures
}

/// SIGTERM in mid-upload lets the upload end; a second one leaves at once, and the next flusher goes
/// on.
fn two_signals(plan: &Plan<'_>, seed: u64) -> Figures {
    let site = Site::new();
    let hanging = site.s3.add(Rule::new(Fault::Hang).on("PutObject"));
    let load = plan.load(&LoadPlan::new(seed));
    let (ingest, mut flusher) = (site.ingest(), site.flusher());
    load.aim(Some(ingest.address()));
    wait_for("an upload to be under way", || site.s3.hits(hanging) > 0);
    flusher.signal(Signal::TERM);
    wait_for("the first signal to be taken", || flusher.log().contains("shutting down"));
    assert!(flusher.has_ended().is_none(), "it leaves an upload alone that is under way");
    flusher.signal(Signal::TERM);
    let status = until("the second signal to end it", || flusher.has_ended());
    assert_eq!(status.code(), Some(TERMINATED), "{}", flusher.log());
    site.s3.mend(hanging);
    load.aim(None);
    // The same for ingest, which has nothing that takes long: it ends by the first or the second.
    ingest.signal(Signal::TERM);
    ingest.signal(Signal::TERM);
    let mut ingest = ingest;
    let code = ingest.wait().code();
    assert!([Some(0), Some(TERMINATED)].contains(&code), "{code:?}: {}", ingest.log());
    let mut figures = Figures::default();
    figures.add("second_signals", 2);
    figures.join(&settle(&site, &load.stop(), Late::Forbidden));
    figures
}
