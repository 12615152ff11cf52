//! How long an acknowledgement takes, and whether the end of a minute is felt.

use std::time::Duration;

use anyhow::Result;

use super::{Bench, FLUSHER_MIB, INGEST_MIB, single};
use crate::figure::{Goal, Report};
use crate::limits::SyncProbe;
use crate::load::{Load, Until};
use crate::progress::Doing;
use crate::site::Site;

/// Short minutes, so that there are several ends; long enough for a middle between them.
const INTERVAL: (&str, Duration) = ("10s", Duration::from_secs(10));

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let site = Site::new(&bench.place, INTERVAL.0, "\"auto\"")?;
    let ingest = site.ingest()?;
    let flusher = site.flusher()?;
    let pace = single::most(bench, &ingest)?.rate() / 2.0;
    let duration = (bench.settings.load() * 3).max(INTERVAL.1 + Duration::from_secs(2));
    let load = Load {
        pace: Some(pace),
        interval: Some(INTERVAL.1),
        ..single::load(bench, &ingest, Until::Elapsed(duration))
    };
    let probe = SyncProbe::start(site.beside());
    let outcome = {
        let _doing = Doing::new(format!("{pace:.0} requests a second"));
        load.run()?
    };
    let sync = probe.stop()?;
    report.add("load", outcome.rate(), "requests/s");
    report.latencies("answer", &outcome.latencies);
    report.latencies("one fdatasync beside it", &sync);
    let p99 = outcome.latencies.percentile_ms(99.0);
    let times = p99 / sync.percentile_ms(99.0);
    report.goal("p99: answer / fdatasync", times, "", Goal::AtMost(5.0));
    let edge = outcome.at_the_edge.percentile_ms(99.0);
    report.add("answer within a second of a minute's end, p99", edge, "ms");
    report.goal("p99: at the end / overall", edge / p99, "", Goal::AtMost(2.0));
    report.resident("ingest", ingest.peak_resident_bytes()?, INGEST_MIB);
    report.resident("flusher", flusher.peak_resident_bytes()?, FLUSHER_MIB);
    ingest.terminate()?;
    flusher.terminate()
}
