//! A service as a process of its own.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::usage::{Usage, peak_resident_bytes};

/// How long a service may take to be ready, or to end.
const PATIENCE: Duration = Duration::from_mins(5);

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_micros(500);

/// A running service; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    /// A service ends with its standard input, and waiting for a child would close it.
    _lifeline: Option<ChildStdin>,
    log: PathBuf,
    started: Instant,
    address: SocketAddr,
    ops: SocketAddr,
}

impl Service {
    /// Starts a process that is to serve at `address` and `ops`; its standard error goes to `log`.
    pub(crate) fn spawn(
        mut command: Command,
        log: PathBuf,
        address: SocketAddr,
        ops: SocketAddr,
    ) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(File::create(&log)?);
        let started = Instant::now();
        let mut child = command.spawn().context("the binary can't be run")?;
        let lifeline = child.stdin.take();
        Ok(Self { child, _lifeline: lifeline, log, started, address, ops })
    }

    /// Waits until it is ready; says how long after its start that was.
    pub(crate) fn ready(&mut self) -> Result<Duration> {
        while self.started.elapsed() < PATIENCE {
            if ask(self.ops, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                return Ok(self.started.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("a service ended: {status}: {}", self.log());
            }
            thread::sleep(LOOK_EVERY);
        }
        bail!("a service is not ready after {} s: {}", PATIENCE.as_secs(), self.log())
    }

    /// Where clients send to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where operators look.
    pub(crate) fn ops(&self) -> SocketAddr {
        self.ops
    }

    /// What it has used since its start.
    pub(crate) fn usage(&self) -> Result<Usage> {
        Usage::of(self.child.id())
    }

    /// The most that was resident of it.
    pub(crate) fn peak_resident_bytes(&self) -> Result<u64> {
        peak_resident_bytes(self.child.id())
    }

    /// The value of a metric without labels.
    pub(crate) fn metric(&self, name: &str) -> Result<f64> {
        let text = ask(self.ops, "/metrics").context("the service answers")?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.with_context(|| format!("there is no metric {name}"))
    }

    /// SIGTERM, and an end in good order.
    pub(crate) fn terminate(mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("a process has an id")?, Signal::TERM)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "a service ended badly: {status}: {}", self.log());
        Ok(())
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // One that has ended can't be killed.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The whole answer to a GET; `None` where there is none.
fn ask(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok().map(|_| answer)
}

/// Addresses on loopback that nobody listens on.
pub(crate) fn free_addresses<const N: usize>() -> Result<[SocketAddr; N]> {
    let mut held = Vec::new();
    for _ in 0..N {
        held.push(TcpListener::bind("127.0.0.1:0")?);
    }
    let addresses = held.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
    addresses.try_into().ok().context("there are as many as were asked for")
}
