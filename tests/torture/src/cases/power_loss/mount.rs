//! A disk as a mounted file system, and the end of it, however the case ends.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use fuser::{BackgroundSession, Config, MountOption, Session};
use tempfile::TempDir;

use super::device::{Device, FILE};
use super::disk::{BLOCK_BYTES, Blocks, Disk};
use super::image::SECTOR_BYTES;

/// How directories begin under which such file systems are mounted; the process id follows.
const PREFIX: &str = "minutelog-power-";

/// A place for mounts.
pub(crate) fn place() -> TempDir {
    let prefix = format!("{PREFIX}{}-", std::process::id());
    TempDir::with_prefix(prefix).expect("a temporary directory")
}

/// What `e2fsck` says where blocks of a file are gone that had been synced, or where a name leads to
/// an inode that was another's before (`e2fsck/problem.c`, passes 1 and 2).
const LOST: [&str; 5] =
    ["extent", "illegal block", "multiply-claimed", "incorrect filetype", "is a link to directory"];

/// How ext4 comes back after a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Journal {
    /// By its journal. Whatever is synced, all that was done before goes with it, names as well.
    Kept,
    /// By `e2fsck`: nothing is there but what was synced by its own name, and what chance wrote.
    /// It shows what relies on other files' syncs.
    None,
}

impl Journal {
    /// The smallest piece of a write that may be there without the rest, in bytes. Half a block of
    /// inodes is more than `e2fsck` can mend; the journal writes it anew.
    pub(crate) fn piece_bytes(self) -> usize {
        match self {
            Self::Kept => SECTOR_BYTES,
            Self::None => BLOCK_BYTES,
        }
    }
}

/// An empty ext4 file system of this size.
pub(crate) fn format(journal: Journal, size_bytes: usize) -> Blocks {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.as_file().set_len(size_bytes as u64).expect("it is sparse");
    let mut command = Command::new("mkfs.ext4");
    // Whatever is not written now would be written later, beside what counts.
    command.args(["-q", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"]);
    if journal == Journal::None {
        command.args(["-O", "^has_journal"]);
    }
    done(command.arg(file.path())).unwrap_or_else(|error| panic!("mkfs.ext4: {error}"));
    let bytes = fs::read(file.path()).expect("it was just written");
    let mut blocks = Blocks::zeros(bytes.len());
    for (number, block) in bytes.chunks(BLOCK_BYTES).enumerate() {
        if block.iter().any(|byte| *byte != 0) {
            blocks.write(number * BLOCK_BYTES, block);
        }
    }
    blocks
}

/// Why a disk could not be mounted.
#[derive(Debug)]
pub(crate) enum NotMounted {
    /// Without its journal ext4 has lost what it had synced, and `e2fsck` says so: it changes a
    /// directory and an inode, or the tree of a file's extents, in several writes, of which a cut
    /// takes some.
    BeyondRepair(String),
    /// Something that must not be.
    Failed(io::Error),
}

impl From<io::Error> for NotMounted {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// A file system that is mounted. Dropping it unmounts it.
#[derive(Debug)]
pub(crate) struct Mounted {
    device: PathBuf,
    root: PathBuf,
    session: Option<BackgroundSession>,
    /// What `e2fsck` said of it; empty where nobody asked.
    mended: String,
}

impl Mounted {
    /// Mounts the file system on `disk`, mended if need be, in a directory of `place` that has this
    /// name.
    pub(crate) fn new(
        place: &Path,
        name: &str,
        journal: Journal,
        disk: &Arc<Disk>,
    ) -> Result<Self, NotMounted> {
        let (device, root) =
            (place.join(format!("{name}-device")), place.join(format!("{name}-root")));
        fs::create_dir_all(&device)?;
        fs::create_dir_all(&root)?;
        let mut config = Config::default();
        config.mount_options.push(MountOption::FSName("minutelog-power".to_owned()));
        let session = Session::new(Device(Arc::clone(disk)), &device, &config)?.spawn()?;
        let mut this = Self { device, root, session: Some(session), mended: String::new() };
        if journal == Journal::None {
            this.mended = mend(&this.device.join(FILE))?;
        }
        let mut mount = Command::new("mount");
        mount.args(["-t", "ext4", "-o", "loop"]).arg(this.device.join(FILE)).arg(&this.root);
        done(&mut mount)?;
        if journal == Journal::None
            && let Some(path) = find(&this.root, &["-type", "f", "-links", "+1"])?.lines().next()
        {
            // Nobody here gives a file a second name. One of the two is of a file that was removed, and
            // whose inode another one got: whoever writes by the one name overwrites the other's.
            return Err(NotMounted::BeyondRepair(format!("{path} has the inode of another file")));
        }
        Ok(this)
    }

    /// What `e2fsck` said before it was mounted.
    pub(crate) fn mended(&self) -> &str {
        &self.mended
    }

    /// Where it is mounted.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        unmount(&self.root);
        unmount(&self.device);
        // Without a mount the session ends by itself; one that is still used may never.
        if let Some(session) = self.session.take()
            && !is_mounted(&self.root)
            && let Err(error) = session.join()
        {
            eprintln!("{}: {error}", self.device.display());
        }
    }
}

/// As a machine does in its start, and a person where it asks. Returns the report.
fn mend(device: &Path) -> Result<String, NotMounted> {
    /// `e2fsck(8)`: file system errors were corrected.
    const CORRECTED: i32 = 1;
    let output = Command::new("e2fsck").args(["-f", "-y"]).arg(device).output()?;
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    // A tree of extents that "could be narrower" is whole.
    let is_lost =
        |line: &&str| LOST.iter().any(|words| line.contains(words)) && !line.contains("could be");
    if let Some(line) = report.lines().find(is_lost) {
        return Err(NotMounted::BeyondRepair(line.to_owned()));
    }
    match output.status.code() {
        Some(0 | CORRECTED) => Ok(report),
        _ => Err(NotMounted::Failed(io::Error::other(report))),
    }
}

/// Unmounts what is mounted there, now or as soon as nobody uses it any more. With it the loop
/// device goes, which `mount` made for it.
fn unmount(point: &Path) {
    if is_mounted(point) && done(Command::new("umount").arg(point)).is_err() {
        let lazily = done(Command::new("umount").arg("--lazy").arg(point));
        if let Err(error) = lazily {
            eprintln!("{}: {error}", point.display());
        }
    }
}

fn is_mounted(point: &Path) -> bool {
    mounts().iter().any(|mounted| mounted == point)
}

/// All mount points, the latest first.
fn mounts() -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    table.lines().rev().filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from).collect()
}

/// Unmounts and removes what a case left behind that was killed.
pub(crate) fn remove_stale() {
    let of_dead = |place: &Path| {
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let rest = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        rest.is_some_and(|id| !Path::new("/proc").join(id).exists())
    };
    for point in mounts() {
        if point.ancestors().any(of_dead) {
            eprintln!("unmounting {}, which an earlier run left behind", point.display());
            unmount(&point);
        }
    }
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        if of_dead(&entry.path())
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            eprintln!("{}: {error}", entry.path().display());
        }
    }
}

/// What `find` prints of all that is below a directory.
pub(crate) fn find(root: &Path, args: &[&str]) -> io::Result<String> {
    done(Command::new("find").arg(root).args(args))
}

/// Runs a command, and returns what it printed; an error has what it said.
fn done(command: &mut Command) -> io::Result<String> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
