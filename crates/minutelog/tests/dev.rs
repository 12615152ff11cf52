//! `minutelog dev` from outside: a directory belongs to one of them at a time.
#![cfg(feature = "embedded")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

fn dev(directory: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("minutelog"));
    command.args(["dev", "--json", "--data-dir"]).arg(directory);
    command
}

/// A `dev` that is ready. Its services stop with it, however it ends.
struct Dev(Child);

impl Dev {
    fn start(directory: &Path) -> Self {
        let mut child = dev(directory).stdout(Stdio::piped()).spawn().expect("the binary runs");
        let stdout = child.stdout.take().expect("it is piped");
        let started = Self(child);
        let ready = BufReader::new(stdout).lines().any(|line| line.is_ok_and(|line| line == "}"));
        assert!(ready, "it ended before it was ready");
        started
    }

    fn stop(mut self) -> i32 {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("it has an id"), Signal::TERM).expect("it runs");
        self.0.wait().expect("it is a child").code().expect("no signal ended it")
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if self.0.kill().is_ok() {
            self.0.wait().expect("it is a child");
        }
    }
}

#[test]
fn a_second_dev_leaves_the_first_one_s_configuration_alone() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let first = Dev::start(directory.path());
    let config = directory.path().join("minutelog.toml");
    let before = fs::read_to_string(&config).expect("dev wrote it");

    let mut second = assert_cmd::Command::from_std(dev(directory.path()));
    let output = second.timeout(Duration::from_secs(30)).output().expect("the binary runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{stderr}");
    assert!(stderr.contains("another dev runs on this directory"), "{stderr}");
    assert_eq!(fs::read_to_string(&config).expect("it is still there"), before);

    assert_eq!(first.stop(), 0);
    // The lock went with its holder.
    assert_eq!(Dev::start(directory.path()).stop(), 0);
}
