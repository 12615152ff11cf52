//! One machine with minutelog on it: a data directory, a configuration, a store to deliver to.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use serde_json::Value;
use tempfile::TempDir;

use crate::binary::binary;
use crate::client::Client;
use crate::objects::Objects;
use crate::output::{Output, run, run_for};
use crate::poll::{PATIENCE, until, wait_for, while_it_goes_on};
use crate::s3::{ACCESS_KEY, S3Server, SECRET_KEY};
use crate::service::{Service, free_address, free_addresses};
use crate::terminal::Terminal;

/// A port that was free can be taken by the time that it is used.
const PORT_TRIES: usize = 5;

/// `EX_UNAVAILABLE` of `sysexits.h`: what a service ends with that can't listen.
const UNAVAILABLE: i32 = 69;

/// Which service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `minutelog ingest`.
    Ingest,
    /// `minutelog flusher`.
    Flusher,
}

impl Kind {
    /// The two.
    pub const BOTH: [Self; 2] = [Self::Ingest, Self::Flusher];

    fn command(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Flusher => "flusher",
        }
    }
}

/// What differs from one test to another.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where the log lies; `None`: in a directory of the test's own.
    pub data: Option<PathBuf>,
    /// The length of a minute.
    pub interval: &'static str,
    /// The buckets that there are.
    pub buckets: Vec<&'static str>,
    /// Further lines of `[log]`.
    pub log: String,
    /// All lines of `[ingest]` but the addresses.
    pub ingest: String,
    /// All lines of `[flusher]` but the address.
    pub flusher: String,
    /// What follows.
    pub rest: String,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            data: None,
            interval: "1s",
            buckets: vec!["my-bucket"],
            // Small, so that minutes with some load are several runs.
            log: "run_bytes = \"256KiB\"\n".to_owned(),
            ingest: "auth = \"none\"\n".to_owned(),
            flusher: String::new(),
            rest: String::new(),
        }
    }
}

impl Setup {
    /// A minute that does not end during the test: the allowed length whose end is farthest away.
    /// Only just before an hour or a half, where all of them end, is there a wait.
    pub fn long_minute() -> Self {
        const LONG: [(&str, u64); 3] = [("15m", 900), ("10m", 600), ("5m", 300)];
        const NEEDED: u64 = 45;
        until("a minute with time left", || {
            let left = |seconds| seconds - now_seconds() % seconds;
            let (interval, seconds) = LONG.into_iter().max_by_key(|(_, it)| left(*it))?;
            let setup = Self { interval, ..Self::default() };
            (left(seconds) >= NEEDED).then_some(setup)
        })
    }

    /// How many seconds a minute has.
    fn seconds(&self) -> u64 {
        let (number, unit) = self.interval.split_at(self.interval.len() - 1);
        let number: u64 = number.parse().expect("a number and a unit");
        if unit == "m" { number * 60 } else { number }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "it is the clock of the processes that is in question"
)]
fn now_seconds() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("it is later than 1970").as_secs()
}

/// The machine.
#[derive(Debug)]
pub struct Site {
    dir: TempDir,
    data: PathBuf,
    seconds: u64,
    started: AtomicU32,
    /// Where it delivers to.
    pub s3: S3Server,
}

impl Site {
    /// A machine with minutes of 1 s and one bucket, `my-bucket`.
    pub fn new() -> Self {
        Self::with(&Setup::default())
    }

    /// A machine.
    pub fn with(setup: &Setup) -> Self {
        let dir = TempDir::with_prefix("minutelog-test-").expect("a temporary directory");
        let s3 = S3Server::start(&setup.buckets);
        let Setup { interval, log, ingest, flusher, rest, .. } = setup;
        let data = setup.data.clone().unwrap_or_else(|| dir.path().join("data"));
        let url = s3.url();
        let text = format!(
            "data_dir = \"{}\"\n[log]\ninterval = \"{interval}\"\n{log}\n[ingest]\n{ingest}\n\
             [flusher]\n{flusher}\n[s3]\nregion = \"us-east-1\"\nendpoint = \"{url}\"\n\
             path_style = true\n{rest}\n",
            data.display(),
        );
        fs::write(dir.path().join("minutelog.toml"), text).expect("the disk takes it");
        Self { dir, data, seconds: setup.seconds(), started: AtomicU32::new(0), s3 }
    }

    /// How many seconds a minute has.
    pub fn seconds(&self) -> u64 {
        self.seconds
    }

    /// Where the log lies.
    pub fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// Writes another configuration. Nobody reads it before the next start, or SIGHUP.
    pub fn edit_config(&self, edit: impl FnOnce(String) -> String) {
        let path = self.dir.path().join("minutelog.toml");
        let text = fs::read_to_string(&path).expect("it was written");
        fs::write(&path, edit(text)).expect("the disk takes it");
    }

    /// A command of the binary with this machine's configuration, and nothing of the environment
    /// of whoever runs the test.
    pub fn command(&self, args: &[&str]) -> Command {
        self.command_under(&[], args)
    }

    /// The same, run by another program: `strace -f -o log`.
    pub fn command_under(&self, runner: &[&str], args: &[&str]) -> Command {
        let mut words = runner.iter().map(OsStr::new).chain([binary().as_os_str()]);
        let mut command = Command::new(words.next().expect("there is the binary at least"));
        command
            .args(words)
            .args(args)
            .arg("--config")
            .arg(self.dir.path().join("minutelog.toml"))
            .current_dir(self.dir.path())
            .env_clear()
            .env("HOME", self.dir.path())
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        run(&mut self.command(args))
    }

