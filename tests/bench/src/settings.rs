//! What is measured, and for how long.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// The settings of a run.
#[derive(Clone, Debug, Args)]
pub(crate) struct Settings {
    /// Names of stages.
    pub(crate) stages: Vec<String>,
    /// How long each load runs, in seconds; the amounts of events grow with it.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// How long `whole` runs, in seconds: ten minutes, if not given.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(10..=86_400))]
    sustained: u32,
    /// Everything as small as it can be: whether the benchmark works, not how fast minutelog is.
    #[arg(long, conflicts_with_all = ["seconds", "sustained"])]
    pub(crate) short: bool,
    /// A directory on the disk that is to be measured; made and removed again.
    #[arg(long, default_value = "target/bench")]
    pub(crate) dir: PathBuf,
    /// A binary to measure in place of a fresh release build.
    #[arg(long)]
    pub(crate) binary: Option<PathBuf>,
    /// The seed of the events' contents.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Write all figures as one JSON document to this file; `-` is standard output.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

impl Settings {
    /// How long a load runs.
    pub(crate) fn load(&self) -> Duration {
        Duration::from_secs(if self.short { 2 } else { self.seconds.into() })
    }

    /// How long a limit is measured each time: before and after a load.
    pub(crate) fn limit(&self) -> Duration {
        (self.load() / 5).max(Duration::from_millis(500))
    }

    /// How long the whole way is under load.
    pub(crate) fn sustained(&self) -> Duration {
        Duration::from_secs(if self.short { 10 } else { self.sustained.into() })
    }

    /// So much of a stage's amount as fits the settings: `per_second` for each second of a load.
    pub(crate) fn amount(&self, per_second: u64) -> u64 {
        per_second * self.load().as_secs()
    }
}
