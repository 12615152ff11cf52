//! The torture rig: real services, every fault that we can make, and a judge.
//!
//! `cargo run -p torture -- run` runs a short pass of each case, `--long` the whole of it; `list`
//! tells what there is, `controls` shows that the rig catches builds that are broken on purpose.
//! Everything is seeded: a run prints its seed and settings, and `--seed` makes the same faults in
//! the same order again. The moments at which they hit depend on the machine.
//!
//! The judge (`settle`) decides by what was acknowledged and what stands in S3 at the end:
//!
//! - A: each acknowledged event on exactly one line of exactly one object of its destination and
//!   minute;
//! - B: each other event on one line at most;
//! - C: every object whole, in agreement with its metadata and its receipt, one a destination and
//!   minute;
//! - D: once the fault has ended the log drains, the directories return to their base line, and no
//!   multipart upload is left;
//! - E: what is not hit by a fault is delivered while the fault lasts;
//! - F: what can't be recovered is reported with a count and an exit code, never passed over.

#![allow(
    clippy::missing_panics_doc,
    clippy::indexing_slicing,
    reason = "a case panics where something is not as it must be, and the runner tells it"
)]

mod build;
mod case;
mod cases;
mod controls;
mod figures;
mod judge;
mod mount;
mod need;
mod prepared;
mod process;
mod runner;
mod strace;
mod witness;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::runner::Settings;

/// Breaks minutelog in every way we know, and judges what is left by what was acknowledged.
#[derive(Debug, Parser)]
#[command(after_help = "Example: cargo run -p torture -- run kill --long --seed 7")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs cases: those that are named, else all of them.
    Run(Settings),
    /// Lists the cases.
    List,
    /// Shows that the rig catches builds that are broken on purpose: those that are named, else all.
    Controls {
        /// Names of files in tests/torture/controls, without `.patch`.
        names: Vec<String>,
    },
    /// The ledger: syncs each line of its standard input to a file before it says so.
    #[command(hide = true)]
    Ledger {
        /// The file, which is made.
        file: PathBuf,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Args::parse().command {
        Command::Run(settings) => runner::run(&settings),
        Command::List => Ok(runner::list()),
        Command::Controls { names } => controls::run(&names),
        Command::Ledger { file } => witness::serve(&file).map(|()| ExitCode::SUCCESS),
    }
}
