//! `minutelog admin inspector`: the page, until a signal.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use admin::{Inspection, InspectionOptions};
use model::SystemClock;
use serde_json::json;

use super::admin::Stop;
use super::runtime;
use crate::args::admin::InspectorArgs;
use crate::config::Config;
use crate::failure::Failure;
use crate::output;
use crate::signals;

/// Runs `admin inspector` until a signal.
pub(crate) fn run(config: &Config, args: &InspectorArgs, json: bool) -> Result<(), Stop> {
    let options = InspectionOptions {
        data_dir: config.data_dir.clone(),
        ingest: ingest_url(config),
        token: args.token_file.as_deref().map(read_token).transpose()?,
    };
    let inspection = Inspection::bind(args.listen, options)?;
    let url = url(inspection.address());
    runtime()?.block_on(async {
        let shutdown = signals::shutdown_token()?;
        if json {
            output::print_json(&json!({ "inspector": url }))?;
        } else {
            output::print(&format!("inspector  {url}\n\nCtrl-C stops it.\n"))?;
        }
        Ok(inspection.serve(Arc::new(SystemClock), shutdown).await?)
    })
}

/// Where a browser finds the page.
pub(crate) fn url(address: SocketAddr) -> String {
    format!("http://{address}/")
}

/// Where clients send to, as far as the configuration knows.
pub(super) fn ingest_url(config: &Config) -> String {
    let scheme = if config.ingest.tls.files().is_some() { "https" } else { "http" };
    format!("{scheme}://{}", config.ingest.listen)
}

fn read_token(file: &Path) -> Result<String, Failure> {
    let shown = file.display().to_string();
    let text = fs::read_to_string(file).map_err(|error| {
        Failure::io(&shown, &error, "make it with one line, the token, and let this user read it")
    })?;
    Ok(text.trim().to_owned())
}
