//! The configuration: one TOML file for all commands, as one typed tree.
//!
//! Every key has a default, and every key can be given as `MINUTELOG__SECTION__KEY` in the
//! environment. What is unknown, of a wrong type or impossible is refused with its place;
//! nothing is corrected.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod limits;
mod live;
mod load;
mod outside;
mod place;
mod plain;
mod redact;
mod rules;
mod s3;
mod stream;
mod tls;
mod token;
mod values;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

use model::Interval;
use serde::{Deserialize, Serialize};

pub(crate) use limits::{LimitsConfig, RateConfig};
pub(crate) use live::Live;
#[cfg(feature = "embedded")]
pub(crate) use load::variables;
pub(crate) use load::{Loaded, TakenUp, config_file, load};
pub(crate) use place::ConfigError;
pub(crate) use s3::{BucketConfig, S3Config};
pub(crate) use stream::{AccessKeyConfig, StreamConfig};
pub(crate) use tls::TlsConfig;
pub(crate) use token::{AllowPattern, TokenConfig, TokenHash, TokenName};
pub(crate) use values::{ByteCount, GzipLevel, LogLevel, Period};

/// All keys. As text (`Serialize`) it has its secrets redacted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The directory of the log; ingest and flusher share it. Default `/var/lib/minutelog`.
    pub(crate) data_dir: PathBuf,
    /// Which lines the services log, unless `--log-level` says so. Default `info`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log_level: Option<LogLevel>,
    /// `[log]`.
    pub(crate) log: LogConfig,
    /// `[ingest]`.
    pub(crate) ingest: IngestConfig,
    /// `[flusher]`.
    pub(crate) flusher: FlusherConfig,
    /// `[s3]`: what holds for every bucket that says nothing else.
    pub(crate) s3: S3Config,
    /// `[[bucket]]`: what differs for single buckets. Default none.
    #[serde(rename = "bucket", skip_serializing_if = "Vec::is_empty")]
    pub(crate) buckets: Vec<BucketConfig>,
    /// `[[token]]`: who may send, and where to. Default none.
    #[serde(rename = "token", skip_serializing_if = "Vec::is_empty")]
    pub(crate) tokens: Vec<TokenConfig>,
    /// `[[stream]]`: names that senders of Firehose's records know destinations by. Default none.
    #[serde(rename = "stream", skip_serializing_if = "Vec::is_empty")]
    pub(crate) streams: Vec<StreamConfig>,
    /// `[[access_key]]`: who may send to streams. Default none.
    #[serde(rename = "access_key", skip_serializing_if = "Vec::is_empty")]
    pub(crate) access_keys: Vec<AccessKeyConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("/var/lib/minutelog"),
            log_level: None,
            log: LogConfig::default(),
            ingest: IngestConfig::default(),
            flusher: FlusherConfig::default(),
            s3: S3Config::default(),
            buckets: Vec::new(),
            tokens: Vec::new(),
            streams: Vec::new(),
            access_keys: Vec::new(),
        }
    }
}

/// `[log]`: the log on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogConfig {
    /// The length of a minute. Default 60s.
    pub(crate) interval: Interval,
    /// Bytes on disk, all states together; at the limit ingest answers 503. At least 64MiB.
    /// Default 10GiB.
    pub(crate) max_bytes: ByteCount,
    /// After so many bytes of payloads ingest goes on in another run of the minute, so that the flusher
    /// may compress what is closed before the minute is over. At least 256KiB. Default 128MiB.
    pub(crate) run_bytes: ByteCount,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            interval: Interval::default(),
            max_bytes: ByteCount::from_gib(10),
            run_bytes: ByteCount::from_mib(128),
        }
    }
}

/// `[ingest]`: the service that takes events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct IngestConfig {
    /// Where clients send to. Default `127.0.0.1:9600`.
    #[serde(deserialize_with = "values::listener")]
    pub(crate) listen: SocketAddr,
    /// Where `/healthz`, `/readyz` and `/metrics` are. Default `127.0.0.1:9601`.
    #[serde(deserialize_with = "values::listener")]
    pub(crate) ops_listen: SocketAddr,
    /// `[ingest.tls]`: TLS for clients. Default none.
    #[serde(skip_serializing_if = "TlsConfig::is_none")]
    pub(crate) tls: TlsConfig,
    /// Who may send. Default `tokens`.
    pub(crate) auth: AuthMode,
    /// Allows `auth = "none"` where a listener is not on loopback. Default false.
    pub(crate) insecure: bool,
    /// The largest payload. Up to 16MiB; default 1MiB.
    pub(crate) max_event_bytes: ByteCount,
    /// The largest body of a request, after decompression. Default 16MiB.
    pub(crate) max_request_bytes: ByteCount,
    /// How many destinations one minute may have. Default 100,000.
    pub(crate) max_destinations_per_minute: u32,
    /// How long a repeat of a request or an event with a key is known as one. Default 15m.
    pub(crate) idempotency_window: Period,
    /// How many connections of clients may be open at a time, 1 to 1,000,000. Default 10,000.
    pub(crate) max_connections: u32,
    /// `[ingest.limits]`: what one connection and one token may do in a minute. Default none.
    #[serde(skip_serializing_if = "LimitsConfig::is_none")]
    pub(crate) limits: LimitsConfig,
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            listen: loopback(9600),
            ops_listen: loopback(9601),
            tls: TlsConfig::default(),
            auth: AuthMode::Tokens,
            insecure: false,
            max_event_bytes: ByteCount::from_mib(1),
            max_request_bytes: ByteCount::from_mib(16),
            max_destinations_per_minute: 100_000,
            idempotency_window: Period::from_minutes(15),
            max_connections: 10_000,
            limits: LimitsConfig::default(),
        }
    }
}

/// Who may send events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuthMode {
    /// Who has a token of a `[[token]]` block.
    Tokens,
    /// Everybody who reaches the listener.
    None,
}

/// `[flusher]`: the service that delivers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FlusherConfig {
    /// Where `/healthz`, `/readyz` and `/metrics` are. Default `127.0.0.1:9602`.
    #[serde(deserialize_with = "values::listener")]
    pub(crate) ops_listen: SocketAddr,
    /// 1 (fast) to 9 (small), or `auto`: 6 while it keeps up, faster while it is behind. Default 6.
    pub(crate) gzip_level: GzipLevel,
    /// How many objects are uploaded at a time, 1 to 1,024. Default 16.
    pub(crate) upload_concurrency: usize,
    /// How long receipts are kept after delivery. Default 7d.
    pub(crate) receipt_retention: Period,
    /// How long the sealed bytes of what is delivered are kept, for `admin replay`. Default 0s.
    pub(crate) keep_delivered: Period,
}

impl Default for FlusherConfig {
    fn default() -> Self {
        Self {
            ops_listen: loopback(9602),
            gzip_level: GzipLevel::default(),
            upload_concurrency: 16,
            receipt_retention: Period::from_days(7),
            keep_delivered: Period::from_days(0),
        }
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}
