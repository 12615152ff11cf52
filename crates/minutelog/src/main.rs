//! The binary: arguments, configuration, tracing, signals, `demo` and `dev`. What the commands do
//! is done in the crates that it puts together.

mod args;
mod commands;
mod config;
#[cfg(feature = "embedded")]
mod embedded;
mod failure;
mod files;
#[cfg(feature = "embedded")]
mod local;
mod output;
mod reload;
mod signals;
mod supervision;
mod telemetry;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Parser;
use rustix::fs::Mode;
use rustix::process::umask;

use crate::args::{Cli, LogFormat};
use crate::failure::{Code, Failure};

fn main() -> ExitCode {
    // Files 0600 and directories 0700, also those that libraries make and the processes that `demo`
    // and `dev` start: events may hold anything.
    umask(Mode::RWXG | Mode::RWXO);
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match start_tracing(&cli).and_then(|level| commands::run(cli, level)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.exit_code()
        }
    }
}

/// What clap has to say: help and version are answers, the rest are errors.
fn usage(error: &clap::Error) -> ExitCode {
    if let Err(error) = error.print() {
        return Failure::io("standard output", &error, "look where it leads to").exit_code();
    }
    if error.use_stderr() { ExitCode::from(Code::Usage as u8) } else { ExitCode::SUCCESS }
}

fn start_tracing(cli: &Cli) -> Result<telemetry::Level, Failure> {
    let service = cli.command.is_service();
    let default_level = if service { "info" } else { "warn" };
    // An empty variable is none.
    let level = cli.global.log_level.as_deref().filter(|level| !level.is_empty());
    // Log lines would stand in the middle of the screen.
    let on_screen = cli.command.is_screen() && io::stderr().is_terminal();
    let level = if on_screen { Some("off") } else { level };
    let json = (service && cli.global.json).then_some(LogFormat::Json);
    // An operation that the embedded server does not have is an error to it and none to the flusher.
    let quiet: &[&str] = if service { &[] } else { &["s3s=off"] };
    telemetry::start(cli.global.log_format.or(json), level, default_level, quiet)
}
