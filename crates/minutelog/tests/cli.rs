//! The binary from outside, as far as it goes without its services: help, exit codes, `check`,
//! `admin token`, `admin policy`.

use std::fs;
use std::path::PathBuf;

use assert_cmd::Command;
use tempfile::TempDir;

const SECRET_HASH: &str = "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";

/// The binary, with nothing of this machine's environment that it listens to.
fn minutelog() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("minutelog"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MINUTELOG_") {
            command.env_remove(name);
        }
    }
    command
}

/// What a run printed on standard output and standard error, and its exit code.
fn run(args: &[&str]) -> (String, String, i32) {
    let output = minutelog().args(args).output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    let code = output.status.code().expect("no signal ended it");
    (text(output.stdout), text(output.stderr), code)
}

fn config(text: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("minutelog.toml");
    fs::write(&path, text).expect("the disk takes it");
    (directory, path)
}

#[test]
fn every_command_has_help_with_an_example() {
    for command in [
        "",
        #[cfg(feature = "embedded")]
        "demo",
        #[cfg(feature = "embedded")]
        "dev",
        "ingest",
        "flusher",
        "check",
        "completions",
        "man",
        "admin",
        "admin log",
        "admin show",
        "admin events",
        "admin receipts",
        "admin verify",
        "admin doctor",
        "admin inspector",
        "admin top",
        "admin retry",
        "admin replay",
        "admin drain",
        "admin policy",
        "admin token",
    ] {
        let args: Vec<_> = command.split_whitespace().chain(["--help"]).collect();
        let (stdout, _, code) = run(&args);
        assert_eq!(code, 0, "{command}");
        let example = stdout.split("Example:\n").nth(1).unwrap_or_default();
        assert!(
            example.trim_start().starts_with(&format!("minutelog {command}")),
            "{command}: {stdout}"
        );
    }
}

#[test]
fn the_version_is_an_answer() {
    let (stdout, _, code) = run(&["--version"]);
    assert_eq!(
        (stdout.as_str(), code),
        (concat!("minutelog ", env!("CARGO_PKG_VERSION"), "\n"), 0)
    );
}

