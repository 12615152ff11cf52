//! A command that was run to its end.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::poll::{PATIENCE, PAUSE};

/// What a command printed and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The exit code; `None` where a signal ended it.
    pub code: Option<i32>,
}

impl Output {
    /// Asserts on the exit code.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Standard output as the one JSON document that it is.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!("no JSON: {error}\nstdout: {}\nstderr: {}", self.stdout, self.stderr)
        })
    }
}

/// Runs a command to its end. One that doesn't end is killed, and fails the test.
#[track_caller]
pub fn run(command: &mut Command) -> Output {
    // A command may itself wait for something for as long as a test does.
    run_for(command, PATIENCE * 2)
}

/// The same with another patience.
#[track_caller]
pub fn run_for(command: &mut Command, patience: Duration) -> Output {
    let (mut stdout, mut stderr) = (temporary(), temporary());
    let share = |file: &File| file.try_clone().expect("a file can be shared");
    command.stdin(Stdio::null()).stdout(share(&stdout)).stderr(share(&stderr));
    let mut child = command.spawn().expect("the command can be started");
    let start = Instant::now();
    let mut ended = None;
    while ended.is_none() && start.elapsed() < patience {
        std::thread::sleep(PAUSE);
        ended = child.try_wait().expect("it is our child");
    }
    let status = ended.unwrap_or_else(|| {
        child.kill().expect("it is our child");
        child.wait().expect("it is our child")
    });
    let output =
        Output { stdout: text(&mut stdout), stderr: text(&mut stderr), code: status.code() };
    assert!(ended.is_some(), "{command:?} did not end: {output:?}");
    output
}

fn temporary() -> File {
    tempfile::tempfile().expect("a temporary file")
}

fn text(file: &mut File) -> String {
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).expect("output is UTF-8");
    text
}
