//! The machine, in a line, so that figures can be told apart.

use std::fs;

use rustix::system::uname;
use serde::Serialize;

/// What figures depend on.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    cores: usize,
    processor: String,
    memory_mib: u64,
    kernel: String,
}

impl Machine {
    /// This one.
    pub(crate) fn this() -> Self {
        let field = |file: &str, name: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim_start_matches([' ', '\t', ':']).to_owned()
        };
        let memory = field("/proc/meminfo", "MemTotal:");
        let memory = memory.trim_end_matches(" kB").parse::<u64>().unwrap_or(0);
        Self {
            cores: cores(),
            processor: field("/proc/cpuinfo", "model name"),
            memory_mib: memory / 1024,
            kernel: uname().release().to_string_lossy().into_owned(),
        }
    }

    /// For people.
    pub(crate) fn line(&self) -> String {
        let Self { cores, processor, memory_mib, kernel } = self;
        format!("{cores} cores of {processor}, {memory_mib} MiB, Linux {kernel}")
    }
}

/// How many cores there are for us.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
