//! How a command fails: one exit code and one line for people.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::process::ExitCode;

/// The exit codes of `sysexits.h` that minutelog uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// The command line is wrong (`EX_USAGE`).
    Usage = 64,
    /// Data on disk or in S3 is damaged or of a format that is not known (`EX_DATAERR`).
    Data = 65,
    /// A service or something that it needs is not there (`EX_UNAVAILABLE`).
    Unavailable = 69,
    /// A defect of minutelog (`EX_SOFTWARE`).
    Internal = 70,
    /// Reading or writing failed (`EX_IOERR`).
    Io = 74,
    /// Something is still to be done; the same command can succeed later (`EX_TEMPFAIL`).
    TryAgain = 75,
    /// The configuration is refused (`EX_CONFIG`).
    Config = 78,
}

impl From<&wal::Error> for Code {
    fn from(error: &wal::Error) -> Self {
        match error {
            wal::Error::Io { .. } | wal::Error::Database { .. } | wal::Error::Stopped { .. } => {
                Self::Io
            }
            wal::Error::Damaged { .. } | wal::Error::Format { .. } => Self::Data,
            wal::Error::Busy { .. } => Self::TryAgain,
            wal::Error::Control { .. } => Self::Unavailable,
        }
    }
}

/// What to do about an error of the log; `None` where its message says so itself.
fn advice(error: &wal::Error) -> Option<&'static str> {
    match error {
        wal::Error::Io { source, .. } => Some(io_advice(source)),
        wal::Error::Database { .. } | wal::Error::Stopped { .. } => Some(CHECK_DIRECTORY),
        wal::Error::Damaged { path, .. } => Some(match path.file_name().and_then(OsStr::to_str) {
            Some(wal::FORMAT_FILE) => {
                "what lies there is not the log's: put the file back, with its one line `minutelog 3`"
            }
            Some(wal::FLUSHER_LOCK_FILE) => {
                "what lies there is not the log's: move it away, the file is made anew"
            }
            _ => "see `minutelog admin verify` for what is damaged",
        }),
        wal::Error::Busy { .. } => Some("stop the other process, or try again in a moment"),
        wal::Error::Control { .. } => Some("look at the service's log, and try again"),
        wal::Error::Format { .. } => None,
    }
}

const CHECK_DIRECTORY: &str =
    "check that the data directory is the right one, and that this user may read and write it";

fn io_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => {
            "mount what belongs there or make it, or set another data_dir; the data directory itself is made at the first start, the one above it is not"
        }
        ErrorKind::NotADirectory => {
            "data_dir has to name a directory: set another one, or move the file away"
        }
        ErrorKind::PermissionDenied => {
            "run it as the user that the data directory belongs to, or let this user read and write it"
        }
        ErrorKind::ReadOnlyFilesystem => {
            "mount the file system for writing, or set another data_dir"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on the file system",
        _ => CHECK_DIRECTORY,
    }
}

/// Why a command ends with another exit code than 0.
///
/// The message has the form `what happened: why: what to do`; `main` puts `error: ` before it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    code: Code,
    message: String,
}

impl Failure {
    /// A failure from its code and its message.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A failure to read or write; `what` names the thing, `fix` says what to do.
    pub(crate) fn io(what: &str, error: &io::Error, fix: &str) -> Self {
        Self::new(Code::Io, format!("{what}: {error}: {fix}"))
    }

    /// A failure of the log, met by `who`, with what to do about it.
    pub(crate) fn log(who: &str, error: &wal::Error) -> Self {
        let advice = advice(error).map(|advice| format!(": {advice}")).unwrap_or_default();
        Self::new(Code::from(error), format!("{who}: {error}{advice}"))
    }

    /// What the process exits with.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code as u8)
    }
}
