//! What the service wants to know.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use model::{Digest, Interval};

use crate::allow::AllowPattern;
use crate::stream::{Stream, StreamPattern};
use crate::tls::TlsFiles;

/// The configuration of the service. Whoever fills it has checked it; nothing is corrected here.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the log lies.
    pub data_dir: PathBuf,
    /// The address for clients.
    pub listen: SocketAddr,
    /// The address for health checks and metrics.
    pub ops_listen: SocketAddr,
    /// TLS for clients; without it they are served in the clear.
    pub tls: Option<TlsFiles>,
    /// What holds until other rules come.
    pub rules: Rules,
    /// How many connections of clients may be open at a time; at least 1.
    pub max_connections: usize,
    /// The largest body of one request in bytes, after decompression.
    pub max_request_bytes: usize,
    /// How many destinations one minute may have.
    pub max_destinations_per_minute: u32,
    /// How long a key of a request or an id of an event is remembered, as far as memory goes.
    pub idempotency_window: Duration,
    /// The length of a minute.
    pub interval: Interval,
    /// How many bytes the log may take on disk, all states together.
    pub max_log_bytes: u64,
    /// After so many bytes of payloads a minute goes on in another run.
    pub run_bytes: u64,
}

/// Who may send what, where to. The part of the configuration that a running service takes up anew.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Who may send.
    pub auth: Auth,
    /// What senders of Firehose's records may name, each name once.
    pub streams: Vec<Stream>,
    /// Who may send to streams, each id once; nobody is asked for one with [`Auth::None`].
    pub access_keys: Vec<AccessKey>,
    /// What one connection may do in a minute.
    pub connection_limits: RateLimits,
    /// The largest payload of one event in bytes, as it would be stored. No more than
    /// [`Config::max_request_bytes`].
    pub max_event_bytes: usize,
}

/// What a running service is told of its configuration.
#[derive(Debug)]
pub enum Change {
    /// Other rules hold from now on.
    Rules(Box<Rules>),
    /// A configuration was read that can't be used; all stays as it is.
    Refused,
}

/// Who may send.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Everybody who reaches the listener.
    None,
    /// Whoever presents one of these tokens.
    Tokens(Vec<Token>),
}

/// What one connection, or all senders with one token, may do in 60 s. `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// Requests of any kind.
    pub requests_per_minute: Option<u32>,
    /// Bytes of bodies after decompression.
    pub bytes_per_minute: Option<u64>,
    /// Different destinations.
    pub destinations_per_minute: Option<u32>,
}

/// A token that clients may present, known by its hash alone.
#[derive(Clone)]
pub struct Token {
    /// What people call it.
    pub name: String,
    /// The BLAKE3 digest of the token's text.
    pub hash: Digest,
    /// The destinations that it reaches.
    pub allow: Vec<AllowPattern>,
    /// What all that present it may do in a minute, together.
    pub limits: RateLimits,
}

/// An access key, with which senders of Firehose's records sign.
#[derive(Clone)]
pub struct AccessKey {
    /// What it is known by.
    pub id: String,
    /// What its holder signs with.
    pub secret: String,
    /// The streams that it reaches.
    pub allow: Vec<StreamPattern>,
    /// What all that sign with it may do in a minute, together.
    pub limits: RateLimits,
}

/// Without the secret.
impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, secret: _, allow, limits } = self;
        f.debug_struct("AccessKey")
            .field("id", id)
            .field("allow", allow)
            .field("limits", limits)
            .finish_non_exhaustive()
    }
}

/// Without the hash.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, hash: _, allow, limits } = self;
        f.debug_struct("Token")
            .field("name", name)
            .field("allow", allow)
            .field("limits", limits)
            .finish_non_exhaustive()
    }
}
