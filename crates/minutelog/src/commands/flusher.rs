//! `minutelog flusher`: the configuration as the flusher wants it, and its failures as exit codes.

use std::sync::Arc;

use model::SystemClock;

use super::{load_config, runtime, s3, warn};
use crate::args::{FlusherArgs, Global};
use crate::config::{Config, GzipLevel};
use crate::failure::{Code, Failure};
use crate::files;
use crate::output;
use crate::signals;
use crate::supervision;

/// Runs `flusher` until a signal, or with `--once` until all that is finished is delivered.
pub(crate) fn run(global: &Global, args: &FlusherArgs) -> Result<(), Failure> {
    let config = load_config(global)?.config;
    warn(&config, "flusher");
    // A seal has all runs of its minute open.
    files::raise_limit();
    runtime()?.block_on(async {
        let shutdown = signals::shutdown_token()?;
        if args.service.stop_with_parent {
            signals::follow_parent(&shutdown);
        }
        let store = Arc::new(s3::connect(&config).await?);
        let config = service_config(&config);
        let clock = Arc::new(SystemClock);
        if !args.once {
            supervision::start(&config.data_dir, flusher::progresses, shutdown.clone());
            return Ok(flusher::run(config, store, clock, shutdown).await?);
        }
        let drained = flusher::run_once(config, store, clock, shutdown).await?;
        once(global, matches!(drained, flusher::Drained::Yes))
    })
}

fn once(global: &Global, drained: bool) -> Result<(), Failure> {
    if global.json {
        output::print_json(&serde_json::json!({ "drained": drained }))?;
    }
    if drained {
        return Ok(());
    }
    Err(Failure::new(
        Code::TryAgain,
        "log: something is still undelivered: see `minutelog admin log` for what and why, then run it again",
    ))
}

/// The configuration as the flusher wants it.
pub(super) fn service_config(config: &Config) -> flusher::Config {
    let gzip_level = match config.flusher.gzip_level {
        GzipLevel::Fixed(level) => flusher::GzipLevel::Fixed(level),
        GzipLevel::Auto => flusher::GzipLevel::Auto,
    };
    flusher::Config {
        data_dir: config.data_dir.clone(),
        ops_listen: config.flusher.ops_listen,
        gzip_level,
        upload_concurrency: config.flusher.upload_concurrency,
        receipt_retention: config.flusher.receipt_retention.as_duration(),
        keep_delivered: config.flusher.keep_delivered.as_duration(),
        idempotency_window: config.ingest.idempotency_window.as_duration(),
    }
}

impl From<flusher::Error> for Failure {
    fn from(error: flusher::Error) -> Self {
        let code = match &error {
            flusher::Error::SecondFlusher(_) | flusher::Error::Bind { .. } => Code::Unavailable,
            flusher::Error::Log(error) => return Self::log("flusher", error),
            flusher::Error::Internal(_) => Code::Internal,
        };
        Self::new(code, format!("flusher: {error}"))
    }
}
