//! The whole way, from the request to the store, for as long as it must be kept up.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{
    BULK_EVENTS, Bench, FLUSHER_MIB, INGEST_MIB, LOG_BYTES, bulk_requests, float, per_million,
};
use crate::events::EVENT_BYTES;
use crate::figure::{Goal, MIB, Report};
use crate::limits;
use crate::load::{Load, Outcome, Until};
use crate::progress::Doing;
use crate::service::Service;
use crate::site::Site;

/// Events a second.
const RATE: f64 = 200_000.0;

/// How often the log on disk is looked at; it is counted once a second.
const LOOK: Duration = Duration::from_millis(500);

/// How much more of it there may be in the second half. It holds a minute and a seal at most.
const MAY_VARY: f64 = 1.25;

/// How long after the end of the load the log may take to be empty.
const PATIENCE: Duration = Duration::from_mins(10);

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let duration = bench.settings.sustained();
    // A minute has sixty seconds, unless there are not enough of them.
    let (name, interval) = if duration >= Duration::from_mins(5) { ("60s", 60) } else { ("5s", 5) };
    let interval = Duration::from_secs(interval);
    let site = Site::new(&bench.place, name, "\"auto\"")?;
    let (ingest, flusher) = (site.ingest()?, site.flusher()?);
    site.store.take_lags(interval);
    let bodies = bench.bodies();
    let load = Load {
        pace: Some(RATE / float(BULK_EVENTS)),
        interval: Some(interval),
        ..Load::bulk(&ingest, bulk_requests(&bodies), Until::Elapsed(duration / 2))
    };
    let (first, most_at_first) = half("the first half", &load, &ingest)?;
    let (second, most_later) = half("the second half", &load, &ingest)?;
    let events = (first.requests + second.requests) * BULK_EVENTS;
    wait_for_delivery(&flusher, events)?;
    let (of_ingest, of_flusher) = (ingest.usage()?, flusher.usage()?);
    let bytes = events * EVENT_BYTES as u64;
    let rate = float(events) / (first.elapsed + second.elapsed).as_secs_f64();
    report.goal("taken", rate, "events/s", Goal::AtLeast(RATE * 0.99));
    report.latencies("answer", &second.latencies);
    report.add("log on disk, most in the first half", most_at_first / MIB, "MiB");
    let most = Goal::AtMost(most_at_first / MIB * MAY_VARY);
    report.goal("log on disk, most in the second half", most_later / MIB, "MiB", most);
    let lags = site.store.lags();
    report.latencies("object confirmed after its minute's end", &lags);
    let p99 = lags.percentile_ms(99.0) / 1000.0;
    report.goal("the same, p99", p99, "s", Goal::AtMost(5.0));
    let cpu = of_ingest.cpu() + of_flusher.cpu();
    report.add("ingest, CPU", per_million(of_ingest.cpu(), events), "s/M events");
    report.add("flusher, CPU", per_million(of_flusher.cpu(), events), "s/M events");
    for level in [6, 3, 1] {
        let gzip = limits::gzip(level, &bodies, bench.settings.limit())?;
        let times = cpu.as_secs_f64() * gzip.bytes_per_second / limits::ratio(bytes, 1);
        let name = format!("CPU of both / flate2 at level {level}");
        // That which the flusher has where it keeps up.
        if level == 6 {
            report.goal(name, times, "", Goal::AtMost(1.5));
        } else {
            report.add(name, times, "");
        }
    }
    report.add(
        "bytes of events for each byte delivered",
        limits::ratio(bytes, site.store.bytes()),
        "",
    );
    let written = of_ingest.written_bytes + of_flusher.written_bytes;
    let written = limits::ratio(written, bytes);
    report.goal("written to disk", written, "bytes a byte", Goal::AtMost(1.5));
    report.resident("ingest", ingest.peak_resident_bytes()?, INGEST_MIB);
    report.resident("flusher", flusher.peak_resident_bytes()?, FLUSHER_MIB);
    ingest.terminate()?;
    flusher.terminate()
}

/// Runs the load; returns what came of it, and the most that the log had on disk meanwhile, in bytes.
fn half(name: &'static str, load: &Load, ingest: &Service) -> Result<(Outcome, f64)> {
    let _doing = Doing::new(name);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut most = 0.0_f64;
            while !over.load(Ordering::Relaxed) {
                most = most.max(ingest.metric(LOG_BYTES)?);
                thread::sleep(LOOK);
            }
            anyhow::Ok(most)
        });
        let outcome = load.run();
        over.store(true, Ordering::Relaxed);
        let most = watching.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        Ok((outcome?, most))
    })
}

fn wait_for_delivery(flusher: &Service, events: u64) -> Result<()> {
    let _doing = Doing::new("waiting for the last minute");
    let started = std::time::Instant::now();
    while flusher.metric("minutelog_flusher_events_delivered_total")? < float(events) {
        ensure!(started.elapsed() < PATIENCE, "not delivered within {} s", PATIENCE.as_secs());
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
