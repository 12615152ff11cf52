//! What can go wrong with the log.

use std::io;
use std::path::{Path, PathBuf};

/// An error of the log, split by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused. Whoever writes stops for good; whoever reads tells the person.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// sled refused. Treated as [`Error::Io`] by a writer, as damage by a reader.
    #[error("{}: sled: {message}", path.display())]
    Database {
        /// The directory of the database.
        path: PathBuf,
        /// What sled said.
        message: String,
    },
    /// Bytes on disk are not what was written. What holds them is quarantined.
    #[error("{}: damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Another process holds it. Try again later.
    #[error("{}: in use by another process", path.display())]
    Busy {
        /// The file that is locked.
        path: PathBuf,
    },
    /// The data directory was written by another version of the program.
    #[error(
        "{}: the data directory has the format `{found}`, this program writes format {expected}: \
         deliver it with the version that wrote it, then start this one", path.display()
    )]
    Format {
        /// The format file.
        path: PathBuf,
        /// What stands in it.
        found: String,
        /// What this program writes.
        expected: u32,
    },
    /// The writer has stopped for good after an error of the disk.
    #[error("the log has stopped: {message}")]
    Stopped {
        /// What failed.
        message: String,
    },
    /// A service's control socket does not answer as it should.
    #[error("{}: {message}", path.display())]
    Control {
        /// The socket.
        path: PathBuf,
        /// What went wrong.
        message: String,
    },
}

/// A result with the log's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Names the file in an error of the operating system.
    pub fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    /// What the operating system said stays what it is: no descriptors or no room is no damage.
    pub(crate) fn sled(path: &Path) -> impl FnOnce(sled::Error) -> Self + '_ {
        move |error| match error {
            sled::Error::Io(source) if source.raw_os_error().is_some() => Self::io(path)(source),
            error => Self::Database { path: path.to_owned(), message: error.to_string() },
        }
    }

    pub(crate) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.into() }
    }

    /// Whether somebody else holds it.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }

    /// Whether the thing was there already.
    pub(crate) fn is_already_there(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists)
    }

    /// Whether the thing was simply not there: somebody else moved it on in the meantime.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}
