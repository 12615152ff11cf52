//! A data directory on the disk that is measured, with its configuration and its store.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::service::{Service, free_addresses};
use crate::store::Store;
use crate::usage::{Usage, peak_resident_bytes};

/// How often the resident memory of a command is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What is measured, and where.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The binary.
    pub(crate) binary: PathBuf,
    /// A directory on the disk.
    pub(crate) dir: PathBuf,
}

/// A machine with minutelog on it.
#[derive(Debug)]
pub(crate) struct Site {
    dir: TempDir,
    binary: PathBuf,
    started: AtomicU32,
    /// Where it delivers to.
    pub(crate) store: Store,
}

/// What a flusher that was run until the log was empty has used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flushed {
    pub(crate) elapsed: Duration,
    pub(crate) cpu: Duration,
    pub(crate) written_bytes: u64,
    pub(crate) peak_resident_bytes: u64,
}

impl Site {
    /// With minutes of this length and this compression; `gzip_level` as in the configuration.
    pub(crate) fn new(place: &Place, interval: &str, gzip_level: &str) -> Result<Self> {
        fs::create_dir_all(&place.dir)?;
        let dir = TempDir::with_prefix_in("site-", fs::canonicalize(&place.dir)?)?;
        let store = Store::start()?;
        let text = format!(
            "data_dir = \"{}\"\n[log]\ninterval = \"{interval}\"\nmax_bytes = \"1TiB\"\n\
             [ingest]\nauth = \"none\"\n[flusher]\ngzip_level = {gzip_level}\n\
             [s3]\nregion = \"us-east-1\"\nendpoint = \"{}\"\npath_style = true\n",
            dir.path().join("data").display(),
            store.url(),
        );
        fs::write(dir.path().join("minutelog.toml"), text)?;
        let binary = fs::canonicalize(&place.binary)
            .with_context(|| format!("{} is not there", place.binary.display()))?;
        Ok(Self { dir, binary, started: AtomicU32::new(0), store })
    }

    /// A directory beside the data.
    pub(crate) fn beside(&self) -> &Path {
        self.dir.path()
    }

    /// Starts ingest and waits until it is ready.
    pub(crate) fn ingest(&self) -> Result<Service> {
        let mut ingest = self.spawn_ingest()?;
        ingest.ready()?;
        Ok(ingest)
    }

    /// Starts ingest.
    pub(crate) fn spawn_ingest(&self) -> Result<Service> {
        let [address, ops] = free_addresses()?;
        let mut command = self.command(&["ingest", "--stop-with-parent"]);
        command.env("MINUTELOG__INGEST__LISTEN", address.to_string());
        command.env("MINUTELOG__INGEST__OPS_LISTEN", ops.to_string());
        Service::spawn(command, self.log("ingest"), address, ops)
    }

    /// Starts the flusher and waits until it is ready.
    pub(crate) fn flusher(&self) -> Result<Service> {
        let [ops] = free_addresses()?;
        let mut command = self.command(&["flusher", "--stop-with-parent"]);
        command.env("MINUTELOG__FLUSHER__OPS_LISTEN", ops.to_string());
        let mut flusher = Service::spawn(command, self.log("flusher"), ops, ops)?;
        flusher.ready()?;
        Ok(flusher)
    }

    /// Runs the flusher until all is delivered, minutes that are not over included.
    pub(crate) fn flush(&self) -> Result<Flushed> {
        let [ops] = free_addresses()?;
        let log = self.log("once");
        let mut command = self.command(&["flusher", "--once"]);
        command.env("MINUTELOG__FLUSHER__OPS_LISTEN", ops.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log)?);
        let (started, cpu_before) = (Instant::now(), Usage::of_ended_children()?);
        let mut child = command.spawn().context("the binary can't be run")?;
        let (mut peak, mut written) = (0, 0);
        let status = loop {
            // Between its end and the wait for it there is nothing to be seen.
            peak = peak_resident_bytes(child.id()).map_or(peak, |now| peak.max(now));
            written = Usage::of(child.id()).map_or(written, |usage| usage.written_bytes);
            if let Some(status) = child.try_wait()? {
                break status;
            }
            thread::sleep(LOOK_EVERY);
        };
        let elapsed = started.elapsed();
        let text = || fs::read_to_string(&log).unwrap_or_default();
        ensure!(status.success(), "the flusher ended badly: {status}: {}", text());
        Ok(Flushed {
            elapsed,
            cpu: Usage::of_ended_children()?.saturating_sub(cpu_before),
            written_bytes: written,
            peak_resident_bytes: peak,
        })
    }

    fn log(&self, name: &str) -> PathBuf {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        self.dir.path().join(format!("{number:03}-{name}.log"))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(args)
            .arg("--config")
            .arg(self.dir.path().join("minutelog.toml"))
            .env_clear()
            .env("HOME", self.dir.path())
            .env("AWS_ACCESS_KEY_ID", "bench")
            .env("AWS_SECRET_ACCESS_KEY", "bench")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }
}
