//! `minutelog admin top`: the screen, until a key or a signal.

use std::env;
use std::io::{self, IsTerminal};
use std::sync::Arc;

use admin::TopOptions;
use model::{Clock, SystemClock};

use super::admin::{Stop, no_color_is_unset};
use super::inspector::ingest_url;
use super::runtime;
use crate::args::admin::TopArgs;
use crate::config::Config;
use crate::failure::{Code, Failure};
use crate::signals;

/// What does the same where there is no terminal.
const INSTEAD: &str =
    "use `minutelog admin log --json`, `admin events --json` or `admin receipts --json` instead";

/// Runs `admin top` until a key or a signal.
pub(crate) fn run(config: &Config, args: &TopArgs, json: bool) -> Result<(), Stop> {
    check(json)?;
    let options = TopOptions {
        data_dir: config.data_dir.clone(),
        ingest: ingest_url(config),
        max_bytes: config.log.max_bytes.get(),
        interval: args.interval,
        colour: no_color_is_unset(),
    };
    let runtime = runtime()?;
    let shutdown = {
        let _within = runtime.enter();
        signals::shutdown_token()?
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    Ok(admin::top(options, &clock, &shutdown)?)
}

/// Refuses what cannot be drawn on.
fn check(json: bool) -> Result<(), Failure> {
    let why = if json {
        "--json: it draws on a terminal"
    } else if !io::stdout().is_terminal() {
        "standard output is not a terminal"
    } else if env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb") {
        "TERM says that this terminal cannot be drawn on"
    } else {
        return Ok(());
    };
    Err(Failure::new(Code::Usage, format!("top: {why}: {INSTEAD}")))
}
