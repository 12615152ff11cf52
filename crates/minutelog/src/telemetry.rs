//! Tracing: where log lines go, what they look like, and which there are.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::reload::{Error, Handle};

use crate::args::LogFormat;
use crate::config::LogLevel;
use crate::failure::{Code, Failure};

/// Which log lines there are: by the command line, or else by the configuration, or else by default.
pub(crate) struct Level {
    given: bool,
    default: String,
    set: Box<dyn Fn(EnvFilter) -> Result<(), Error>>,
}

impl Level {
    /// Whether the command line has said which lines there are, so that no configuration has a say.
    pub(crate) fn is_given(&self) -> bool {
        self.given
    }

    /// Goes by a configuration from now on, unless the command line has said which lines there are.
    pub(crate) fn follow(&self, configured: Option<&LogLevel>) {
        if self.given {
            return;
        }
        let level = configured.map_or(self.default.as_str(), LogLevel::as_str);
        let set = match LogLevel::parse(level) {
            Ok(filter) => (self.set)(filter).map_err(|error| error.to_string()),
            Err(why) => Err(why),
        };
        if let Err(error) = set {
            tracing::error!(level, error, "the log level stays as it is");
        }
    }
}

/// Sends tracing to standard error.
///
/// `level` is a level or a list of directives, as in `info,flusher=debug`, if one was given; `quiet`
/// are directives that hold unless `level` has others for the same targets. Without a `format`, a
/// terminal gets text (in colours) and everything else JSON, one object a line.
pub(crate) fn start(
    format: Option<LogFormat>,
    level: Option<&str>,
    default: &str,
    quiet: &[&str],
) -> Result<Level, Failure> {
    // Of two directives for one target the later one holds.
    let with_quiet = |level| [quiet, &[level]].concat().join(",");
    let default = with_quiet(default);
    let directives = level.map_or_else(|| default.clone(), with_quiet);
    let refuse = |why| Failure::new(Code::Usage, format!("log level: {why}"));
    level.map(LogLevel::parse).transpose().map_err(refuse)?;
    let filter = LogLevel::parse(&directives).map_err(refuse)?;
    let terminal = io::stderr().is_terminal();
    let builder = fmt().with_writer(io::stderr);
    let json = match format {
        Some(format) => format == LogFormat::Json,
        None => !terminal,
    };
    let given = level.is_some();
    let (set, started) = if json {
        let builder = builder.json().flatten_event(true);
        let builder = builder.with_env_filter(filter).with_filter_reloading();
        (setter(builder.reload_handle()), builder.try_init())
    } else {
        let builder = builder.with_ansi(terminal);
        let builder = builder.with_env_filter(filter).with_filter_reloading();
        (setter(builder.reload_handle()), builder.try_init())
    };
    started.map_err(|error| {
        Failure::new(Code::Internal, format!("tracing: {error}: report this defect"))
    })?;
    Ok(Level { given, default, set })
}

fn setter<S: 'static>(handle: Handle<EnvFilter, S>) -> Box<dyn Fn(EnvFilter) -> Result<(), Error>> {
    Box::new(move |filter| handle.reload(filter))
}
