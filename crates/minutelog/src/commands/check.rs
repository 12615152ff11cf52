//! `minutelog check`: validates the configuration, looks whether a service could work on the data
//! directory, and prints the configuration resolved, secrets redacted.

use model::{Clock as _, SystemClock};
use wal::DataDir;

use super::load_config;
use crate::args::{CheckArgs, CheckedService, Global};
use crate::failure::{Code, Failure};
use crate::output;

/// Runs `check`.
pub(crate) fn run(global: &Global, args: &CheckArgs) -> Result<(), Failure> {
    let loaded = load_config(global)?;
    if args.service != Some(CheckedService::Flusher) {
        loaded.check_for_ingest()?;
    }
    for (_, warning) in loaded.config.warnings() {
        eprintln!("warning: {warning}");
    }
    let validity = loaded.config.ingest.tls.validity().and_then(Result::ok);
    if let Some(problem) = validity.and_then(|validity| validity.problem(SystemClock.now())) {
        eprintln!("warning: ingest.tls.certificate: {problem}: clients will refuse to connect");
    }
    let data = DataDir::at(&loaded.config.data_dir);
    data.examine().map_err(|error| Failure::log("data_dir", &error))?;
    if global.json {
        return output::print_json(&loaded.config);
    }
    let text = toml::to_string(&loaded.config).map_err(|error| {
        Failure::new(Code::Internal, format!("configuration as TOML: {error}: report this defect"))
    })?;
    output::print(&text)
}
