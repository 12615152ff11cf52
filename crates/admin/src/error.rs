//! How a command of `admin` ends other than well.

use std::io;

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
    /// A verification has found damage.
    #[error(
        "log: {count} {} damaged, {missing} events missing as far as is known: nothing of it is \
         deleted: keep the data directory, restore what you can from its disk or a copy of it",
        if *count == 1 { "thing is" } else { "things are" }
    )]
    Damaged {
        /// How many files and directories.
        count: usize,
        /// How many events.
        missing: u64,
    },
    /// A verification could not look at everything.
    #[error("log: {0} things could not be looked at: they are named above: run it again")]
    NotLookedAt(usize),
    /// Something is still to be delivered.
    #[error("log: {0}: see `minutelog admin log` for what and why, then run it again")]
    Undelivered(String),
    /// A task of the program's own has died.
    #[error("internal: {0}: report this defect")]
    Internal(#[from] tokio::task::JoinError),
}

/// A result with the error of `admin`.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Output(error.into())
    }
}
