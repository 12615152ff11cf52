//! How many events a second ingest takes in bulk.

use anyhow::Result;

use super::{BULK_EVENTS, Bench, INGEST_MIB, bulk_requests, float, per_million};
use crate::events::EVENT_BYTES;
use crate::figure::{Goal, Report, mib};
use crate::limits;
use crate::load::{Load, Until};
use crate::progress::Doing;
use crate::site::Site;

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let site = Site::new(&bench.place, "15m", "6")?;
    let bodies = bench.bodies();
    let limit = || {
        let _doing = Doing::new("raw append + fdatasync");
        limits::append(site.beside(), &bodies, bench.settings.limit())
    };
    let before = limit()?;
    let ingest = site.ingest()?;
    let used = ingest.usage()?;
    let outcome = {
        let _doing = Doing::new("bulk requests");
        Load::bulk(&ingest, bulk_requests(&bodies), Until::Elapsed(bench.settings.load())).run()?
    };
    let used = ingest.usage()? - used;
    let peak = ingest.peak_resident_bytes()?;
    ingest.terminate()?;
    let limit = f64::midpoint(before, limit()?);
    let events = outcome.requests * BULK_EVENTS;
    let (rate, limit) = (outcome.rate() * float(BULK_EVENTS), limit * float(BULK_EVENTS));
    let bytes = events * EVENT_BYTES as u64;
    report.add("ingest", rate, "events/s");
    report.add("ingest", mib(bytes) / outcome.elapsed.as_secs_f64(), "MiB/s");
    report.add("raw append + fdatasync, a thousand at a time", limit, "events/s");
    // Either of the two is enough: 400,000 events a second, or this share.
    let enough = (0.35 * limit).min(400_000.0) / limit;
    report.goal("ingest / raw", rate / limit, "", Goal::AtLeast(enough));
    report.goal("ingest, CPU", per_million(used.cpu(), events), "s/M events", Goal::AtMost(3.5));
    report.add("  in the kernel", per_million(used.system, events), "s/M events");
    report.add("load generator, CPU", per_million(outcome.own_cpu, events), "s/M events");
    report.latencies("answer", &outcome.latencies);
    report.resident("ingest", peak, INGEST_MIB);
    report.add(
        "written to disk by ingest",
        limits::ratio(used.written_bytes, bytes),
        "bytes a byte",
    );
    Ok(())
}
