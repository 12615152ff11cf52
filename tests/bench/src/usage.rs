//! What a process has used, by the operating system's accounting.

use std::fs;
use std::ops::Sub;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::param::clock_ticks_per_second;

/// What a process has used since its start, or between two looks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// In user mode.
    pub(crate) user: Duration,
    /// In the kernel, on the process's behalf.
    pub(crate) system: Duration,
    /// Bytes that it made the disk write.
    pub(crate) written_bytes: u64,
}

impl Usage {
    /// Of a process that runs.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process runs")?;
        let io = fs::read_to_string(format!("/proc/{pid}/io")).context("the process is ours")?;
        let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
        Ok(Self {
            user: ticks(&stat, UTIME)?,
            system: ticks(&stat, STIME)?,
            written_bytes: written.and_then(|it| it.trim().parse().ok()).context("write_bytes")?,
        })
    }

    /// The CPU time of all children that have ended and were waited for.
    pub(crate) fn of_ended_children() -> Result<Duration> {
        let stat = fs::read_to_string("/proc/self/stat").context("proc is mounted")?;
        Ok(ticks(&stat, CUTIME)? + ticks(&stat, CSTIME)?)
    }

    /// CPU time, all of it.
    pub(crate) fn cpu(&self) -> Duration {
        self.user + self.system
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
            written_bytes: self.written_bytes.saturating_sub(before.written_bytes),
        }
    }
}

/// The most that was resident of a process since its start, in bytes.
pub(crate) fn peak_resident_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process runs")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kib.context("a process that runs has a VmHWM")? * 1024)
}

/// `proc_pid_stat(5)`: the numbers of fields after the command's name, of which the state is 3.
const UTIME: usize = 14;
const STIME: usize = 15;
const CUTIME: usize = 16;
const CSTIME: usize = 17;

fn ticks(stat: &str, field: usize) -> Result<Duration> {
    let (_, rest) = stat.rsplit_once(')').context("the name stands in brackets")?;
    let value = rest.split_ascii_whitespace().nth(field - 3).and_then(|it| it.parse::<u64>().ok());
    let millis = value.context("a number of ticks")? * 1000 / clock_ticks_per_second();
    Ok(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_something() {
        let started = std::time::Instant::now();
        while started.elapsed() < Duration::from_millis(50) {}
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.cpu() > Duration::ZERO);
        assert!(peak_resident_bytes(std::process::id()).unwrap() > 0);
    }
}
