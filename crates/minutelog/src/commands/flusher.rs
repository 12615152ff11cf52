//! `minutelog flusher`: the configuration as the flusher wants it, and its failures as exit codes.

use std::sync::Arc;

use model::SystemClock;
use tokio::sync::mpsc;

use super::{load_config, runtime, s3, warn};
use crate::args::{FlusherArgs, Global};
use crate::config::{Config, GzipLevel, Live};
use crate::failure::{Code, Failure};
use crate::files;
use crate::output;
use crate::reload::{self, Reload};
use crate::signals;
use crate::supervision;
use crate::telemetry::Level;

/// Runs `flusher` until a signal, or with `--once` until all that is finished is delivered.
pub(crate) fn run(global: Global, args: &FlusherArgs, level: Level) -> Result<(), Failure> {
    let config = load_config(&global)?.config;
    level.follow(config.log_level.as_ref());
    warn(&config, "flusher");
    // A seal has all runs of its minute open.
    files::raise_limit();
    runtime()?.block_on(async {
        let (shutdown, hangups) = if args.once {
            (signals::shutdown_token()?, None)
        } else {
            let (shutdown, hangups) = signals::of_service()?;
            (shutdown, Some(hangups))
        };
        if args.service.stop_with_parent {
            signals::follow_parent(&shutdown);
        }
        let store = Arc::new(s3::connect(&config).await?);
        let clock = Arc::new(SystemClock);
        let of_service = service_config(&config);
        let Some(hangups) = hangups else {
            let drained = flusher::run_once(of_service, store, clock, shutdown).await?;
            return once(&global, matches!(drained, flusher::Drained::Yes));
        };
        let (changes, taken_up) = mpsc::channel(reload::WAITING);
        let region = config.s3.region.is_none().then(|| store.region().map(ToOwned::to_owned));
        let region = region.flatten();
        let change =
            async |before: &Config, after: &Config| change(before, after, region.as_deref()).await;
        let reload = Reload { hangups, global, running: config, level, live: Live::Flusher };
        let reload = reload.run(changes, || flusher::Change::Refused, change);
        supervision::start(&of_service.data_dir, flusher::progresses, shutdown.clone());
        let service = flusher::run(of_service, store, clock, shutdown, taken_up);
        tokio::select! {
            ended = service => Ok(ended?),
            never = reload => match never {},
        }
    })
}

/// What the flusher is told where `after` is to hold in place of `before`. `region` is what AWS's
/// default chain named at the start, if it was asked.
async fn change(
    before: &Config,
    after: &Config,
    region: Option<&str>,
) -> Result<flusher::Change, Failure> {
    if (&before.s3, &before.buckets) == (&after.s3, &after.buckets) {
        return Ok(flusher::Change::Retry);
    }
    Ok(flusher::Change::Store(Arc::new(s3::connect_in(after, region).await?)))
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
