//! The binary that is measured: a release build of the sources that the benchmark was built from.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// Builds minutelog as its users do, and says where it lies.
pub(crate) fn build() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().nth(2).expect("it lies two levels below the root");
    let bench = env::current_exe().context("a process knows its executable")?;
    let target = bench.ancestors().nth(2).context("it lies in a profile's directory")?;
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Alone, so that no feature comes with it that only tests have.
    command.args(["build", "--release", "--locked", "--quiet", "--package", "minutelog"]);
    let status = command.arg("--target-dir").arg(target).current_dir(root).status();
    let status = status.context("cargo can't be run")?;
    ensure!(status.success(), "the build of {} failed: {status}", root.display());
    Ok(target.join("release").join("minutelog"))
}
