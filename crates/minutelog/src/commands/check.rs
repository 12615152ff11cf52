//! `minutelog check`: validates the configuration and prints it resolved, secrets redacted.

use super::load_config;
use crate::args::Global;
use crate::failure::{Code, Failure};
use crate::output;

/// Runs `check`.
pub(crate) fn run(global: &Global) -> Result<(), Failure> {
    let loaded = load_config(global)?;
    loaded.check_for_ingest()?;
    if global.json {
        return output::print_json(&loaded.config);
    }
    let text = toml::to_string(&loaded.config).map_err(|error| {
        Failure::new(Code::Internal, format!("configuration as TOML: {error}: report this defect"))
    })?;
    output::print(&text)
}
