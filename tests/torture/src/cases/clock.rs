//! Clocks that jump, and processes that are stopped for longer than a minute and go on.

use std::fs;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tests::{Kind, LoadPlan, Pair, Site, wait_for};

use crate::case::{Case, Plan};
use crate::figures::Figures;
use crate::judge::{Late, judge};
use crate::need::{FAKETIME, Need};

/// A round is one jump of both clocks, and one stop of a process.
pub(crate) const CASE: Case = Case {
    name: "clock",
    about: "an hour forth and back, seconds across the minute's edge, SIGSTOP beyond the minute",
    needs: &[Need::Faketime],
    short: 6,
    long: 200,
    run,
};

/// Jumps, in seconds.
const JUMPS: [i64; 8] = [3600, -3600, 1, -1, 2, -2, 30, -30];

fn run(plan: &Plan<'_>) -> Figures {
    let mut random = plan.random("clock");
    let site = Site::new();
    let shift = plan.work.join("clock");
    fs::write(&shift, "+0").expect("the disk takes it");
    let shift_name = shift.to_str().expect("it is UTF-8");
    let shifted = [
        ("LD_PRELOAD", FAKETIME),
        ("FAKETIME_TIMESTAMP_FILE", shift_name),
        ("FAKETIME_NO_CACHE", "1"),
        // Time-outs go on: it is the machine's date that jumps.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let load = plan.load(&LoadPlan::new(random.number()));
    let mut pair = Pair::new(&site, &load).with(&shifted);
    pair.start_both();
    let mut figures = Figures::default();
    let mut now = 0;
    for _ in 0..plan.rounds {
        let before = load.acknowledged();
        now += JUMPS[usize::try_from(random.below(JUMPS.len() as u64)).expect("an index")];
        // Written aside: a reader of half a file would see another clock.
        let aside = shift.with_extension("new");
        fs::write(&aside, format!("{now:+}")).expect("the disk takes it");
        fs::rename(&aside, &shift).expect("the disk takes it");
        figures.add("jumps", 1);
        thread::sleep(Duration::from_millis(random.below(1500)));
        let kind = Kind::BOTH[usize::try_from(random.below(2)).expect("an index")];
        let service = pair.service(kind).expect("it was started");
        service.signal(Signal::STOP);
        thread::sleep(Duration::from_millis(1000 + random.below(2000)));
        let service = pair.service(kind).expect("it was started");
        service.signal(Signal::CONT);
        figures.add("stops", 1);
        wait_for("events to be accepted again", || load.acknowledged() > before);
    }
    pair.kill_both();
    let ledger = load.stop();
    // What was accepted under a clock that was ahead is sealed when its minute is over by the
    // clock of whoever seals it: nobody waits an hour for that here.
    fs::write(&shift, format!("{:+}", now.max(0) + 7200)).expect("the disk takes it");
    let flusher = site.start(Kind::Flusher, &shifted);
    site.wait_until_drained();
    assert_eq!(flusher.terminate(), Some(0));
    figures.join(&judge(&site, &ledger, Late::Allowed));
    figures
}
