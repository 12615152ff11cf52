//! The benchmark: real services in processes of their own, a load generator, a stand-in for S3 that
//! swallows what it gets, and the limits of the machine measured beside them on the same disk.
//!
//! `cargo run --release -p bench -- run` measures everything, `run STAGE` one thing; `list` tells
//! what there is. Machines are noisy: what counts are the ratios to a limit of the same run.
//! `docs/benchmarks.md` has the method and the latest table.

mod binary;
mod client;
mod events;
mod figure;
mod latency;
mod limits;
mod load;
mod machine;
mod progress;
mod service;
mod settings;
mod site;
mod stages;
mod store;
mod usage;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::settings::Settings;

/// Measures how fast minutelog is, and how near to what the machine allows.
#[derive(Debug, Parser)]
#[command(after_help = "Example: cargo run --release -p bench -- run bulk --seconds 30")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs stages: those that are named, else all of them.
    Run(Settings),
    /// Lists the stages.
    List,
}

fn main() -> anyhow::Result<ExitCode> {
    match Args::parse().command {
        Command::Run(settings) => stages::run(&settings),
        Command::List => {
            stages::list();
            Ok(ExitCode::SUCCESS)
        }
    }
}
