//! Where a data directory may be, and who may look into it.

use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{Access, access};
use rustix::io::Errno;

use crate::durable::{self, DIR_MODE};
use crate::error::{Error, Result};
use crate::layout::{DataDir, FORMAT_FILE, Stage};

impl DataDir {
    /// Refuses what no service can work on, and changes nothing: a file, a directory of another
    /// format, or one that this process may not write. One that is not there is made at the first
    /// start; the directory above it is not, as it may be a file system that is not mounted.
    pub fn examine(&self) -> Result<()> {
        match fs::metadata(self.root()) {
            Ok(metadata) if metadata.is_dir() => {
                let wanted = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
                self.check_format()?;
                access(self.root(), wanted).map_err(|errno| Error::io(self.root())(errno.into()))
            }
            Ok(_) => Err(Error::io(self.root())(Errno::NOTDIR.into())),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let above = self.root().parent().filter(|above| !above.as_os_str().is_empty());
                above
                    .map_or(Ok(()), |above| fs::metadata(above).map(drop).map_err(Error::io(above)))
            }
            Err(error) => Err(Error::io(self.root())(error)),
        }
    }

    /// Closes the data directory to others where nothing but a log lies in it; where something else
    /// does, says so if others can look into it.
    pub(crate) fn close_to_others(&self) -> Result<()> {
        let root = self.root();
        for entry in fs::read_dir(root).map_err(Error::io(root))? {
            let name = entry.map_err(Error::io(root))?.file_name();
            if self.is_of_a_log(&name.to_string_lossy()) {
                continue;
            }
            let mode = fs::metadata(root).map_err(Error::io(root))?.permissions().mode() & 0o7777;
            if mode & 0o077 != 0 {
                tracing::warn!(
                    dir = %root.display(), mode = format!("{mode:o}"), beside = ?name,
                    "others can look into this directory, and it is not the log's alone: its mode \
                     was left as it is"
                );
            }
            return Ok(());
        }
        tighten(root)
    }

    /// Whether something of this name in the data directory is the log's own, or the file system's.
    fn is_of_a_log(&self, name: &str) -> bool {
        const OF_THE_FILE_SYSTEM: &str = "lost+found";
        let dirs = [self.open_dir(), self.sealing_dir(), self.quarantine_dir()].into_iter();
        let mut dirs = dirs.chain(Stage::ALL.map(|stage| self.stage_dir(stage)));
        dirs.any(|dir| dir == self.root().join(name))
            || self.flusher_lock() == self.root().join(name)
            // Being written, too.
            || name.starts_with(FORMAT_FILE)
            || Path::new(name).extension().is_some_and(|extension| extension == "sock")
            || name == OF_THE_FILE_SYSTEM
    }
}

/// Makes a directory; its name is durable. One that is there already, or that the other service makes
/// at the same time, is as good.
pub(crate) fn make_dir(dir: &Path) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    // Recursive, so that it is no error to find it there.
    DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir).map_err(Error::io(dir))?;
    durable::sync_parent(dir)
}

/// Takes the permissions of everybody but the owner away from a directory.
pub(crate) fn tighten(dir: &Path) -> Result<()> {
    let mode = fs::metadata(dir).map_err(Error::io(dir))?.permissions().mode() & 0o7777;
    let tight = mode & !0o077;
    if mode == tight {
        return Ok(());
    }
    match fs::set_permissions(dir, Permissions::from_mode(tight)) {
        Ok(()) => tracing::warn!(
            dir = %dir.display(), from = format!("{mode:o}"), to = format!("{tight:o}"),
            "others could look into this directory: its mode was changed"
        ),
        // Whose it is decides. What is in it has modes of its own.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => tracing::warn!(
            dir = %dir.display(), mode = format!("{mode:o}"),
            "others can look into this directory, and its mode is not ours to change"
        ),
        Err(error) => return Err(Error::io(dir)(error)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn widen(path: &Path) {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_directory_of_ours_is_closed_to_others_and_no_other_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("data");
        fs::create_dir(&root).unwrap();
        widen(&root);
        let data = DataDir::create(&root).unwrap();
        assert_eq!(mode(&root), 0o700);
        widen(&root);
        widen(&data.open_dir());
        DataDir::create(&root).unwrap();
        assert_eq!((mode(&root), mode(&data.open_dir())), (0o700, 0o700));

        let shared = dir.path().join("shared");
        fs::create_dir(&shared).unwrap();
        fs::write(shared.join("somebody's"), "").unwrap();
        widen(&shared);
        // Not at the first start, and at no other.
        for _ in 0..2 {
            let data = DataDir::create(&shared).unwrap();
            assert_eq!((mode(&shared), mode(&data.open_dir())), (0o755, 0o700));
        }
    }

    #[test]
    fn what_no_service_can_work_on_is_refused_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let kind = |path: &Path| match DataDir::create(path).unwrap_err() {
            Error::Io { source, .. } => source.kind(),
            other => panic!("{other}"),
        };
        let file = dir.path().join("file");
        fs::write(&file, "text").unwrap();
        assert_eq!(kind(&file), ErrorKind::NotADirectory);
        assert_eq!(kind(&file.join("below")), ErrorKind::NotADirectory);
        assert_eq!(kind(&dir.path().join("not/there")), ErrorKind::NotFound);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

        for version in ["minutelog 2\n", "minutelog 5\n", ""] {
            let other = tempfile::tempdir().unwrap();
            fs::write(other.path().join(FORMAT_FILE), version).unwrap();
            let error = DataDir::create(other.path()).unwrap_err();
            assert!(matches!(error, Error::Format { .. }), "{error}");
            assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1, "it was written to");
        }
    }
}
