//! The binary under test: the one that was built together with the test that runs.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

const HOW: &str = "run `cargo test --workspace`: it builds the binary together with its tests";

/// The path of `minutelog`, beside the running test: `…/target/debug/deps/X` has it at
/// `…/target/debug/minutelog`.
///
/// `cargo test -p tests` does not build it. So that an old one isn't tested for the new one, it is
/// compared with its sources, which cargo lists in the file `minutelog.d` beside it.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = env::current_exe().expect("a process knows its executable");
        let profile = test.parent().and_then(Path::parent).expect("tests lie in target/*/deps");
        let binary = profile.join("minutelog");
        let built = modified(&binary);
        for source in sources(&profile.join("minutelog.d")) {
            assert!(
                modified(&source) <= built,
                "{} is older than {}: {HOW}",
                binary.display(),
                source.display()
            );
        }
        binary
    })
}

fn modified(path: &Path) -> SystemTime {
    fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .unwrap_or_else(|error| panic!("{}: {error}: {HOW}", path.display()))
}

/// What stands behind the colon of a make rule, where `\ ` is a space within a path.
fn sources(rule: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(rule)
        .unwrap_or_else(|error| panic!("{}: {error}: {HOW}", rule.display()));
    let (_, sources) = text.split_once(": ").expect("cargo writes one make rule");
    let sources = sources.replace("\\ ", "\0");
    let sources: Vec<PathBuf> =
        sources.split_whitespace().map(|path| path.replace('\0', " ").into()).collect();
    assert!(sources.len() > 10, "{} lists no sources: {text}", rule.display());
    sources
}
