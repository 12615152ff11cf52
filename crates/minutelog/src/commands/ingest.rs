//! `minutelog ingest`: the configuration as the ingest service wants it, and its failures as exit
//! codes.

use std::sync::Arc;

use model::SystemClock;

use super::{load_config, runtime};
use crate::args::{Global, ServiceArgs};
use crate::config::{AuthMode, Config, TokenConfig};
use crate::failure::{Code, Failure};
use crate::signals;

/// Runs `ingest` until a signal.
pub(crate) fn run(global: &Global, args: &ServiceArgs) -> Result<(), Failure> {
    let loaded = load_config(global)?;
    loaded.check_for_ingest()?;
    let config = service_config(&loaded.config);
    runtime()?.block_on(async {
        let shutdown = signals::shutdown_token()?;
        if args.stop_with_parent {
            signals::follow_parent(&shutdown);
        }
        Ok(ingest::run(config, Arc::new(SystemClock), shutdown).await?)
    })
}

fn service_config(config: &Config) -> ingest::Config {
    let auth = match config.ingest.auth {
        AuthMode::None => ingest::Auth::None,
        AuthMode::Tokens => ingest::Auth::Tokens(config.tokens.iter().map(token).collect()),
    };
    ingest::Config {
        data_dir: config.data_dir.clone(),
        listen: config.ingest.listen,
        ops_listen: config.ingest.ops_listen,
        auth,
        max_event_bytes: config.ingest.max_event_bytes.as_usize(),
        max_request_bytes: config.ingest.max_request_bytes.as_usize(),
        max_destinations_per_minute: config.ingest.max_destinations_per_minute,
        interval: config.log.interval,
        max_log_bytes: config.log.max_bytes.get(),
    }
}

fn token(token: &TokenConfig) -> ingest::Token {
    ingest::Token {
        name: token.name.as_str().to_owned(),
        hash: token.hash.digest(),
        allow: token.allow.iter().map(|pattern| pattern.get().clone()).collect(),
    }
}

impl From<ingest::Error> for Failure {
    fn from(error: ingest::Error) -> Self {
        let code = match &error {
            ingest::Error::Bind { .. } => Code::Unavailable,
            ingest::Error::Disk { .. } => Code::Io,
            ingest::Error::Log(error) => return Self::log("ingest", error),
        };
        Self::new(code, format!("ingest: {error}"))
    }
}
