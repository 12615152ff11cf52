//! Tracing: where log lines go and what they look like.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::args::LogFormat;
use crate::failure::{Code, Failure};

/// Sends tracing to standard error.
///
/// `level` is a level or a list of directives, as in `info,flusher=debug`; `quiet` are directives
/// that hold unless `level` has others for the same targets. Without a `format`, a terminal gets
/// text (in colours) and everything else JSON, one object a line.
pub(crate) fn start(format: Option<LogFormat>, level: &str, quiet: &[&str]) -> Result<(), Failure> {
    // Of two directives for one target the later one holds.
    let directives = [quiet, &[level]].concat().join(",");
    let filter = EnvFilter::builder().parse(directives).map_err(|error| {
        Failure::new(
            Code::Usage,
            format!("log level {level:?}: {error}: give trace, debug, info, warn, error or directives such as info,flusher=debug"),
        )
    })?;
    let terminal = io::stderr().is_terminal();
    let builder = fmt().with_writer(io::stderr).with_env_filter(filter);
    let started = match format {
        Some(LogFormat::Json) => builder.json().flatten_event(true).try_init(),
        None if !terminal => builder.json().flatten_event(true).try_init(),
        Some(LogFormat::Text) | None => builder.with_ansi(terminal).try_init(),
    };
    started.map_err(|error| {
        Failure::new(Code::Internal, format!("tracing: {error}: report this defect"))
    })
}
