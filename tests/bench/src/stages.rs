//! What is measured, one stage after the other.

mod backlog;
mod bulk;
mod destinations;
mod growth;
mod latency;
mod seal;
mod single;
mod start;
mod whole;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use serde_json::json;

use crate::binary;
use crate::client::post;
use crate::events::Events;
use crate::figure::Report;
use crate::load::{Load, Outcome, Until};
use crate::machine::Machine;
use crate::progress::Doing;
use crate::service::Service;
use crate::settings::Settings;
use crate::site::Place;
use crate::store::BUCKET;

/// Events of a bulk request.
const BULK_EVENTS: u64 = 1000;

/// Connections that send bulk requests, each to a destination of its own.
const BULK_CONNECTIONS: usize = 16;

/// What ingest and the flusher may have resident, in MiB.
const INGEST_MIB: f64 = 150.0;
const FLUSHER_MIB: f64 = 200.0;

/// What ingest says that the log takes of the disk, all states together; once a second.
const LOG_BYTES: &str = "minutelog_ingest_log_bytes";

/// One thing that is measured.
#[derive(Clone, Copy, Debug)]
struct Stage {
    name: &'static str,
    about: &'static str,
    run: fn(&Bench, &mut Report) -> Result<()>,
}

/// What a stage has to work with.
#[derive(Clone, Debug)]
struct Bench {
    settings: Settings,
    place: Place,
}

const STAGES: [Stage; 9] = [
    Stage {
        name: "bulk",
        about: "Bulk requests of 1,000 events, 16 connections, beside raw append + fdatasync",
        run: bulk::run,
    },
    Stage {
        name: "single",
        about: "Requests of one event, 64 connections, beside a route that does nothing",
        run: single::run,
    },
    Stage {
        name: "latency",
        about: "Acknowledgements at half of the load of `single`, over the ends of minutes",
        run: latency::run,
    },
    Stage { name: "seal", about: "Sealing, beside flate2 alone", run: seal::run },
    Stage {
        name: "whole",
        about: "The whole way: 200,000 events a second into S3",
        run: whole::run,
    },
    Stage {
        name: "destinations",
        about: "100,000 destinations with 10 events each in one minute",
        run: destinations::run,
    },
    Stage { name: "growth", about: "One, ten and a hundred times the events", run: growth::run },
    Stage { name: "backlog", about: "Sixty minutes that wait for the flusher", run: backlog::run },
    Stage { name: "start", about: "Starting ingest beside a backlog", run: start::run },
];

/// Prints the stages.
pub(crate) fn list() {
    for Stage { name, about, .. } in STAGES {
        println!("{name:<14} {about}");
    }
}

/// Runs the stages that the settings name, and tells each one's figures.
pub(crate) fn run(settings: &Settings) -> Result<ExitCode> {
    if let Some(strange) =
        settings.stages.iter().find(|name| STAGES.iter().all(|stage| stage.name != **name))
    {
        bail!("no stage is called {strange}: see `list`");
    }
    if cfg!(debug_assertions) && !settings.short {
        bail!("a debug build measures nothing: use `cargo run --release -p bench`");
    }
    let binary = if let Some(binary) = &settings.binary {
        binary.clone()
    } else {
        let _doing = Doing::new("building minutelog");
        binary::build()?
    };
    let bench =
        Bench { settings: settings.clone(), place: Place { binary, dir: settings.dir.clone() } };
    let machine = Machine::this();
    eprintln!("{}", machine.line());
    let mut reports = Vec::new();
    for stage in STAGES {
        if !settings.stages.is_empty() && settings.stages.iter().all(|name| name != stage.name) {
            continue;
        }
        let mut report = Report::new(stage.name, stage.about);
        (stage.run)(&bench, &mut report).with_context(|| format!("stage {}", stage.name))?;
        report.print(settings.json.as_deref() == Some(Path::new("-")));
        reports.push(report);
    }
    if let Some(file) = &settings.json {
        let settings = json!({
            "seconds": settings.load().as_secs(),
            "sustained_seconds": settings.sustained().as_secs(),
            "seed": settings.seed,
        });
        write_json(file, &json!({ "machine": machine, "settings": settings, "stages": reports }))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write_json(file: &Path, document: &serde_json::Value) -> Result<()> {
    let text = format!("{document:#}\n");
    if file == Path::new("-") {
        std::io::stdout().write_all(text.as_bytes())?;
        return Ok(());
    }
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

impl Bench {
    fn events(&self) -> Events {
        Events::new(self.settings.seed)
    }

    /// The bodies of bulk requests.
    fn bodies(&self) -> Vec<Bytes> {
        self.events().bodies(BULK_EVENTS)
    }

    /// Sends so many events in bulk requests.
    fn fill(&self, ingest: &Service, events: u64) -> Result<Outcome> {
        let _doing = Doing::new(format!("sending {events} events"));
        let until = Until::Sent(events.div_ceil(BULK_EVENTS));
        Load::bulk(ingest, bulk_requests(&self.bodies()), until).run()
    }
}

impl Load {
    /// A load of large requests.
    fn bulk(ingest: &Service, requests: Arc<[Bytes]>, until: Until) -> Self {
        Self {
            address: ingest.address(),
            connections: BULK_CONNECTIONS,
            threads: 1,
            requests,
            pace: None,
            until,
            interval: None,
        }
    }
}

/// Bulk requests with these bodies, those of each connection to a destination of its own.
fn bulk_requests(bodies: &[Bytes]) -> Arc<[Bytes]> {
    let request = |(number, body): (usize, &Bytes)| {
        let path = format!("/v1/s3/{BUCKET}?prefix=p{:02}", number % BULK_CONNECTIONS);
        post(&path, "application/x-ndjson", body)
    };
    bodies.iter().enumerate().map(request).collect()
}

/// A number of events, as figures are.
#[expect(clippy::cast_precision_loss, reason = "a figure needs no more than 53 bits")]
fn float(number: u64) -> f64 {
    number as f64
}

/// CPU-seconds for each million of events.
fn per_million(cpu: std::time::Duration, events: u64) -> f64 {
    cpu.as_secs_f64() / float(events) * 1e6
}
