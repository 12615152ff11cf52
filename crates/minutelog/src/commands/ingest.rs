//! `minutelog ingest`: the configuration as the ingest service wants it, and its failures as exit
//! codes.

use std::sync::Arc;

use model::SystemClock;
use tokio::sync::mpsc;

use super::{load_config, runtime, warn};
use crate::args::{Global, ServiceArgs};
use crate::config::{AuthMode, Config, Live, RateConfig, StreamConfig, TokenConfig};
use crate::failure::{Code, Failure};
use crate::files;
use crate::reload::{self, Reload};
use crate::signals;
use crate::supervision;
use crate::telemetry::Level;

/// Runs `ingest` until a signal.
pub(crate) fn run(global: Global, args: &ServiceArgs, level: Level) -> Result<(), Failure> {
    let loaded = load_config(&global)?;
    loaded.check_for_ingest()?;
    level.follow(loaded.config.log_level.as_ref());
    warn(&loaded.config, "ingest");
    let mut config = service_config(&loaded.config)?;
    config.max_connections = files::room_for(config.max_connections);
    runtime()?.block_on(async {
        let (shutdown, hangups) = signals::of_service()?;
        if args.stop_with_parent {
            signals::follow_parent(&shutdown);
        }
        let (changes, taken_up) = mpsc::channel(reload::WAITING);
        let reload = Reload { hangups, global, running: loaded.config, level, live: Live::Ingest };
        let reload = reload.run(changes, || ingest::Change::Refused, change);
        supervision::start(&config.data_dir, wal::own_log_progresses, shutdown.clone());
        let service = ingest::run(config, Arc::new(SystemClock), shutdown, taken_up);
        tokio::select! {
            ended = service => Ok(ended?),
            never = reload => match never {},
        }
    })
}

/// What ingest is told of a configuration that is to hold.
async fn change(_: &Config, config: &Config) -> Result<ingest::Change, Failure> {
    let config = config.clone();
    let rules = reload::from_disk(move || rules(&config)).await?;
    Ok(ingest::Change::Rules(Box::new(rules)))
}

fn service_config(config: &Config) -> Result<ingest::Config, Failure> {
    Ok(ingest::Config {
        data_dir: config.data_dir.clone(),
        listen: config.ingest.listen,
        ops_listen: config.ingest.ops_listen,
        tls: config.ingest.tls.files(),
        rules: rules(config)?,
        max_connections: usize::try_from(config.ingest.max_connections).unwrap_or(usize::MAX),
        max_request_bytes: config.ingest.max_request_bytes.as_usize(),
        max_destinations_per_minute: config.ingest.max_destinations_per_minute,
        idempotency_window: config.ingest.idempotency_window.as_duration(),
        interval: config.log.interval,
        max_log_bytes: config.log.max_bytes.get(),
        run_bytes: config.log.run_bytes.get(),
    })
}

/// Reads the files of secrets.
fn rules(config: &Config) -> Result<ingest::Rules, Failure> {
    let auth = match config.ingest.auth {
        AuthMode::None => ingest::Auth::None,
        AuthMode::Tokens => {
            let defaults = &config.ingest.limits.token;
            ingest::Auth::Tokens(config.tokens.iter().map(|it| token(it, defaults)).collect())
        }
    };
    let defaults = &config.ingest.limits.token;
    let keys = config.access_keys.iter().map(|it| it.access_key(defaults));
    let access_keys = keys.collect::<Result<_, _>>().map_err(|why| {
        Failure::new(Code::Config, format!("configuration: access_key.secret_file: {why}"))
    })?;
    Ok(ingest::Rules {
        auth,
        streams: config.streams.iter().map(StreamConfig::stream).collect(),
        access_keys,
        connection_limits: config.ingest.limits.connection.rates(),
        max_event_bytes: config.ingest.max_event_bytes.as_usize(),
    })
}

fn token(token: &TokenConfig, defaults: &RateConfig) -> ingest::Token {
    ingest::Token {
        name: token.name.as_str().to_owned(),
        hash: token.hash.digest(),
        allow: token.allow.iter().map(|pattern| pattern.get().clone()).collect(),
        limits: token.limits.or(defaults).rates(),
    }
}

impl From<ingest::Error> for Failure {
    fn from(error: ingest::Error) -> Self {
        let code = match &error {
            ingest::Error::Bind { .. } => Code::Unavailable,
            ingest::Error::Tls(_) => Code::Config,
            ingest::Error::Disk { .. } => Code::Io,
            ingest::Error::Log(error) => return Self::log("ingest", error),
        };
        Self::new(code, format!("ingest: {error}"))
    }
}
