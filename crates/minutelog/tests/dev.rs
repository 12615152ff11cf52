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

#[test]
fn variables_that_have_no_say_are_named_in_one_line() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let file = place.path().join("a-file");
    fs::write(&file, "").expect("the disk takes it");
    // It ends at once, as a file is no directory: the line comes before anything is begun.
    let stderr = |variables: &[(&str, &str)]| {
        let mut command = dev(&file);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MINUTELOG_") {
                command.env_remove(name);
            }
        }
        command.envs(variables.iter().copied());
        let output = assert_cmd::Command::from_std(command).output().expect("the binary runs");
        assert_eq!(output.status.code(), Some(74));
        String::from_utf8(output.stderr).expect("output is UTF-8")
    };
    let told = stderr(&[
        ("MINUTELOG__S3__REGION", "sesame"),
        ("MINUTELOG__LOG__INTERVAL", "5m"),
        ("MINUTELOG_CONFIG", "/etc/minutelog.toml"),
        ("MINUTELOG_LOG", "warn"),
    ]);
    let warnings: Vec<_> = told.lines().filter(|line| line.starts_with("warning: ")).collect();
    let expected = "warning: dev makes its own configuration and does not use MINUTELOG_CONFIG, \
         MINUTELOG__LOG__INTERVAL, MINUTELOG__S3__REGION";
    assert_eq!(warnings, [expected]);
    assert!(!stderr(&[("MINUTELOG_CONFIG", "")]).contains("warning: "));
}
