//! Why a flusher ends.

use std::net::SocketAddr;
use std::path::PathBuf;

/// An error that ends the flusher. What goes wrong with an object or a destination does not: that
/// is tried again, parked or quarantined.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another flusher works on the data directory.
    #[error("{}: another flusher works on this data directory: stop it first", .0.display())]
    SecondFlusher(PathBuf),
    /// The ops page's address can't be had.
    #[error("{address}: cannot listen: {source}: choose another flusher.ops_listen")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The data directory can't be read or written.
    #[error(transparent)]
    Log(#[from] wal::Error),
    /// A task of the flusher's own has died.
    #[error("internal: {0}")]
    Internal(String),
}

impl From<tokio::task::JoinError> for Error {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Internal(error.to_string())
    }
}
