//! What a case needs of the machine.

use std::path::Path;
use std::process::{Command, Stdio};

/// The library of the package `faketime` that moves a process's clock.
pub(crate) const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// Something that not every machine has or allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// To be root.
    Root,
    /// `strace`.
    Strace,
    /// `faketime`.
    Faketime,
    /// Loop devices and ext4.
    Loop,
    /// FUSE.
    Fuse,
    /// Control groups of the first version with a memory controller.
    MemoryCgroup,
}

impl Need {
    /// Where control groups of the memory controller are made.
    pub(crate) const MEMORY_CGROUPS: &'static str = "/sys/fs/cgroup/memory";

    /// Why it is not met; `None` where it is.
    pub(crate) fn lacking(self) -> Option<&'static str> {
        let (there, why) = match self {
            Self::Root => (rustix::process::geteuid().is_root(), "it needs root"),
            Self::Strace => (runs("strace"), "strace is not installed"),
            Self::Faketime => (Path::new(FAKETIME).exists(), "faketime is not installed"),
            Self::Loop => (
                Path::new("/dev/loop-control").exists() && runs("mkfs.ext4"),
                "there are no loop devices or no mkfs.ext4",
            ),
            Self::Fuse => (Path::new("/dev/fuse").exists(), "there is no FUSE"),
            Self::MemoryCgroup => (
                Path::new(Self::MEMORY_CGROUPS).join("memory.oom_control").exists(),
                "there is no memory controller of cgroup v1",
            ),
        };
        (!there).then_some(why)
    }
}

fn runs(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("-V").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok()
}
