//! How many requests of one event a second ingest takes.

use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;

use super::{Bench, INGEST_MIB, per_million};
use crate::client::{get, post};
use crate::figure::{Goal, Report};
use crate::load::{Load, Outcome, Until};
use crate::progress::Doing;
use crate::service::Service;
use crate::site::Site;
use crate::store::BUCKET;

/// Keep-alive connections.
const CONNECTIONS: usize = 64;

/// So many different requests are made before the first comes again.
const DIFFERENT: usize = 4096;

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let site = Site::new(&bench.place, "15m", "6")?;
    let ingest = site.ingest()?;
    let idle = || {
        let _doing = Doing::new("requests that do nothing");
        let until = Until::Elapsed(bench.settings.limit());
        let requests: Arc<[Bytes]> = [get("/healthz")].into();
        Load { address: ingest.ops(), requests, ..load(bench, &ingest, until) }.run()
    };
    let before = idle()?;
    let used = ingest.usage()?;
    let outcome = {
        let _doing = Doing::new("requests of one event");
        load(bench, &ingest, Until::Elapsed(bench.settings.load())).run()?
    };
    let used = ingest.usage()? - used;
    let limit = f64::midpoint(before.rate(), idle()?.rate());
    report.add("ingest", outcome.rate(), "requests/s");
    report.add("a route that does nothing", limit, "requests/s");
    report.goal("ingest / nothing", outcome.rate() / limit, "", Goal::AtLeast(0.6));
    let cpu = |used: std::time::Duration| per_million(used, outcome.requests);
    report.goal("ingest, CPU", cpu(used.cpu()), "s/M events", Goal::AtMost(25.0));
    report.add("  in the kernel", cpu(used.system), "s/M events");
    report.add("load generator, CPU", cpu(outcome.own_cpu), "s/M events");
    report.latencies("answer", &outcome.latencies);
    report.resident("ingest", ingest.peak_resident_bytes()?, INGEST_MIB);
    ingest.terminate()
}

/// As many requests of one event as are answered.
pub(super) fn load(bench: &Bench, ingest: &Service, until: Until) -> Load {
    let mut events = bench.events();
    let request = |_| {
        let event = events.event();
        let body = format!(r#"{{"bucket":"{BUCKET}","prefix":"single","payload":{event}}}"#);
        post("/v1/send/s3", "application/json", body.as_bytes())
    };
    Load {
        address: ingest.address(),
        connections: CONNECTIONS,
        threads: 2,
        requests: (0..DIFFERENT).map(request).collect(),
        pace: None,
        until,
        interval: None,
    }
}

/// The most that ingest takes for a short time.
pub(super) fn most(bench: &Bench, ingest: &Service) -> Result<Outcome> {
    let _doing = Doing::new("the most that ingest takes");
    load(bench, ingest, Until::Elapsed(bench.settings.limit())).run()
}
