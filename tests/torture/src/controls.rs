//! Positive controls: builds that are broken on purpose, each of which the rig must catch. A rig
//! that passes a broken build is broken.
//!
//! A control is a patch in `tests/torture/controls`, applied to a copy of the sources. Its first
//! lines say what it breaks, which case, with how many rounds, has to fail on it, and what that has to
//! say then; where chance decides which of several comes first, each has a line of its own:
//!
//! ```text
//! Breaks: G1, an acknowledgement without fdatasync
//! Caught by: power-loss 5
//! Shows: and lost, on 0 lines
//! ```
//!
//! A case that fails for another reason has caught nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::build;

/// A broken build.
#[derive(Clone, Debug)]
struct Control {
    name: String,
    patch: PathBuf,
    breaks: String,
    case: String,
    rounds: String,
    /// What the rig says of it, in one of these ways.
    shows: Vec<String>,
}

/// Builds and runs the controls, and fails if one was not caught.
pub(crate) fn run(names: &[String]) -> Result<ExitCode> {
    let controls = chosen(names)?;
    let rig = std::env::current_exe().context("a process knows its executable")?;
    let (target, profile) = build::target()?;
    let place = target.join("torture-controls");
    seed(&target.join(&profile), &place.join("target").join(&profile))?;
    let mut missed = Vec::new();
    for control in &controls {
        let Control { name, breaks, case, rounds, .. } = control;
        eprintln!("--- {name} breaks {breaks}");
        let binary = broken(control, &place)?;
        let mut command = Command::new(&rig);
        command.args(["run", case, "--rounds", rounds, "--all", "--binary"]).arg(&binary);
        // Its verdict is all that it prints there; what it tells on the way passes by.
        command.stderr(Stdio::inherit());
        let output = command.output().context("the rig can't be run")?;
        let printed = String::from_utf8_lossy(&output.stdout);
        print!("{printed}");
        let caught = control.is_caught(output.status.code(), &printed);
        println!("{:<8} {name:<28} by {case}: {breaks}", if caught { "caught" } else { "MISSED" });
        if !caught {
            let expected = control.shows.join("` or `");
            let status = output.status;
            println!(
                "         it ended with {status}: expected 1, and `{expected}` in its verdict"
            );
            missed.push(name);
        }
    }
    println!("{} of {} broken builds were caught", controls.len() - missed.len(), controls.len());
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chosen(names: &[String]) -> Result<Vec<Control>> {
    let dir = build::root().join("tests/torture/controls");
    let mut controls = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let patch = entry?.path();
        let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if names.is_empty() || names.contains(&name) {
            controls.push(Control::read(name, patch)?);
        }
    }
    if let Some(strange) = names.iter().find(|name| controls.iter().all(|it| it.name != **name)) {
        bail!("no control is called {strange}: see {}", dir.display());
    }
    controls.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(controls)
}

impl Control {
    fn read(name: String, patch: PathBuf) -> Result<Self> {
        let text = fs::read_to_string(&patch)?;
        let field = |field: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(field));
            value.map(str::trim).with_context(|| format!("{name} has no line `{field}`"))
        };
        let breaks = field("Breaks:")?.to_owned();
        let (case, rounds) = field("Caught by:")?.split_once(' ').context("a case and rounds")?;
        let (case, rounds) = (case.to_owned(), rounds.to_owned());
        field("Shows:")?;
        let head = text.lines().take_while(|line| !line.is_empty());
        let shows = head.filter_map(|line| line.strip_prefix("Shows:"));
        let shows: Vec<_> = shows.map(|shown| shown.trim().to_owned()).collect();
        // Every output contains the empty text.
        ensure!(shows.iter().all(|shown| !shown.is_empty()), "{name} has an empty line `Shows:`");
        Ok(Self { name, patch, breaks, case, rounds, shows })
    }

    /// Whether the case failed for the reason that the broken build stands for.
    fn is_caught(&self, code: Option<i32>, printed: &str) -> bool {
        code == Some(1) && self.shows.iter().any(|shown| printed.contains(shown))
    }
}

/// Begins the controls' own target directory with what was built of other people's crates. It must
/// be their own: cargo tells a crate by where it lies in its workspace, and would take a broken one
/// for the sound one.
fn seed(built: &Path, own: &Path) -> Result<()> {
    if own.exists() {
        return Ok(());
    }
    fs::create_dir_all(own)?;
    for part in ["build", "deps", ".fingerprint"] {
        let from = built.join(part);
        if from.exists() {
            // With its times, by which cargo knows what is fresh.
            let status = Command::new("cp").arg("--archive").arg(&from).arg(own).status()?;
            ensure!(status.success(), "cannot copy {}: {status}", from.display());
        }
    }
    Ok(())
}

/// Builds the sources with the patch, and returns the binary.
fn broken(control: &Control, place: &Path) -> Result<PathBuf> {
    let sources = &place.join("sources");
    copy_sources(sources)?;
    let mut command = Command::new("patch");
    command.args(["--strip=1", "--silent", "--force", "--directory"]).arg(sources);
    command.arg("--input").arg(&control.patch);
    let status = command.status().context("patch can't be run")?;
    ensure!(status.success(), "{} does not apply any more: {status}", control.patch.display());
    let binary = place.join(format!("minutelog-{}", control.name));
    build::build(sources, &place.join("target"), &binary)?;
    Ok(binary)
}

/// Makes the copy of the sources equal to the sources. What is equal already keeps its time, so
/// that only what a patch has changed is built again.
fn copy_sources(to: &Path) -> Result<()> {
    let root = build::root();
    for dir in ["crates", "tests"] {
        copy_dir(&root.join(dir), &to.join(dir))?;
    }
    for file in ["Cargo.toml", "Cargo.lock"] {
        copy_file(&root.join(file), &to.join(file))?;
    }
    Ok(())
}

fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(to)? {
        let there = entry?.path();
        let name = there.file_name().context("an entry has a name")?;
        if !from.join(name).exists() && !there.is_dir() {
            fs::remove_file(&there)?;
        }
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, copy) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_dir(&source, &copy)?;
        } else {
            copy_file(&source, &copy)?;
        }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let text = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).ok().as_ref() != Some(&text) {
        fs::write(to, text).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: &str) -> Result<Control> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), format!("{head}\n--- a/x\n+++ b/x\n")).unwrap();
        Control::read("control".to_owned(), file.path().to_owned())
    }

    #[test]
    fn only_a_failure_for_the_right_reason_is_caught() {
        let head = "Breaks: G2\nCaught by: kill 5\nShows: and delivered twice\nShows: not whole\n";
        let control = read(head).unwrap();
        let failed = "FAILED   kill      5 rounds     9 s  ";
        let twice = format!("{failed}acknowledged as 01, and delivered twice, on 2 lines");
        assert!(control.is_caught(Some(1), &twice));
        assert!(control.is_caught(Some(1), &format!("{failed}a run is not whole")));
        assert!(!control.is_caught(Some(1), &format!("{failed}ingest found no free port")));
        assert!(!control.is_caught(Some(0), &twice));
        assert!(!control.is_caught(None, &twice));
    }

    #[test]
    fn a_control_says_what_it_shows() {
        let error = read("Breaks: G2\nCaught by: kill 5\n").unwrap_err();
        assert!(error.to_string().contains("no line `Shows:`"), "{error}");
        let error = read("Breaks: G2\nCaught by: kill 5\nShows: \n").unwrap_err();
        assert!(error.to_string().contains("empty line `Shows:`"), "{error}");
        assert!(!chosen(&[]).unwrap().is_empty());
    }
}
