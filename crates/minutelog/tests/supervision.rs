//! What the services tell systemd, heard on a socket in its place.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How long a message is waited for. It takes this long only where it will never come.
const PATIENCE: Duration = Duration::from_mins(1);

/// A service that thinks that systemd has started it. It is killed if it is still there at the end.
struct Service {
    child: Child,
    systemd: UnixDatagram,
}

impl Service {
    /// Starts a service on free ports. Its store is where nobody is.
    fn start(name: &str, directory: &Path, watchdog: Option<Duration>) -> Self {
        let socket = directory.join("notify");
        let systemd = UnixDatagram::bind(&socket).expect("the socket can be made");
        systemd.set_read_timeout(Some(PATIENCE)).expect("it has a timeout");
        let config = directory.join("minutelog.toml");
        let text = "[ingest]\nlisten = \"127.0.0.1:0\"\nops_listen = \"127.0.0.1:0\"\nauth = \"none\"\n\
                    [flusher]\nops_listen = \"127.0.0.1:0\"\n\
                    [s3]\nregion = \"us-east-1\"\nendpoint = \"http://127.0.0.1:1\"\n";
        fs::write(&config, text).expect("the disk takes it");
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("minutelog"));
        command
            .args([name, "--stop-with-parent", "--log-level", "warn", "--config"])
            .arg(config)
            .arg("--data-dir")
            .arg(directory.join("data"))
            .env_clear()
            .env("NOTIFY_SOCKET", socket)
            .env("AWS_ACCESS_KEY_ID", "key")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .stdin(Stdio::piped());
        if let Some(watchdog) = watchdog {
            command.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        }
        Self { child: command.spawn().expect("the binary runs"), systemd }
    }

    /// What systemd is told next.
    fn tells(&self) -> String {
        let mut message = [0; 256];
        let length = self.systemd.recv(&mut message).expect("a message comes");
        let message = message.get(..length).unwrap_or_default();
        String::from_utf8_lossy(message).trim_end().to_owned()
    }

    /// Stops it, and returns the first that it tells then but that it works.
    fn stop(mut self) -> String {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("it has an id"), Signal::TERM).expect("it runs");
        let mut told = self.tells();
        while told == "WATCHDOG=1" {
            told = self.tells();
        }
        let status = self.child.wait().expect("it is a child");
        assert!(status.success(), "{status}");
        told
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().expect("it is a child");
        }
    }
}

#[test]
fn systemd_is_told_that_a_service_is_ready_works_and_stops() {
    for name in ["ingest", "flusher"] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let service = Service::start(name, directory.path(), Some(Duration::from_millis(400)));
        assert_eq!(service.tells(), "READY=1", "{name}");
        for _ in 0..3 {
            assert_eq!(service.tells(), "WATCHDOG=1", "{name}");
        }
        assert_eq!(service.stop(), "STOPPING=1", "{name}");
    }
}

#[test]
fn without_a_watchdog_there_is_nothing_between_the_start_and_the_end() {
    for name in ["ingest", "flusher"] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let service = Service::start(name, directory.path(), None);
        assert_eq!(service.tells(), "READY=1", "{name}");
        assert_eq!(service.stop(), "STOPPING=1", "{name}");
    }
}

/// What a control socket does not answer is no proof: the flusher's is taken away under it.
#[test]
fn a_service_that_does_not_come_round_is_not_said_to_work() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let service = Service::start("flusher", directory.path(), Some(Duration::from_millis(400)));
    assert_eq!(service.tells(), "READY=1");
    assert_eq!(service.tells(), "WATCHDOG=1");
    fs::remove_file(directory.path().join("data/flusher.sock")).expect("it is there");
    service.systemd.set_read_timeout(Some(Duration::from_secs(2))).expect("it has a timeout");
    let mut message = [0; 256];
    // Those that were on their way come still.
    for _ in 0..3 {
        if service.systemd.recv(&mut message).is_err() {
            return;
        }
    }
    panic!("it says that it works, and does not answer");
}
