//! Whether an event costs the same in a large minute as in a small one.

use anyhow::Result;

use super::{BULK_EVENTS, Bench, FLUSHER_MIB, INGEST_MIB, per_million};
use crate::figure::{Goal, Report};
use crate::progress::Doing;
use crate::site::Site;

/// Times the smallest amount.
const TIMES: [u64; 3] = [1, 10, 100];

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    // What a process costs by itself would be a large part of a small amount.
    let smallest = bench.settings.amount(2500).max(5000);
    let mut costs = Vec::new();
    for times in TIMES {
        let site = Site::new(&bench.place, "15m", "1")?;
        let ingest = site.ingest()?;
        let idle = ingest.usage()?;
        let sent = bench.fill(&ingest, smallest * times)?;
        let taken = (ingest.usage()? - idle).cpu();
        let peak = ingest.peak_resident_bytes()?;
        ingest.terminate()?;
        let _doing = Doing::new("delivering them");
        let flushed = site.flush()?;
        let events = sent.requests * BULK_EVENTS;
        let (of_ingest, of_flusher) =
            (per_million(taken, events), per_million(flushed.cpu, events));
        report.add(format!("{events} events: ingest, CPU"), of_ingest, "s/M events");
        report.add(format!("{events} events: flusher, CPU"), of_flusher, "s/M events");
        report.resident(&format!("{events} events: ingest"), peak, INGEST_MIB);
        let peak = flushed.peak_resident_bytes;
        report.resident(&format!("{events} events: flusher"), peak, FLUSHER_MIB);
        costs.push((of_ingest, of_flusher));
    }
    let mut costs = TIMES.iter().zip(&costs);
    let steps = costs.clone().zip(costs.clone().skip(1));
    let all = costs.clone().next().zip(costs.next_back());
    for ((less, small), (more, large)) in steps.chain(all) {
        let times = format!("{more} times / {less}");
        report.goal(format!("ingest: {times}"), large.0 / small.0, "", Goal::AtMost(1.3));
        report.goal(format!("flusher: {times}"), large.1 / small.1, "", Goal::AtMost(1.3));
    }
    Ok(())
}
