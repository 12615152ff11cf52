//! What the flusher is told.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use store::Store;

/// How a flusher works.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data directory that it shares with ingest.
    pub data_dir: PathBuf,
    /// Where `/healthz`, `/readyz` and `/metrics` are served.
    pub ops_listen: SocketAddr,
    /// How hard to compress.
    pub gzip_level: GzipLevel,
    /// How many objects are uploaded at a time.
    pub upload_concurrency: usize,
    /// How long receipts are kept after the minute's last delivery. No shorter than
    /// `idempotency_window`: what a receipt does not tell any more is no repeat.
    pub receipt_retention: Duration,
    /// How long the sealed bytes of what is delivered are kept, to be delivered again by a person's
    /// command. No longer than `receipt_retention`, which says what they are.
    pub keep_delivered: Duration,
    /// How far apart two events of one identity are sent once only.
    pub idempotency_window: Duration,
}

/// What a running flusher is told of its configuration.
#[derive(Debug)]
pub enum Change {
    /// Uploads that begin from now on go by this store, and what failed is tried again at once.
    Store(Arc<dyn Store>),
    /// The configuration has nothing new for the store. What failed is tried again all the same: what
    /// a person has mended may be somewhere else.
    Retry,
    /// A configuration was read that can't be used; all stays as it is.
    Refused,
}

/// How hard to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GzipLevel {
    /// gzip's level, 1 to 9.
    Fixed(u32),
    /// 6 while the flusher keeps up, faster levels while it is behind.
    Auto,
}

/// Why a text is no level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a gzip level is a number from 1 to 9, or \"auto\"")]
pub struct GzipLevelError;

impl GzipLevel {
    /// The level for the next minute, or the next run of one, while `waiting` further ones are finished
    /// and not compressed.
    pub fn level(self, waiting: usize) -> u32 {
        match (self, waiting) {
            (Self::Fixed(level), _) => level,
            (Self::Auto, 0) => 6,
            (Self::Auto, 1) => 3,
            (Self::Auto, _) => 1,
        }
    }

    /// The level for what is left of a minute that is over, or is about to be, if its last run was
    /// compressed at another level than 6: it is waited for. Else it is `level`.
    pub(crate) fn level_of_the_rest(self, level: u32, before: Option<u32>) -> u32 {
        match (self, before) {
            (Self::Auto, Some(..6)) => 1,
            _ => level,
        }
    }
}

impl FromStr for GzipLevel {
    type Err = GzipLevelError;

    fn from_str(text: &str) -> Result<Self, GzipLevelError> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        match text.parse() {
            Ok(level @ 1..=9) => Ok(Self::Fixed(level)),
            _ => Err(GzipLevelError),
        }
    }
}

impl fmt::Display for GzipLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(level) => fmt::Display::fmt(level, f),
            Self::Auto => f.write_str("auto"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_gets_faster_the_further_it_is_behind() {
        assert_eq!([0, 1, 2, 60].map(|waiting| GzipLevel::Auto.level(waiting)), [6, 3, 1, 1]);
        assert_eq!([0, 60].map(|waiting| GzipLevel::Fixed(9).level(waiting)), [9, 9]);
    }

    #[test]
    fn levels_read_as_they_are_written() {
        for text in ["1", "9", "auto"] {
            assert_eq!(text.parse::<GzipLevel>().unwrap().to_string(), text);
        }
        for bad in ["0", "10", "", "fast", "-1"] {
            assert_eq!(bad.parse::<GzipLevel>(), Err(GzipLevelError), "{bad}");
        }
    }
}
