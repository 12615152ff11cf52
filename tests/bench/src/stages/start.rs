//! How soon ingest is ready beside a large backlog.

use std::time::Duration;

use anyhow::Result;

use super::{Bench, LOG_BYTES, float};
use crate::figure::{Goal, MIB, Report};
use crate::latency::Latencies;
use crate::progress::Doing;
use crate::site::Site;

/// How often it is started.
const STARTS: u32 = 10;

/// Events for each second of a load, whose log takes over 10 GB at the usual 20 s.
const EVENTS_A_SECOND: u64 = 2_400_000;

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let site = Site::new(&bench.place, "1s", "6")?;
    starts(&site, "beside nothing", report)?;
    let ingest = site.ingest()?;
    let events = bench.settings.amount(EVENTS_A_SECOND);
    let events = if bench.settings.short { events / 20 } else { events };
    bench.fill(&ingest, events)?;
    // It is counted once a second.
    std::thread::sleep(Duration::from_secs(2));
    report.add("events that wait", float(events), "");
    report.add("log on disk", ingest.metric(LOG_BYTES)? / MIB, "MiB");
    ingest.terminate()?;
    let longest = starts(&site, "beside them", report)?;
    report.goal("ready beside them, longest", longest, "ms", Goal::AtMost(50.0));
    Ok(())
}

/// Starts ingest some times; returns the longest time until it was ready, in milliseconds.
fn starts(site: &Site, beside: &str, report: &mut Report) -> Result<f64> {
    let _doing = Doing::new(format!("starting ingest {beside}"));
    let mut latencies = Latencies::new();
    for _ in 0..STARTS {
        let mut ingest = site.spawn_ingest()?;
        latencies.record(ingest.ready()?);
        ingest.terminate()?;
    }
    report.add(format!("ready {beside}, p50"), latencies.percentile_ms(50.0), "ms");
    Ok(latencies.max_ms())
}
