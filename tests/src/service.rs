//! A service as a process: started, watched, asked to stop, killed.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::client::{Answer, Client};
use crate::poll::until;

/// How much of a service's log a failed test prints.
const TAIL_BYTES: usize = 4000;

/// A running service. Dropping it kills it; if that happens in a failing test, the end of its log
/// is printed.
#[derive(Debug)]
pub struct Service {
    child: Child,
    log: PathBuf,
    ops: SocketAddr,
    address: SocketAddr,
    ended: Option<ExitStatus>,
}

impl Service {
    /// Starts a process whose standard error goes to `log`. It serves at `address` and `ops`.
    pub(crate) fn spawn(
        mut command: Command,
        log: PathBuf,
        address: SocketAddr,
        ops: SocketAddr,
    ) -> Self {
        let stderr = File::create(&log).expect("the log file can be made");
        // Its standard input ends with the test's process, so that none outlives a killed test.
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(stderr);
        let child = child.spawn().expect("the service can be started");
        Self { child, log, ops, address, ended: None }
    }

    /// Waits until it answers at all; `false` if it ended instead.
    pub(crate) fn is_up(&mut self) -> bool {
        until("a service to come up", || {
            if self.has_ended().is_some() {
                return Some(false);
            }
            self.ops("/healthz").filter(|answer| answer.status == 200).map(|_| true)
        })
    }

    /// Where clients send to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A client of it, with no token.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// What its page for machines answers; `None` where nobody answers.
    pub fn ops(&self, path: &str) -> Option<Answer> {
        Client::new(self.ops).try_get(path).ok()
    }

    /// The value of a metric, summed over all its labels; 0 where it has none yet.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.ops("/metrics").expect("the service answers").text;
        let of_name =
            |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        let value =
            |line: &str| line.rsplit_once(' ').and_then(|(_, value)| value.parse::<f64>().ok());
        text.lines().filter(of_name).filter_map(value).sum::<f64>()
    }

    /// How it ended, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.ended = self.ended.or(self.child.try_wait().expect("it is our child"));
        self.ended
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        until("a service to end", || self.has_ended())
    }

    /// Waits until it dies of SIGABRT, as it does at a fault point.
    #[track_caller]
    pub fn wait_for_abort(&mut self) {
        const SIGABRT: i32 = 6;
        // It lives on if the binary has no fault points.
        let what = "the flusher to die at its fault point: `cargo test --workspace` builds it so";
        let status = until(what, || self.has_ended());
        assert_eq!(status.signal(), Some(SIGABRT), "{status}: {}", self.log());
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().expect("it is our child");
        self.wait();
    }

    /// SIGTERM, and the exit code that it leads to.
    pub fn terminate(mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.wait().code()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id is an i32");
        let pid = Pid::from_raw(pid).expect("no process has the id 0");
        kill_process(pid, signal).expect("it is our child");
    }

    /// What it logged.
    pub fn log(&self) -> String {
        read_log(&self.log)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.has_ended().is_none() && self.child.kill().is_ok() {
            self.wait();
        }
        if thread::panicking() {
            let log = self.log();
            let start = log.len().saturating_sub(TAIL_BYTES);
            let tail = log
                .char_indices()
                .find(|(at, _)| *at >= start)
                .map_or("", |(at, _)| log.get(at..).unwrap_or_default());
            eprintln!("--- {}\n{tail}", self.log.display());
        }
    }
}

fn read_log(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// The first and the last of the ports that are handed out.
const PORTS: RangeInclusive<u16> = 10_000..=60_000;

/// How often the ports were asked for.
static ASKED: AtomicUsize = AtomicUsize::new(0);

/// An address that nobody listens on, and that nobody else takes before it is used: each process
/// that runs tests has an address of its own on loopback, and hands out its ports one after the
/// other. Were it anybody's, a load that is meant for a service that was killed could go to a
/// service of another test, and be acknowledged there.
pub(crate) fn free_address() -> SocketAddr {
    // Linux has process ids of up to 22 bits.
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let own = Ipv4Addr::new(127, 64 + (high & 63), middle, low);
    let ports = usize::from(PORTS.end() - PORTS.start()) + 1;
    until("a free port", || {
        let number = ASKED.fetch_add(1, Ordering::Relaxed) % ports;
        let port = PORTS.start() + u16::try_from(number).expect("there are under 65,536");
        // A service of a killed process that had this process's id may still be there.
        TcpListener::bind((own, port)).ok()?.local_addr().ok()
    })
}

/// Two of them, which are not the same.
pub(crate) fn free_addresses() -> (SocketAddr, SocketAddr) {
    (free_address(), free_address())
}
