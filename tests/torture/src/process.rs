//! What a process holds of the machine.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use tests::Service;

/// Resident memory and open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) resident_bytes: u64,
    pub(crate) open_files: u64,
}

impl Holding {
    /// What a service holds now; `None` where it has ended.
    pub(crate) fn of(service: &Service) -> Option<Self> {
        let resident_bytes = field(service.pid(), "VmRSS:")? * 1024;
        let files = fs::read_dir(format!("/proc/{}/fd", service.pid())).ok()?;
        Some(Self { resident_bytes, open_files: files.count() as u64 })
    }
}

/// The most that was resident of a service since its start.
#[track_caller]
pub(crate) fn peak_resident_bytes(service: &Service) -> u64 {
    field(service.pid(), "VmHWM:").expect("the service runs") * 1024
}

/// A field of a process's status, in KiB.
fn field(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().trim_end_matches(" kB").parse().ok()
}

/// What a directory takes of the disk, all that lies in it. What goes while it is looked at is not
/// counted.
pub(crate) fn disk_bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    };
    entries.map(of).sum()
}
