//! `demo` and `dev`: everything on this machine, with nothing to configure.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};

use flate2::read::GzDecoder;
use rustix::process::{Pid, Signal, kill_process};
use tests::{binary, run, until, wait_for};

#[test]
fn demo_shows_the_key_and_the_lines_and_ends_with_0() {
    let output = run(Command::new(binary()).args(["demo", "--interval", "2s"]));
    let shown = &output.exits(0).stdout;
    assert!(shown.contains(r#"{"n":1,"#) && shown.contains(r#"{"n":30,"#), "{shown}");
    let key = shown.split_whitespace().find(|word| word.strip_suffix(".gz").is_some());
    let key = key.unwrap_or_else(|| panic!("no key in {shown}"));
    assert!(key.contains("demo/20"), "{key}");
}

/// A running `dev`, stopped by Ctrl-C.
struct Dev {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Dev {
    fn start(directory: &str) -> Self {
        let mut child = Command::new(binary())
            .args(["dev", "--interval", "1s", "--data-dir", directory])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// The line that it prints with this word at its beginning.
    fn line(&mut self, begins: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "it ended before {begins}");
            if line.trim().starts_with(begins) {
                return line.trim().to_owned();
            }
        }
    }

    fn interrupt(&mut self) -> Option<i32> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        until("dev to end", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) && self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}

fn get(url: &str) -> reqwest::blocking::Response {
    reqwest::blocking::get(url).unwrap().error_for_status().unwrap()
}

#[test]
fn dev_says_which_prefixes_its_server_cannot_hold() {
    let directory = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(directory.path().to_str().unwrap());
    let ingest = dev.line("ingest ").split_whitespace().nth(1).unwrap().to_owned();
    let send = |prefix: &str| {
        let body = format!(r#"{{"bucket":"my-bucket","prefix":"{prefix}","payload":1}}"#);
        let request = reqwest::blocking::Client::new().post(format!("{ingest}/v1/send/s3"));
        let request = request.header("Content-Type", "application/json").body(body);
        request.send().unwrap().error_for_status().unwrap();
    };
    send(&"a".repeat(255));
    send(&"b".repeat(256));
    let config = directory.path().join("minutelog.toml");
    let admin = |report: &str| {
        let mut command = Command::new(binary());
        let output = run(command.args(["admin", report, "--json", "--config"]).arg(&config));
        output.exits(0).json()
    };
    wait_for("what cannot be held to be parked", || {
        let log = admin("log");
        log["minutes"].as_array().unwrap().iter().any(|minute| {
            let error = minute["error"].as_str().unwrap_or_default();
            minute["state"] == "parked" && error.contains("255 bytes between two slashes")
        })
    });
    wait_for("the other to be delivered", || {
        let receipts = admin("receipts");
        receipts["receipts"].as_array().unwrap().iter().any(|it| it["prefix"] == "a".repeat(255))
    });
    assert_eq!(dev.interrupt(), Some(0));
}

#[test]
fn dev_takes_the_curl_line_that_it_prints() {
    let directory = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(directory.path().to_str().unwrap());
    let s3 = dev.line("S3 ").split_whitespace().nth(1).unwrap().to_owned();
    let curl = dev.line("curl ");
    paste(&curl);

    let mut key = None;
    wait_for("the object", || {
        let list = get(&format!("{s3}/my-bucket?list-type=2&prefix=test/")).text().unwrap();
        key = list
            .split_once("<Key>")
            .and_then(|(_, rest)| rest.split_once("</Key>"))
            .map(|(key, _)| key.to_owned());
        key.is_some()
    });
    let object = get(&format!("{s3}/my-bucket/{}", key.unwrap())).bytes().unwrap();
    let mut lines = String::new();
    GzDecoder::new(&*object).read_to_string(&mut lines).unwrap();
    assert_eq!(lines.trim_end().replace(' ', ""), r#"{"hello":"world"}"#);
    assert_eq!(dev.interrupt(), Some(0));
}

#[test]
fn dev_has_an_inspector_also_where_its_port_is_taken() {
    let _taken = until("the port", || TcpListener::bind(("127.0.0.1", 9603)).ok());
    let directory = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(directory.path().to_str().unwrap());
    let page = dev.line("inspector ").split_whitespace().nth(1).unwrap().to_owned();
    assert!(!page.contains(":9603"), "{page}");
    assert!(get(&page).text().unwrap().contains("minutelog inspector"));
    let overview = get(&format!("{page}api/overview")).text().unwrap();
    let overview: serde_json::Value = serde_json::from_str(&overview).unwrap();
    assert_eq!(overview["services"]["ingest"], "running");
    assert_eq!(overview["services"]["flusher"], "running");
    assert_eq!(dev.interrupt(), Some(0));
}

/// Pastes the line into a shell; where there is no curl, does what it would do.
fn paste(curl: &str) {
    let has_curl = Command::new("curl").arg("--version").stdout(Stdio::null()).status();
    if has_curl.is_ok_and(|status| status.success()) {
        let output = run(Command::new("sh").args(["-c", curl]));
        assert!(output.exits(0).stdout.contains("\"accepted\":1"), "{curl}: {}", output.stdout);
        return;
    }
    let url = curl.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
    let body = curl.split_once("-d '").unwrap().1.strip_suffix('\'').unwrap();
    let request = reqwest::blocking::Client::new().post(url).body(body.to_owned());
    assert_eq!(request.send().unwrap().status(), 200);
}
