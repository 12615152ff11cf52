//! A minute with very many destinations.

use std::sync::Arc;

use anyhow::{Result, ensure};
use bytes::Bytes;

use super::{BULK_EVENTS, Bench, FLUSHER_MIB, INGEST_MIB, per_million};
use crate::client::post;
use crate::figure::{Goal, Report};
use crate::load::{Load, Until};
use crate::progress::Doing;
use crate::site::Site;
use crate::store::BUCKET;

/// How many destinations, and how many events each of them gets.
const DESTINATIONS: u64 = 100_000;
const EVENTS: u64 = 10;

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let destinations = if bench.settings.short { DESTINATIONS / 100 } else { DESTINATIONS };
    let site = Site::new(&bench.place, "15m", "6")?;
    let ingest = site.ingest()?;
    let outcome = {
        let _doing = Doing::new(format!("sending to {destinations} destinations"));
        let requests = requests(bench, destinations);
        let until = Until::Sent(requests.len() as u64);
        Load::bulk(&ingest, requests, until).run()?
    };
    let (used, peak) = (ingest.usage()?, ingest.peak_resident_bytes()?);
    ingest.terminate()?;
    let flushed = {
        let _doing = Doing::new(format!("delivering {destinations} objects"));
        site.flush()?
    };
    let objects = site.store.objects();
    ensure!(objects == destinations, "{objects} objects for {destinations} destinations");
    let events = destinations * EVENTS;
    report.add("accepted in", outcome.elapsed.as_secs_f64(), "s");
    report.latencies("answer", &outcome.latencies);
    report.add("ingest, CPU", per_million(used.cpu(), events), "s/M events");
    let seconds = flushed.elapsed.as_secs_f64();
    report.goal("sealed and delivered in", seconds, "s", Goal::AtMost(60.0));
    report.add("flusher, CPU", per_million(flushed.cpu, destinations), "s/M objects");
    report.resident("ingest", peak, INGEST_MIB);
    report.resident("flusher", flushed.peak_resident_bytes, FLUSHER_MIB);
    Ok(())
}

/// Each destination comes once in every tenth of the requests, as when many clients send.
fn requests(bench: &Bench, destinations: u64) -> Arc<[Bytes]> {
    let mut events = bench.events();
    let mut one = |destination: u64| {
        let event = events.event();
        format!(r#"{{"bucket":"{BUCKET}","prefix":"d/{destination:06}","payload":{event}}}"#)
    };
    let mut requests = Vec::new();
    for _ in 0..EVENTS {
        for first in (0..destinations).step_by(usize::try_from(BULK_EVENTS).unwrap_or(1)) {
            let last = destinations.min(first + BULK_EVENTS);
            let body: Vec<String> = (first..last).map(&mut one).collect();
            let body = format!("[{}]", body.join(","));
            requests.push(post("/v1/send/s3", "application/json", body.as_bytes()));
        }
    }
    requests.into()
}
