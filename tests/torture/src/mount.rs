//! Small file systems of their own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A mounted file system. It is unmounted when it is dropped.
#[derive(Debug)]
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    /// A new ext4 of so many bytes, in a file below `work`, mounted at `work/NAME`.
    pub(crate) fn ext4(work: &Path, name: &str, bytes: u64) -> Self {
        let (image, at) = (work.join(format!("{name}.ext4")), work.join(name));
        let file = File::create(&image).expect("the disk takes it");
        file.set_len(bytes).expect("the disk takes it");
        drop(file);
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image));
        fs::create_dir(&at).expect("the disk takes it");
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at));
        Self(at)
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Forbids writing, or allows it again.
    pub(crate) fn read_only(&self, read_only: bool) {
        let option = if read_only { "remount,ro" } else { "remount,rw" };
        run(Command::new("mount").args(["-o", option]).arg(&self.0));
    }

    /// How many bytes are left.
    pub(crate) fn free_bytes(&self) -> u64 {
        let statvfs = rustix::fs::statvfs(&self.0).expect("it is mounted");
        statvfs.f_bavail * statvfs.f_frsize
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A process that has just been killed may still hold it for a moment.
        for options in [&[][..], &["-l"]] {
            let mut command = Command::new("umount");
            command.args(options).arg(&self.0).stderr(Stdio::null());
            if command.status().is_ok_and(|status| status.success()) {
                return;
            }
        }
    }
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("the command can be run");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
}
