//! `minutelog demo` from outside: the whole job with real processes, on short minutes.
#![cfg(feature = "embedded")]

use std::process::Output;

use assert_cmd::Command;

fn demo(args: &[&str]) -> Output {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("minutelog"));
    command.arg("demo").args(args).output().expect("the binary runs")
}

#[test]
fn thirty_events_become_thirty_lines_of_one_object() {
    let output = demo(&["--interval", "5s"]);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(shown.contains("30 events sent, 30 lines read back"), "{shown}");
    assert!(shown.contains(r#"{"n":30,"event":"order.created""#), "{shown}");
}

#[test]
fn the_document_names_the_object_that_is_kept_with_a_data_dir() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let output = demo(&["--interval", "5s", "--events", "3", "--json", "--data-dir", path]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["equal"], &document["lines"]), (&true.into(), &3.into()));
    let key = document["key"].as_str().unwrap();
    let object = directory.path().join("s3").join(document["bucket"].as_str().unwrap()).join(key);
    assert_eq!(object.metadata().unwrap().len(), document["size_bytes"].as_u64().unwrap());
}