    /// Runs `minutelog admin … --json`.
    pub fn admin(&self, args: &[&str]) -> Output {
        self.run(&[&["admin"], args, &["--json"]].concat())
    }

    /// Runs `minutelog flusher --once`.
    pub fn flush_once(&self) -> Output {
        self.run(&["flusher", "--once"])
    }

    /// Runs `minutelog admin drain`, for as long as a large log takes.
    pub fn drain(&self) -> Output {
        run_for(&mut self.command(&["admin", "drain"]), PATIENCE * 60)
    }

    /// The same while nobody listens where S3 should be.
    pub fn flush_once_without_s3(&self) -> Output {
        let nobody = format!("http://{}", free_address());
        run(self.command(&["flusher", "--once"]).env("MINUTELOG__S3__ENDPOINT", nobody))
    }

    /// Starts ingest and waits until it answers.
    pub fn ingest(&self) -> Service {
        self.start(Kind::Ingest, &[])
    }

    /// Starts the flusher and waits until it answers.
    pub fn flusher(&self) -> Service {
        self.start(Kind::Flusher, &[])
    }

    /// Starts `minutelog admin inspector` with further flags, and waits until it answers.
    pub fn inspector(&self, flags: &[&str]) -> Service {
        for _ in 0..PORT_TRIES {
            let address = free_address();
            let listen = address.to_string();
            let args = [&["admin", "inspector", "--listen", &listen], flags].concat();
            let log = self.dir.path().join(format!("inspector-{}.log", address.port()));
            let mut service = Service::spawn(self.command(&args), log, address, address);
            if service.is_up() {
                return service;
            }
            let log = service.log();
            assert!(log.contains("Address already in use"), "the inspector has ended: {log}");
        }
        panic!("the inspector found no free port in {PORT_TRIES} tries");
    }

    /// Starts `minutelog admin top` on a terminal of so many columns and rows, with further variables.
    pub fn top(&self, columns: u16, rows: u16, environment: &[(&str, &str)]) -> Terminal {
        let mut command = self.command(&["admin", "top", "--interval", "200ms"]);
        command.env("TERM", "xterm-256color").envs(environment.iter().copied());
        Terminal::start(command, columns, rows)
    }

    /// Starts a service with more in its environment, and waits until it answers.
    pub fn start(&self, kind: Kind, environment: &[(&str, &str)]) -> Service {
        self.start_under(&[], kind, environment)
    }

    /// The same, run by another program.
    pub fn start_under(
        &self,
        runner: &[&str],
        kind: Kind,
        environment: &[(&str, &str)],
    ) -> Service {
        for _ in 0..PORT_TRIES {
            let mut service = self.spawn_under(runner, kind, environment);
            if service.is_up() {
                return service;
            }
            let code = service.wait().code();
            let log = service.log();
            let taken = code == Some(UNAVAILABLE) && log.contains("Address already in use");
            assert!(taken, "{kind:?} ended with {code:?}: {log}");
        }
        panic!("{kind:?} found no free port in {PORT_TRIES} tries");
    }

    /// Starts a service and waits for nothing: it may be meant to end at once.
    pub fn spawn(&self, kind: Kind, environment: &[(&str, &str)]) -> Service {
        self.spawn_under(&[], kind, environment)
    }

    /// The same, run by another program.
    pub fn spawn_under(
        &self,
        runner: &[&str],
        kind: Kind,
        environment: &[(&str, &str)],
    ) -> Service {
        let mut command = self.command_under(runner, &[kind.command(), "--stop-with-parent"]);
        let (address, ops) = free_addresses();
        let set = |command: &mut Command, name: &str, address: SocketAddr| {
            command.env(name, address.to_string());
        };
        match kind {
            Kind::Ingest => {
                set(&mut command, "MINUTELOG__INGEST__LISTEN", address);
                set(&mut command, "MINUTELOG__INGEST__OPS_LISTEN", ops);
            }
            Kind::Flusher => set(&mut command, "MINUTELOG__FLUSHER__OPS_LISTEN", ops),
        }
        command.envs(environment.iter().copied());
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let log = self.dir.path().join(format!("{number:03}-{}.log", kind.command()));
        Service::spawn(command, log, address, ops)
    }

    /// The rows of `admin log --json`.
    pub fn log_rows(&self) -> Vec<Value> {
        let document = self.admin(&["log"]).exits(0).json();
        document["minutes"].as_array().expect("a list of minutes").clone()
    }

    /// Waits until nothing is left of the log, for as long as it gets less.
    pub fn wait_until_drained(&self) {
        while_it_goes_on(PATIENCE, "the log to be empty", || {
            let mut rows = self.log_rows();
            // What changes while nothing happens.
            for row in rows.iter_mut().filter_map(Value::as_object_mut) {
                for field in ["age_seconds", "bytes"] {
                    row.remove(field);
                }
            }
            (!rows.is_empty()).then_some(rows)
        });
    }

    /// Waits until so many objects stand in S3, and reads all that stand there.
    pub fn wait_for_objects(&self, count: usize) -> Objects {
        wait_for(&format!("{count} objects"), || self.s3.stored().len() >= count);
        Objects::read(&self.s3)
    }

    /// What became of an event, by its id or its name.
    pub fn event(&self, client: &Client, id: &str) -> Value {
        let answer = client.get(&format!("/v1/events/{}", crate::encoded(id)));
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }
}

impl Drop for Site {
    /// With `MINUTELOG_TEST_KEEP` in the environment, what a failed test has left can be looked at.
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("MINUTELOG_TEST_KEEP").is_some() {
            self.dir.disable_cleanup(true);
            eprintln!("kept: {}", self.dir.path().display());
        }
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}
