//! Many minutes that wait: what the flusher needs for them, beside one minute of the same events.

use std::time::Duration;

use anyhow::Result;

use super::{BULK_EVENTS, Bench, FLUSHER_MIB, INGEST_MIB, bulk_requests, float};
use crate::events::EVENT_BYTES;
use crate::figure::{Goal, Report, mib};
use crate::load::{Load, Until};
use crate::progress::Doing;
use crate::site::{Flushed, Site};

/// As many as an hour has.
const MINUTES: u64 = 60;

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let minutes = if bench.settings.short { 3 } else { MINUTES };
    let events = bench.settings.amount(150_000).div_ceil(minutes * BULK_EVENTS);
    let (many, peak) = backlog(bench, minutes, events)?;
    let (one, _) = backlog(bench, 1, events * minutes)?;
    let mib = mib(minutes * events * BULK_EVENTS * EVENT_BYTES as u64);
    let speed = |flushed: Flushed| mib / flushed.elapsed.as_secs_f64();
    report.add(format!("{minutes} minutes sealed and delivered"), speed(many), "MiB/s");
    report.add("the same events in one minute", speed(one), "MiB/s");
    report.goal("many / one", speed(many) / speed(one), "", Goal::AtLeast(0.9));
    report.resident("ingest", peak, INGEST_MIB);
    report.resident("flusher", many.peak_resident_bytes, FLUSHER_MIB);
    Ok(())
}

/// So many minutes of so many requests each, and what it took to deliver them; and the most that
/// was resident of ingest.
fn backlog(bench: &Bench, minutes: u64, requests: u64) -> Result<(Flushed, u64)> {
    let interval = if minutes == 1 { "15m" } else { "1s" };
    let site = Site::new(&bench.place, interval, "1")?;
    let ingest = site.ingest()?;
    {
        let _doing = Doing::new(format!("making {minutes} minutes"));
        let until = Until::Sent(minutes * requests);
        let pace = (minutes > 1).then(|| float(requests));
        let requests = bulk_requests(&bench.bodies());
        Load { pace, ..Load::bulk(&ingest, requests, until) }.run()?;
    }
    let peak = ingest.peak_resident_bytes()?;
    ingest.terminate()?;
    // The last minute is over.
    std::thread::sleep(Duration::from_secs(1));
    let _doing = Doing::new("delivering them");
    Ok((site.flush()?, peak))
}
