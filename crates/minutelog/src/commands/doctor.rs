//! `minutelog admin doctor`: what the configuration says of this machine and of its buckets.

use std::sync::Arc;
use std::time::Duration;

use admin::{Certificate, DoctorPlan, Listener, Machine, Streams};
use ingest::{TlsError, Validity};
use model::SystemClock;

use super::admin::Stop;
use super::token::random_hex;
use super::{runtime, s3};
use crate::args::admin::DoctorArgs;
use crate::config::{AllowPattern, AuthMode, Config};

/// How long one question to a bucket may take: somebody waits for the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `admin doctor`.
pub(super) fn run(
    config: &Config,
    args: DoctorArgs,
    screen: &mut admin::Screen<'_>,
) -> Result<(), Stop> {
    let plan = plan(config, args, random_hex::<16>()?);
    runtime()?.block_on(async {
        let limits = store::Limits { read: PATIENCE, ..store::Limits::default() };
        let store = s3::connect_within(config, limits).await?;
        Ok(admin::doctor(plan, &store, Arc::new(SystemClock), screen).await?)
    })
}

fn plan(config: &Config, args: DoctorArgs, nonce: String) -> DoctorPlan {
    let of_tokens = config.tokens.iter().flat_map(|token| &token.allow);
    let of_streams = config.streams.iter().map(|stream| stream.bucket.clone());
    let configured = config.buckets.iter().map(|bucket| bucket.name.clone());
    DoctorPlan {
        machine: machine(config),
        buckets: configured
            .chain(of_streams)
            .chain(of_tokens.filter_map(AllowPattern::bucket))
            .collect(),
        only: args.bucket,
        prefix: args.prefix,
        write: args.write,
        nonce,
    }
}

fn machine(config: &Config) -> Machine {
    let listener = |key, address| Listener { key, address };
    Machine {
        data_dir: config.data_dir.clone(),
        max_bytes: config.log.max_bytes.get(),
        clients: listener("ingest.listen", config.ingest.listen),
        ops: vec![
            listener("ingest.ops_listen", config.ingest.ops_listen),
            listener("flusher.ops_listen", config.flusher.ops_listen),
        ],
        certificate: config.ingest.tls.validity().map(certificate),
        tokens: match config.ingest.auth {
            AuthMode::Tokens => Some(config.tokens.len()),
            AuthMode::None => None,
        },
        streams: Streams {
            streams: config.streams.len(),
            access_keys: config.access_keys.len(),
            warnings: config.stream_warnings(),
        },
    }
}

/// What ingest would make of its TLS files.
fn certificate(found: Result<Validity, TlsError>) -> Certificate {
    match found {
        Ok(Validity { not_before, not_after }) => Certificate::Usable { not_before, not_after },
        Err(error) => {
            let message = error.to_string();
            let (why, advice) = message.rsplit_once(": ").unwrap_or((&message, ""));
            Certificate::Unusable { why: why.to_owned(), advice: advice.to_owned() }
        }
    }
}
