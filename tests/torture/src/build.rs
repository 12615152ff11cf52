//! The binary under torture: built by the rig, and copied, so that a build beside it changes nothing.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The root of the workspace that the rig was built from.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("it lies two levels below the root")
}

/// Where the rig was built, and with which profile: `…/target` and `debug`.
pub(crate) fn target() -> Result<(PathBuf, String)> {
    let rig = env::current_exe().context("a process knows its executable")?;
    let profile = rig.parent().context("it lies in a directory")?;
    let target = profile.parent().context("the directory lies in the target directory")?;
    let name = profile.file_name().context("a directory has a name")?;
    Ok((target.to_owned(), name.to_string_lossy().into_owned()))
}

/// Builds the workspace at `root` into the directory `target`, with the rig's own profile, and
/// copies the binary to `to`.
pub(crate) fn build(root: &Path, target: &Path, to: &Path) -> Result<()> {
    let (_, profile) = self::target()?;
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // A test of the binary brings the binary with it, and selected among all of the workspace it
    // has the features that `cargo test --workspace` builds it with: the fault points.
    command.args(["test", "--workspace", "--no-run", "--quiet", "--locked", "--test", "cli"]);
    if profile == "release" {
        command.arg("--release");
    }
    command.arg("--target-dir").arg(target).current_dir(root);
    let status = command.status().context("cargo can't be run")?;
    ensure!(status.success(), "the build of {} failed: {status}", root.display());
    copy(&target.join(profile).join("minutelog"), to)
}

/// Copies a binary.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

/// Where a binary is copied to within a directory.
pub(crate) fn place(dir: &Path) -> PathBuf {
    dir.join("minutelog")
}
