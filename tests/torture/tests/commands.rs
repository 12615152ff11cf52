//! The rig's own command line.

use std::process::Command;

fn torture(args: &[&str]) -> (Option<i32>, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_torture")).args(args).output().expect("the rig runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("it prints text"))
}

#[test]
fn cases_are_listed_and_strange_ones_refused() {
    let (code, text) = torture(&["list"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.lines().any(|line| line.starts_with("kill ")), "{text}");
    let (code, text) = torture(&["run", "no-such-case"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("no case is called no-such-case"), "{text}");
}

#[test]
fn a_rig_that_is_given_no_service_fails() {
    let (code, text) = torture(&["run", "kill", "--rounds", "1", "--binary", "/bin/false"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("FAILED"), "{text}");
}
