//! One file per command: what the command line and the configuration say, told to the crate that
//! does it.

pub(crate) mod admin;
pub(crate) mod check;
#[cfg(feature = "embedded")]
pub(crate) mod demo;
#[cfg(feature = "embedded")]
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod flusher;
pub(crate) mod ingest;
pub(crate) mod inspector;
pub(crate) mod pages;
pub(crate) mod s3;
pub(crate) mod token;
pub(crate) mod top;

use std::env;

use tokio::runtime::Runtime;

use crate::args::{Cli, Command, Global};
use crate::config::{self, Config, ConfigError, Loaded};
use crate::failure::{Code, Failure};
use crate::telemetry::Level;

/// Runs the command.
pub(crate) fn run(cli: Cli, level: Level) -> Result<(), Failure> {
    let global = cli.global;
    match cli.command {
        #[cfg(feature = "embedded")]
        Command::Demo(args) => demo::run(&global, &args),
        #[cfg(feature = "embedded")]
        Command::Dev(args) => dev::run(&global, &args),
        Command::Ingest(args) => ingest::run(global, &args, level),
        Command::Flusher(args) => flusher::run(global, &args, level),
        Command::Check(args) => check::run(&global, &args),
        Command::Admin { command } => admin::run(&global, command),
        Command::Completions(args) => pages::completions(&args),
        Command::Man(args) => pages::man(&args),
    }
}

/// Reads the configuration that the command line and the environment name.
pub(crate) fn load_config(global: &Global) -> Result<Loaded, Failure> {
    let file = config::config_file(global.config.as_deref(), env::var_os("MINUTELOG_CONFIG"));
    Ok(config::load(file.as_deref(), env::vars_os(), global.data_dir.as_deref())?)
}

/// Says in the log of a service what its section of the configuration opens to others.
pub(crate) fn warn(config: &Config, service: &str) {
    for (_, warning) in config.warnings().iter().filter(|(section, _)| *section == service) {
        tracing::warn!("{warning}");
    }
}

/// Refuses a configuration file where there is nothing to configure.
#[cfg(feature = "embedded")]
fn refuse_config_file(global: &Global, command: &str) -> Result<(), Failure> {
    if global.config.is_none() {
        return Ok(());
    }
    let message = format!(
        "--config: {command} makes its own configuration: leave the flag out, or run `minutelog ingest` and `minutelog flusher` with the file"
    );
    Err(Failure::new(Code::Usage, message))
}

/// Says in one line which variables of the environment have no say where a command makes its own
/// configuration.
#[cfg(feature = "embedded")]
fn warn_of_variables(command: &str) {
    let names = config::variables(env::vars_os());
    if !names.is_empty() {
        let names = names.join(", ");
        eprintln!("warning: {command} makes its own configuration and does not use {names}");
    }
}

/// The runtime that a command's async part runs on.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    Runtime::new()
        .map_err(|error| Failure::io("threads", &error, "check the limits of the process"))
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Code::Config, error.to_string())
    }
}
