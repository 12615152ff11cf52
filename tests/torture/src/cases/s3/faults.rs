//! Every fault of a `PutObject`, one after the other, under load.

use std::thread;
use std::time::{Duration, Instant};

use tests::{Fault, Kind, Pair, Rule, Setup, Site, wait_for};

use super::{BROKEN, Mends, STEADY, assert_others_go_on, load_plan, may_look, put_faults};
use crate::case::{Case, Plan};
use crate::figures::Figures;
use crate::judge::{Late, settle};

/// A round is one fault, for a second or two, with some of the requests or with all of them.
pub(crate) const CASE: Case = Case {
    name: "s3-faults",
    about: "each fault of S3 and of the way to it, in bursts under load; others go on, then mended",
    needs: &[],
    short: 28,
    long: 560,
    run,
};

/// How many rounds share a machine: all faults, in another order each time.
const ROUNDS_A_SITE: u64 = 28;

fn run(plan: &Plan<'_>) -> Figures {
    plan.in_sites(ROUNDS_A_SITE, one_site)
}

fn one_site(plan: &Plan<'_>, number: u64, rounds: u64) -> Figures {
    let mut random = plan.random(&format!("s3-faults {number}"));
    let site = Site::with(&Setup { buckets: vec![BROKEN, STEADY], ..Setup::default() });
    let load = plan.load(&load_plan(random.number(), 3));
    let mut pair = Pair::new(&site, &load);
    pair.start_both();
    let mut faults = put_faults(&mut random);
    let mut figures = Figures::default();
    let mut slowest = Duration::ZERO;
    for _ in 0..rounds {
        if faults.is_empty() {
            faults = put_faults(&mut random);
        }
        let which = random.below(faults.len() as u64);
        let (fault, mends) = faults.remove(usize::try_from(which).expect("an index"));
        let hidden = Rule::new(Fault::Refuse(403, "AccessDenied")).on("HeadObject");
        // What only a look tells apart has to be looked at.
        let look = may_look(&mut random) || matches!(fault, Fault::Foreign);
        let hidden = (!look).then(|| site.s3.add(hidden.bucket(BROKEN)));
        let every = 1 + u32::try_from(random.below(3)).expect("it is small");
        let rule = Rule::new(fault.clone()).on("PutObject").bucket(BROKEN).every(every);
        let rule = site.s3.add(rule);
        wait_for(&format!("{fault:?} to be met"), || site.s3.hits(rule) > 0);
        let told = format!("{fault:?} for 1 of {every}");
        assert_others_go_on(&site, &told);
        if random.below(3) == 0 {
            pair.kill_and_start(Kind::Flusher);
            figures.add("kills_of_the_flusher", 1);
        }
        thread::sleep(Duration::from_millis(random.below(1500)));
        site.s3.mend(rule);
        if let Some(hidden) = hidden {
            site.s3.mend(hidden);
        }
        figures.add("faults", 1);
        figures.add("requests_hit", u64::from(site.s3.hits(rule)));
        let mended = Instant::now();
        if mends == Mends::ByPerson {
            figures.add("moved_away", site.s3.move_foreign_away() as u64);
            // 75 where it comes from a minute that is not sealed yet; it is tried later as well.
            // 69 while a flusher is being started, which a person would see and try once more.
            wait_for(&format!("a retry to be taken after {told}"), || {
                matches!(site.admin(&["retry"]).code, Some(0 | 75))
            });
        }
        let before = site.s3.objects_of(BROKEN);
        wait_for(&format!("delivery to go on after {told}"), || {
            site.s3.objects_of(BROKEN) > before
        });
        slowest = slowest.max(mended.elapsed());
    }
    pair.kill_both();
    figures.highest("slowest_recovery_ms", slowest.as_millis().try_into().expect("it is short"));
    figures.join(&settle(&site, &load.stop(), Late::Forbidden));
    figures
}
