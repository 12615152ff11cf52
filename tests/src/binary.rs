//! The binary under test: the one that was built together with the test that runs.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

static BINARY: OnceLock<PathBuf> = OnceLock::new();

const HOW: &str = "run `cargo test --workspace`: it builds the binary together with its tests";

/// The path of `minutelog`, beside the running test: `…/target/debug/deps/X` has it at
/// `…/target/debug/minutelog`.
///
/// `cargo test -p tests` does not build it. So that an old one isn't tested for the new one, it is
/// compared with the sources that it was built from.
pub fn binary() -> &'static Path {
    BINARY.get_or_init(|| {
        let test = env::current_exe().expect("a process knows its executable");
        let deps = test.parent().expect("tests lie in target/*/deps");
        let binary = deps.with_file_name("minutelog");
        let built =
            modified(&binary).unwrap_or_else(|| panic!("{} is not there: {HOW}", binary.display()));
        for source in sources(deps) {
            assert!(
                modified(&source).is_none_or(|modified| modified <= built),
                "{} is older than {}: {HOW}",
                binary.display(),
                source.display()
            );
        }
        binary
    })
}

/// Drives this binary instead, from the first use on.
pub fn choose_binary(path: PathBuf) {
    BINARY.set(path).expect("it is chosen once, before it is used");
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// The sources of every crate of ours, as rustc noted them when it last built each one as a
/// library or a binary: what only a crate's own tests are made of is not among them.
fn sources(deps: &Path) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above");
    let notes: Vec<PathBuf> = entries(deps);
    let mut sources = Vec::new();
    for name in entries(&root.join("crates")).iter().filter_map(|path| path.file_name()) {
        let name = name.to_string_lossy();
        let of_crate = |path: &&PathBuf| {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            let hash = file.strip_prefix(&*name).and_then(|rest| rest.strip_prefix('-'));
            hash.is_some_and(|hash| !hash.contains('-') && hash.strip_suffix(".d").is_some())
        };
        let rules = notes.iter().filter(of_crate).filter_map(|note| {
            Some((modified(note)?, rule(&fs::read_to_string(note).ok()?, name == "minutelog")?))
        });
        let latest = rules.max_by_key(|(written, _)| *written);
        sources.extend(latest.into_iter().flat_map(|(_, rule)| rule));
    }
    sources.iter().map(|source| root.join(source)).collect()
}

/// The sources in the first fitting rule of a makefile by rustc, where `\ ` is a space in a path.
fn rule(makefile: &str, is_binary: bool) -> Option<Vec<String>> {
    let fits = |(target, _): &(&str, &str)| is_binary || target.strip_suffix(".rlib").is_some();
    let (_, sources) = makefile.lines().filter_map(|line| line.split_once(": ")).find(fits)?;
    let sources = sources.replace("\\ ", "\0");
    let sources = sources.split_whitespace().map(|path| path.replace('\0', " "));
    // The binary and its own tests leave notes of the same form.
    Some(sources.filter(|path| !is_binary || !path.ends_with("tests.rs")).collect())
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}
