//! `kill -9` of ingest, of the flusher, and of both at once, at random moments under load.

use std::thread;
use std::time::Duration;

use tests::{Fault, Kind, LoadPlan, Pair, Rule, Site};

use crate::case::{Case, Plan};
use crate::figures::Figures;
use crate::judge::{Late, settle};

/// A round kills each service once.
pub(crate) const CASE: Case = Case {
    name: "kill",
    about: "kill -9 of ingest, of the flusher and of both at random moments under load",
    needs: &[],
    short: 60,
    long: 1000,
    run,
};

/// The longest time between two kills.
const PAUSE_MS: u64 = 500;

/// How many rounds share a machine: what a round leaves behind meets the next one's load.
const ROUNDS_A_SITE: u64 = 30;

/// Every second machine has events that are large enough for the log to lay fences, and to cut some
/// of them in slices.
const LARGE_PAD_BYTES: u64 = 60_000;

fn run(plan: &Plan<'_>) -> Figures {
    plan.in_sites(ROUNDS_A_SITE, one_site)
}

fn one_site(plan: &Plan<'_>, number: u64, rounds: u64) -> Figures {
    let mut random = plan.random(&format!("kill {number}"));
    let site = Site::new();
    // Uploads that take a while, and answers that get lost: moments worth to be killed in.
    site.s3.add(Rule::new(Fault::LoseAnswer).on("PutObject").times(5));
    site.s3.add(Rule::new(Fault::Delay(Duration::from_millis(150))).on("PutObject"));
    let mut load_plan = LoadPlan::new(random.number());
    if (number / ROUNDS_A_SITE) % 2 == 1 {
        load_plan.pad_bytes = LARGE_PAD_BYTES;
    }
    let load = plan.load(&load_plan);
    let mut pair = Pair::new(&site, &load);
    for kind in Kind::BOTH {
        pair.start(kind);
    }
    let mut left = [rounds; 2];
    let mut pause = |limit_ms| thread::sleep(Duration::from_millis(random.below(limit_ms)));
    let mut which = plan.random(&format!("which {number}"));
    let mut both_at_once = 0;
    while left.iter().any(|kills| *kills > 0) {
        pause(PAUSE_MS);
        let chosen: Vec<usize> = match which.below(5) {
            0 | 1 => vec![0],
            2 | 3 => vec![1],
            _ => vec![0, 1],
        };
        both_at_once += u64::from(chosen.len() == 2);
        for index in chosen {
            if left[index] > 0 {
                left[index] -= 1;
                pair.kill_and_start(Kind::BOTH[index]);
            }
        }
    }
    pause(PAUSE_MS);
    pair.kill_both();
    let mut figures = Figures::default();
    figures.add("kills_of_ingest", rounds);
    figures.add("kills_of_the_flusher", rounds);
    figures.add("both_at_once", both_at_once);
    figures.join(&settle(&site, &load.stop(), Late::Forbidden));
    figures
}
