//! What the service wants to know.

use std::net::SocketAddr;
use std::path::PathBuf;

use model::{Digest, Interval};

use crate::allow::AllowPattern;

/// The configuration of the service. Whoever fills it has checked it; nothing is corrected here.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the log lies.
    pub data_dir: PathBuf,
    /// The address for clients.
    pub listen: SocketAddr,
    /// The address for health checks and metrics.
    pub ops_listen: SocketAddr,
    /// Who may send.
    pub auth: Auth,
    /// The largest payload of one event in bytes, as it would be stored.
    pub max_event_bytes: usize,
    /// The largest body of one request in bytes, after decompression.
    pub max_request_bytes: usize,
    /// How many destinations one minute may have.
    pub max_destinations_per_minute: u32,
    /// The length of a minute.
    pub interval: Interval,
    /// How many bytes the log may take on disk, all states together.
    pub max_log_bytes: u64,
}

/// Who may send.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Everybody who reaches the listener.
    None,
    /// Whoever presents one of these tokens.
    Tokens(Vec<Token>),
}

/// A token that clients may present, known by its hash alone.
#[derive(Clone, Debug)]
pub struct Token {
    /// What people call it.
    pub name: String,
    /// The BLAKE3 digest of the token's text.
    pub hash: Digest,
    /// The destinations that it reaches.
    pub allow: Vec<AllowPattern>,
}
