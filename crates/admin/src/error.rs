//! How a command of `admin` ends other than well.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use wal::inspect::Damaged;

use crate::human;

/// An error of a report or a repair, split by the exit code that it stands for. The messages say
/// what happened, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data directory cannot be read, or a service does not answer as it should.
    #[error(transparent)]
    Log(#[from] wal::Error),
    /// The report cannot be written.
    #[error("standard output: {0}: look where it leads to")]
    Output(#[from] io::Error),
    /// Damage was found.
    ///
    /// Told once the rest is printed.
    #[error(
        "log: {count} {} damaged, {}: nothing of it is deleted: keep the data directory, restore \
         what you can from its disk or a copy of it",
        if *count == 1 { "thing is" } else { "things are" },
        lost(*missing, *and_more)
    )]
    Damaged {
        /// How many files and directories.
        count: usize,
        /// How many events are missing, as far as that is known.
        missing: u64,
        /// Whether there is damage of which nobody knows how many events it has cost.
        and_more: bool,
    },
    /// Not everything could be looked at.
    #[error("log: {0} things could not be looked at: they are named above: run it again")]
    NotLookedAt(usize),
    /// Something is still to be delivered.
    #[error("log: {0}: see `minutelog admin log` for what and why, then run it again")]
    Undelivered(String),
    /// Delivered objects are not what was delivered, or not there.
    #[error(
        "S3: {}, {} missing: they are named above: see who else may write to the bucket, and its \
         lifecycle rules; a version or a copy of the bucket may still have them",
        human::count(*differing, "object") + if *differing == 1 { " differs" } else { " differ" },
        missing
    )]
    Differ {
        /// How many are others.
        differing: u64,
        /// How many are not there.
        missing: u64,
    },
    /// The bucket of delivered objects does not exist.
    #[error(
        "S3: {} could not be checked: {which}: see that the endpoint is the right one, and who may \
         have removed the bucket",
        human::count(*receipts, "receipt")
    )]
    NoBucket {
        /// How many receipts tell of its objects.
        receipts: u64,
        /// Which bucket it is.
        which: String,
    },
    /// Objects that were to be delivered again are not kept.
    #[error(
        "log: {} of what was delivered then can't be found any more: flusher.keep_delivered says how \
         long sealed bytes are kept; the objects themselves may still be in S3",
        human::count(*.0, "object")
    )]
    Gone(u64),
    /// Objects could not be delivered again.
    #[error(
        "S3: {} could not be delivered again: what happened is told above: run it again, what was \
         delivered is not sent twice",
        human::count(*.0, "object")
    )]
    NotReplayed(u64),
    /// Delivered objects may not be read.
    #[error(
        "S3: {} cannot be compared: reading needs credentials that S3 takes, and s3:GetObject, which \
         delivery does without: grant it, or run this where it is granted",
        human::count(*.0, "object")
    )]
    Unreadable(u64),
    /// Delivered objects could not be read this time.
    #[error(
        "S3: {} could not be read: what happened is told above: run it again",
        human::count(*.0, "object")
    )]
    NotCompared(u64),
    /// Checks of the configuration or of this machine have failed.
    #[error("doctor: {} of this machine failed: mend what is told above", human::count(*.0, "check"))]
    Misconfigured(u64),
    /// A bucket cannot be delivered to.
    #[error("doctor: {} cannot be delivered to: mend what is told above", human::count(*.0, "bucket"))]
    Unusable(u64),
    /// The page of the inspector cannot be served at its address.
    #[error("inspector: {address}: {source}: choose another address with --listen")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// Who is not on this machine would see everything.
    #[error(
        "inspector: {0} is not on loopback: the page shows every payload: give a file with a token of \
         16 characters at least with --token-file"
    )]
    Open(SocketAddr),
    /// A token that could be guessed.
    #[error(
        "inspector: the token in the file is too short: put one of 16 characters at least into it, \
         made by `openssl rand -hex 32` for example"
    )]
    ShortToken,
    /// What reads for the screen has died.
    #[error("top: the thread that reads the data directory has ended: report this defect")]
    ReaderEnded,
    /// There is no such data directory.
    #[error(
        "data directory {}: does not exist: check data_dir, --config and --data-dir", .0.display()
    )]
    NoDataDir(PathBuf),
    /// A task of the program's own has died.
    #[error("internal: {0}: report this defect")]
    Internal(#[from] tokio::task::JoinError),
}

/// A result with the error of `admin`.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The error that stands for this damage.
    pub(crate) fn damaged(damaged: &[Damaged]) -> Self {
        Self::Damaged {
            count: damaged.len(),
            missing: damaged.iter().filter_map(|damaged| damaged.missing).sum(),
            and_more: damaged.iter().any(|damaged| damaged.missing.is_none()),
        }
    }
}

fn lost(missing: u64, and_more: bool) -> String {
    match (missing, and_more) {
        (0, true) => "an unknown number of events missing".to_owned(),
        (_, true) => {
            format!("{} and an unknown number more missing", human::count(missing, "event"))
        }
        (_, false) => format!("{} missing", human::count(missing, "event")),
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Output(error.into())
    }
}
