//! Whether there is a data directory at all: a path that is mistyped is no empty log.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::error::{Error, Result};

/// Refuses a path where no directory is, as [`Error::NoDataDir`] where nothing is.
pub(crate) fn check(data_dir: &Path) -> Result<()> {
    match fs::metadata(data_dir) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => {
            let error = io::Error::from(ErrorKind::NotADirectory);
            Err(wal::Error::io(data_dir)(error).into())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(Error::NoDataDir(data_dir.to_owned()))
        }
        Err(error) => Err(wal::Error::io(data_dir)(error).into()),
    }
}
