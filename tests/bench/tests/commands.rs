//! The benchmark's own command line.

use std::process::Command;

fn bench(args: &[&str]) -> (Option<i32>, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_bench")).args(args).output().expect("the benchmark runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("it prints text"))
}

#[test]
fn stages_are_listed_and_strange_ones_refused() {
    let (code, text) = bench(&["list"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.lines().any(|line| line.starts_with("bulk ")), "{text}");
    let (code, text) = bench(&["run", "no-such-stage"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("no stage is called no-such-stage"), "{text}");
}

#[test]
fn a_binary_that_is_no_service_fails() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let dir = dir.path().to_str().expect("it is ASCII");
    let (code, text) = bench(&["run", "bulk", "--short", "--dir", dir, "--binary", "/bin/false"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("a service ended"), "{text}");
}
