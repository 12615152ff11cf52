//! Opening what must be a file.
//!
//! Damage can leave anything under a file's name. A link, a pipe or a directory is never followed,
//! waited for or read: it is damage.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::error::{Error, Result};

/// Opens a file for reading. What is there and is no file is [`Error::Damaged`].
pub fn open_file(path: &Path) -> Result<File> {
    open(path, OpenOptions::new().read(true))
}

/// The same with other options.
pub(crate) fn open(path: &Path, options: &mut OpenOptions) -> Result<File> {
    // Without `NONBLOCK` a pipe would be waited for until somebody opens its other end.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).expect("flags are an int of C");
    let file = options.custom_flags(flags).open(path).map_err(|error| refused(path, error))?;
    if file.metadata().map_err(Error::io(path))?.is_file() { Ok(file) } else { Err(no_file(path)) }
}

/// Whether a path leads to something that is no file; nothing at all is no damage by itself.
pub(crate) fn is_no_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_file())
}

/// Whether there is anything of this name, be it a link that leads nowhere.
pub fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn refused(path: &Path, error: io::Error) -> Error {
    let of_kind = [Errno::LOOP, Errno::NXIO, Errno::NOTDIR, Errno::ISDIR, Errno::NODEV];
    let is_of_kind = |errno: &Errno| error.raw_os_error() == Some(errno.raw_os_error());
    if of_kind.iter().any(is_of_kind) { no_file(path) } else { Error::io(path)(error) }
}

fn no_file(path: &Path) -> Error {
    Error::damaged(path, "is no file")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::os::unix::fs::symlink;

    #[test]
    fn what_is_no_file_is_damage_and_never_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("file"), "text").unwrap();
        symlink(path("file"), path("link")).unwrap();
        symlink(path("nowhere"), path("dangling")).unwrap();
        mknodat(CWD, path("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert!(open_file(&path("file")).is_ok());
        assert!(open_file(&path("nothing")).unwrap_err().is_not_found());
        for name in ["link", "dangling", "pipe", "", "file/below"] {
            for options in [OpenOptions::new().read(true), OpenOptions::new().write(true)] {
                let error = open(&path(name), options).unwrap_err();
                assert!(matches!(error, Error::Damaged { .. }), "{name}: {error}");
            }
            assert_eq!(is_there(&path(name)), name != "file/below", "{name}");
        }
    }
}
