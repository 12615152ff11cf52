//! No file descriptors left: in starting, in accepting, in opening a minute, in sealing.

use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use tests::{Kind, Ledger, LoadPlan, Site, run as run_command, until, wait_for};

use crate::case::{Case, Plan};
use crate::figures::Figures;
use crate::judge::{Late, judge, settle};
use crate::prepared::Prepared;

/// A round is one limit for each of the two.
pub(crate) const CASE: Case = Case {
    name: "descriptors",
    about: "file descriptors used up in starting, accepting, opening a minute and sealing",
    needs: &[],
    short: 6,
    long: 60,
    run,
};

/// The least that the services can be started with lies within.
const FEWEST: u64 = 8;

fn run(plan: &Plan<'_>) -> Figures {
    let mut figures = Figures::default();
    let prepared = Prepared::make(plan.work);
    let mut random = plan.random("descriptors");
    for _ in 0..plan.rounds {
        figures.join(&flusher(&prepared, FEWEST + random.below(14)));
        figures.join(&ingest(plan, 24 + random.below(24), random.number()));
    }
    figures
}

fn limit(descriptors: u64) -> String {
    format!("--nofile={descriptors}:{descriptors}")
}

/// A flusher that has too few of them ends with an error or does its work; nothing is taken for
/// damaged.
fn flusher(prepared: &Prepared, descriptors: u64) -> Figures {
    let site = prepared.site();
    let limit = limit(descriptors);
    let mut command = site.command_under(&["prlimit", &limit], &["flusher", "--once"]);
    let output = run_command(&mut command);
    assert!(output.code.is_some(), "{descriptors}: {output:?}");
    let mut figures = Figures::default();
    figures.add("flushers_short_of_descriptors", u64::from(output.code != Some(0)));
    let again = site.flush_once();
    assert_eq!(again.code, Some(0), "{descriptors}: {output:?} then {again:?}");
    figures.join(&judge(&site, prepared.ledger(), Late::Forbidden));
    figures
}

/// Idle connections take what ingest has, while others send; when they go, all is well again.
fn ingest(plan: &Plan<'_>, descriptors: u64, seed: u64) -> Figures {
    let site = Site::new();
    let limit = limit(descriptors);
    let mut service = site.spawn_under(&["prlimit", &limit], Kind::Ingest, &[]);
    let mut figures = Figures::default();
    let up = until("ingest to come up or to end", || match service.has_ended() {
        Some(_) => Some(false),
        None => service.ops("/readyz").map(|_| true),
    });
    if !up {
        figures.add("ingests_that_could_not_start", 1);
        figures.join(&settle(&site, &Ledger::default(), Late::Forbidden));
        return figures;
    }
    let load = plan.load(&LoadPlan::new(seed));
    load.aim(Some(service.address()));
    let idle: Vec<TcpStream> = (0..descriptors)
        .filter_map(|_| TcpStream::connect_timeout(&service.address(), Duration::from_secs(1)).ok())
        .collect();
    figures.add("idle_connections", idle.len() as u64);
    // Minutes end and begin meanwhile.
    thread::sleep(Duration::from_secs(3));
    drop(idle);
    let before = load.acknowledged();
    let back = until("events to be accepted again, or the end", || {
        (load.acknowledged() > before || service.has_ended().is_some())
            .then_some(service.has_ended().is_none())
    });
    figures.add("ingests_that_went_on", u64::from(back));
    let next = (!back).then(|| site.ingest());
    if let Some(next) = &next {
        load.aim(Some(next.address()));
        wait_for("the next one to accept", || load.acknowledged() > before);
    }
    let ledger = load.stop();
    drop(next);
    if back {
        service.kill();
    }
    figures.join(&settle(&site, &ledger, Late::Forbidden));
    figures
}
