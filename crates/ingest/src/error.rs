//! Why the service ended.

use std::io;
use std::net::SocketAddr;

use crate::tls::TlsError;

/// An error of the service, split by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address can't be listened on. Another service has it, or it is not this machine's: the
    /// caller says so and ends (69 by sysexits).
    #[error("{setting}: can't listen on {address}: {source}: free the address or set another one")]
    Bind {
        /// The key of the configuration.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// TLS can't be had with the files of the configuration (78).
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The log stopped for good after a disk error (74). Nothing acknowledged is lost; a new
    /// process begins a new run.
    #[error("the log has stopped: {reason}: mend the disk and start the service again")]
    Disk {
        /// What the disk said.
        reason: String,
    },
    /// The log could not be opened or closed: a foreign format (65), or the file system (74).
    #[error("the log: {0}")]
    Log(#[from] wal::Error),
}