#[test]
fn wrong_usage_exits_with_64() {
    for args in [
        &[][..],
        &["deliver"],
        &["check", "--nonsense"],
        #[cfg(feature = "embedded")]
        &["demo", "--events", "0"],
        #[cfg(feature = "embedded")]
        &["demo", "--interval", "7s"],
        #[cfg(feature = "embedded")]
        &["demo", "--config", "minutelog.toml"],
        &["check", "--log-format", "xml"],
        &["check", "--log-level", "a=b=c"],
        &["admin"],
        &["admin", "show", "yesterday"],
        &["admin", "events", "--since", "yesterday"],
        &["admin", "events", "--id", "1"],
        &["admin", "policy", "--bucket", "My_Bucket", "--principal", "arn:aws:iam::1:role/r"],
        &["admin", "policy", "--bucket", "abc", "--principal", "me"],
        &["admin", "token", "a b"],
        &["admin", "verify", "--since", "1h"],
        &["admin", "doctor", "--bucket", "My_Bucket"],
        &["admin", "top", "--interval", "1ms"],
        &["admin", "top", "--interval", "2h"],
        &["admin", "top", "--json"],
    ] {
        let (stdout, stderr, code) = run(args);
        assert_eq!(code, 64, "{args:?}: {stderr}");
        assert!(stdout.is_empty() && !stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn top_wants_a_terminal_and_names_what_needs_none() {
    let (stdout, stderr, code) = run(&["admin", "top"]);
    assert_eq!((stdout.as_str(), code), ("", 64), "{stderr}");
    let instead = "use `minutelog admin log --json`, `admin events --json`";
    assert!(
        stderr.starts_with("error: top: standard output is not a terminal: ")
            && stderr.contains(instead),
        "{stderr}"
    );
}

#[cfg(feature = "embedded")]
#[test]
fn demo_wants_an_empty_directory() {
    let (directory, _) = config("");
    let (_, stderr, code) = run(&["demo", "--data-dir", directory.path().to_str().unwrap()]);
    assert_eq!(code, 64, "{stderr}");
    assert!(stderr.contains("not empty"), "{stderr}");
}

#[test]
fn a_refused_configuration_exits_with_78_and_names_file_line_and_key() {
    let (_directory, path) = config("[log]\n\nmax_bytes = \"1MiB\"\n");
    let path = path.to_str().unwrap();
    let expected =
        format!("error: {path}:3: log.max_bytes: 1MiB is too little: give at least 64MiB\n");
    for command in ["check", "ingest", "flusher"] {
        let (stdout, stderr, code) = run(&[command, "--config", path]);
        assert_eq!(
            (stdout.as_str(), stderr.as_str(), code),
            ("", expected.as_str(), 78),
            "{command}"
        );
    }
}

#[test]
fn a_data_directory_that_can_not_be_one_exits_with_74_and_says_what_to_do() {
    let (directory, file) = config(
        "[ingest]\nauth = \"none\"\nlisten = \"127.0.0.1:0\"\nops_listen = \"127.0.0.1:0\"\n[flusher]\nops_listen = \"127.0.0.1:0\"\n",
    );
    let taken = directory.path().join("taken");
    fs::write(&taken, "a file").unwrap();
    for command in ["ingest", "flusher"] {
        let (file, taken) = (file.to_str().unwrap(), taken.to_str().unwrap());
        let (_, stderr, code) = run(&[command, "--config", file, "--data-dir", taken]);
        let error = stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert_eq!(code, 74, "{stderr}");
        assert!(error.starts_with(&format!("error: {command}: {taken}")), "{stderr}");
        let advice = ": data_dir has to name a directory: set another one, or move the file away";
        assert!(error.ends_with(advice), "{stderr}");
    }
}

#[test]
fn check_and_ingest_want_somebody_who_can_send() {
    for command in ["check", "ingest"] {
        let (_, stderr, code) = run(&[command]);
        assert_eq!(code, 78, "{command}");
        assert!(stderr.contains("ingest.auth") && stderr.contains("admin token"), "{stderr}");
    }
}

#[test]
fn check_prints_everything_resolved_and_no_secret() {
    let (_directory, path) = config(&format!(
        "[[bucket]]\nname = \"abc\"\nrole_arn = \"arn:aws:iam::123456789012:role/r\"\nexternal_id = \"sesame\"\n[[token]]\nname = \"checkout\"\nhash = \"{SECRET_HASH}\"\nallow = [\"abc/exact\", \"abc/*\"]\n[flusher]\nreceipt_retention = \"36h\"\n"
    ));
    let check = || {
        let mut command = minutelog();
        command.arg("check").env("MINUTELOG_CONFIG", &path).env("MINUTELOG__LOG__INTERVAL", "5m");
        command
    };
    let text = String::from_utf8(check().output().unwrap().stdout).unwrap();
    let json = check().args(["--json", "--data-dir", "/here"]).output().unwrap();
    assert!(json.status.success());
    for line in [
        "data_dir = \"/var/lib/minutelog\"",
        "interval = \"5m\"",
        "max_bytes = \"10GiB\"",
        "auth = \"tokens\"",
        "gzip_level = 6",
        "external_id = \"(redacted)\"",
        "hash = \"blake3:af1349b9…\"",
        "allow = [\"abc/exact\", \"abc/*\"]",
        "receipt_retention = \"36h\"",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} is not in {text}");
    }
    let document: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(document["data_dir"], "/here");
    assert_eq!(document["log"]["interval"], "5m");
    for shown in [text, document.to_string()] {
        assert!(!shown.contains("sesame") && !shown.contains(SECRET_HASH), "{shown}");
    }
}

#[test]
fn a_token_goes_from_the_command_into_the_configuration() {
    let (stdout, _, code) = run(&["admin", "token", "checkout", "--json"]);
    assert_eq!(code, 0);
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let token = document["token"].as_str().unwrap();
    assert!(token.starts_with("ml_") && token.len() == 3 + 64, "{token}");
    let block = document["config"].as_str().unwrap();
    assert!(block.contains(document["hash"].as_str().unwrap()) && !block.contains(token));
    let (_directory, path) = config(block);
    assert_eq!(run(&["check", "--config", path.to_str().unwrap()]).2, 0);

    let (text, _, _) = run(&["admin", "token", "checkout"]);
    let first = text.lines().next().unwrap();
    assert!(first.starts_with("ml_") && first != token, "{text}");
    assert!(text.contains("[[token]]\nname = \"checkout\"\nhash = \"blake3:"), "{text}");
}

#[test]
fn a_policy_has_the_acl_s_permission_only_where_an_acl_is_sent() {
    let args =
        ["admin", "policy", "--bucket", "abc", "--principal", "arn:aws:iam::123456789012:role/r"];
    let (plain, _, code) = run(&args);
    assert_eq!(code, 0);
    assert!(plain.contains("s3:PutObject\"") && !plain.contains("s3:PutObjectAcl"), "{plain}");
    let (_directory, path) = config("[[bucket]]\nname = \"abc\"\nacl = \"private\"\n");
    let (with_acl, _, _) = run(&[&args[..], &["--config", path.to_str().unwrap()]].concat());
    assert!(with_acl.contains("s3:PutObjectAcl"), "{with_acl}");
}

#[test]
fn shells_are_told_of_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (out, err, code) = run(&["completions", shell]);
        assert_eq!((err.as_str(), code), ("", 0), "{shell}");
        for word in ["flusher", "inspector", "replay", "--data-dir", "--dry-run"] {
            assert!(out.contains(word.trim_start_matches('-')), "{shell}: {word}");
        }
    }
    assert_eq!(run(&["completions", "tcsh"]).2, 64);
}

#[test]
fn every_command_has_a_page_of_the_manual() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let pages = directory.path().join("man1");
    let dir = pages.to_str().expect("UTF-8");
    for _ in 0..2 {
        let (out, err, code) = run(&["man", dir]);
        assert_eq!((out.as_str(), err.as_str(), code), ("", "", 0));
    }
    let read = |name: &str| fs::read_to_string(pages.join(name)).expect("a page");
    assert!(read("minutelog.1").contains("Exit codes"));
    assert!(read("minutelog-admin-replay.1").contains("dry\\-run"), "roff escapes hyphens");
    assert!(!pages.join("minutelog-help.1").exists());
    fs::write(directory.path().join("file"), "").expect("the disk takes it");
    let inside = directory.path().join("file/man");
    let (_, err, code) = run(&["man", inside.to_str().expect("UTF-8")]);
    assert_eq!(code, 74, "{err}");
}
