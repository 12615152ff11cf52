//! `minutelog dev`: S3, ingest, flusher and the inspector on this machine, until Ctrl-C.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};

use admin::{Inspection, InspectionOptions};
use model::{Bucket, SystemClock};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use wal::Lock;

use super::admin::Stop;
use super::{inspector, runtime};
use crate::args::{DevArgs, Global};
use crate::failure::{Code, Failure};
use crate::local::{Local, Ports, STREAM, free_near};
use crate::output;
use crate::signals;

const BUCKET: &str = "my-bucket";
const DIRECTORY: &str = "minutelog-dev";
const S3_PORT: u16 = 9000;
const SERVICE_PORTS: [u16; 3] = [9600, 9601, 9602];
const INSPECTOR_PORT: u16 = 9603;

/// Runs `dev`.
pub(crate) fn run(global: &Global, args: &DevArgs) -> Result<(), Failure> {
    super::refuse_config_file(global, "dev")?;
    super::warn_of_variables("dev");
    let directory = global.data_dir.clone().unwrap_or_else(|| PathBuf::from(DIRECTORY));
    // Absolute, so that the configuration in it can be used from anywhere.
    let absolute = std::path::absolute(&directory).map_err(|error| {
        Failure::io(&directory.display().to_string(), &error, "choose another with --data-dir")
    })?;
    // Held until all three have stopped, and taken before anything in the directory is touched.
    let _lock = lock(&directory)?;
    runtime()?.block_on(dev(&directory, &absolute, args, global.json))
}

fn lock(directory: &Path) -> Result<Lock, Failure> {
    let shown = directory.display();
    fs::create_dir_all(directory).map_err(|error| {
        Failure::io(&shown.to_string(), &error, "choose another with --data-dir")
    })?;
    Lock::exclusive(&directory.join("dev.lock")).map_err(|error| match error {
        wal::Error::Busy { .. } => Failure::new(
            Code::Unavailable,
            format!(
                "directory {shown}: another dev runs on this directory: stop it, or choose another with --data-dir"
            ),
        ),
        error => Failure::log("dev", &error),
    })
}

async fn dev(shown: &Path, directory: &Path, args: &DevArgs, json: bool) -> Result<(), Failure> {
    let shutdown = signals::shutdown_token()?;
    let bucket = Bucket::new(BUCKET).expect("the name follows S3's rules");
    let ports = Ports::prefer(S3_PORT, SERVICE_PORTS)?;
    let mut local = tokio::select! {
        local = Local::start(directory, &bucket, args.interval, ports) => local?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let inspection = inspect(&local, directory)?;
    let page = inspection.address();
    if json {
        output::print_json(&addresses(&local, page))?;
    } else {
        output::print(&welcome(&local, page, shown, args))?;
    }
    // It goes on while the services stop, and is stopped with them.
    let stop = CancellationToken::new();
    let serving = tokio::spawn(inspection.serve(Arc::new(SystemClock), stop.clone()));
    let ended = tokio::select! {
        failure = local.failed() => Err(failure),
        () = shutdown.cancelled() => Ok(()),
    };
    stop.cancel();
    if !json && ended.is_ok() {
        output::print("\n  stopping\n")?;
    }
    let stopped = local.stop().await;
    if let Err(error) = serving.await {
        tracing::warn!(%error, "the inspector has died");
    }
    ended.and(stopped)
}

/// The inspector of what `local` has, on its own port or on a free one.
fn inspect(local: &Local, directory: &Path) -> Result<Inspection, Failure> {
    let options = InspectionOptions {
        data_dir: directory.join("data"),
        ingest: format!("http://{}", local.ingest_address),
        token: None,
    };
    let bound = Inspection::bind(free_near(INSPECTOR_PORT), options);
    bound.map_err(|error| match Stop::from(error) {
        Stop::Failure(failure) => failure,
        Stop::Seen => Failure::new(Code::Internal, "inspector: nothing was printed yet"),
    })
}

fn addresses(local: &Local, page: SocketAddr) -> serde_json::Value {
    let (ingest_pid, flusher_pid) = local.pids();
    json!({
        "inspector": inspector::url(page),
        "ingest": format!("http://{}", local.ingest_address),
        "ingest_ops": format!("http://{}", local.ingest_ops),
        "ingest_pid": ingest_pid,
        "flusher_ops": format!("http://{}", local.flusher_ops),
        "flusher_pid": flusher_pid,
        "s3": local.s3_url,
        "bucket": BUCKET,
        "stream": STREAM,
        "config": local.config_file,
    })
}

fn welcome(local: &Local, page: SocketAddr, shown: &Path, args: &DevArgs) -> String {
    let program = env::args().next().unwrap_or_else(|| "minutelog".into());
    let (ingest, s3) = (local.ingest_address, &local.s3_url);
    let (ingest_ops, flusher_ops) = (local.ingest_ops, local.flusher_ops);
    let config = shown.join("minutelog.toml");
    format!(
        r#"
minutelog dev: S3, ingest and flusher on this machine, one object every {interval}

  ingest    http://{ingest}
  S3        {s3}   bucket {BUCKET}; others come into being when first used
  stream    {STREAM}   for what sends to Amazon Data Firehose, with http://{ingest} as its endpoint
  inspector {page}   events, minutes and destinations in a browser, live
  metrics   http://{ingest_ops}/metrics  http://{flusher_ops}/metrics
  data      {directory}   the log, the buckets, ingest.log, flusher.log

Send an event:

  curl -sS http://{ingest}/v1/send/s3 -H 'Content-Type: application/json' -d '{{"bucket": "{BUCKET}", "prefix": "test/", "payload": {{"hello": "world"}}}}'

See the objects, after the end of the minute:

  aws s3 ls --recursive --no-sign-request --endpoint-url {s3} s3://{BUCKET}/

Look into the log:

  {program} admin log --config {config}
  AWS_SHARED_CREDENTIALS_FILE={credentials} {program} admin doctor --config {config}

Ctrl-C stops all of it; the data stays.
"#,
        interval = args.interval,
        page = inspector::url(page),
        directory = shown.display(),
        config = config.display(),
        credentials = shown.join("credentials").display(),
    )
}
