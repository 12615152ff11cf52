//! One service as a child process.

use std::env;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, ChildStdin, Command};

use crate::embedded::Keys;
use crate::failure::{Code, Failure};

/// How long a service may take until it is ready.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// How long a service may take to stop gracefully.
const STOP_PATIENCE: Duration = Duration::from_mins(1);

const POLL_EVERY: Duration = Duration::from_millis(25);

/// How many lines of a log are shown when its service dies.
const LOG_TAIL_LINES: usize = 20;

/// A running service. It stops when this process ends, however it ends: the service reads its
/// standard input, whose other end is held here.
pub(crate) struct Service {
    name: &'static str,
    child: Child,
    pid: u32,
    _lifeline: Option<ChildStdin>,
    log: PathBuf,
}

impl Service {
    /// Starts `minutelog NAME` with this configuration; its log goes into `directory`.
    pub(crate) fn start(
        name: &'static str,
        directory: &Path,
        config_file: &Path,
        keys: Option<&Keys>,
    ) -> Result<Self, Failure> {
        let failed =
            |error| Failure::io(&format!("process {name}"), &error, "check disk and limits");
        let log = directory.join(format!("{name}.log"));
        let log_file = File::create(&log).map_err(failed)?;
        let mut command = Command::new(env::current_exe().map_err(failed)?);
        command
            .args([name, "--stop-with-parent", "--log-format", "text", "--config"])
            .arg(config_file)
            .stdin(Stdio::piped())
            .stdout(log_file.try_clone().map_err(failed)?)
            .stderr(log_file)
            // Ctrl-C goes to the whole group of a terminal; the service must get one signal, from here.
            .process_group(0)
            .kill_on_drop(true);
        shield(&mut command);
        if let Some(keys) = keys {
            command.env("AWS_ACCESS_KEY_ID", &keys.access_key_id);
            command.env("AWS_SECRET_ACCESS_KEY", &keys.secret_access_key);
        }
        let mut child = command.spawn().map_err(failed)?;
        let lifeline = child.stdin.take();
        let pid = child.id().unwrap_or_default();
        Ok(Self { name, child, pid, _lifeline: lifeline, log })
    }

    /// The id of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until `/readyz` at `ops` says yes.
    pub(crate) async fn ready(&mut self, ops: SocketAddr) -> Result<(), Failure> {
        let url = format!("http://{ops}/readyz");
        let client = reqwest::Client::new();
        let started = Instant::now();
        while started.elapsed() < START_PATIENCE {
            let answer = client.get(&url).timeout(Duration::from_secs(2)).send();
            tokio::select! {
                failure = self.ended() => return Err(failure),
                answer = answer => {
                    if answer.is_ok_and(|answer| answer.status().is_success()) {
                        return Ok(());
                    }
                }
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
        Err(self.failure(&format!("not ready after {} s", START_PATIENCE.as_secs())))
    }

    /// Waits for it to end, which it should not do by itself.
    pub(crate) async fn ended(&mut self) -> Failure {
        let how = match self.child.wait().await {
            Ok(status) => format!("ended ({status})"),
            Err(error) => error.to_string(),
        };
        self.failure(&how)
    }

    /// SIGTERM, then some patience, then SIGKILL. Anything but a clean end is a failure.
    pub(crate) async fn stop(&mut self) -> Result<(), Failure> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return self.judge(status);
        }
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid
            && let Err(error) = kill_process(pid, Signal::TERM)
        {
            tracing::warn!(service = self.name, %error, "cannot be told to stop");
        }
        match tokio::time::timeout(STOP_PATIENCE, self.child.wait()).await {
            Ok(Ok(status)) => self.judge(status),
            Ok(Err(error)) => Err(self.failure(&error.to_string())),
            Err(_) => {
                let late = format!("did not stop within {} s", STOP_PATIENCE.as_secs());
                let failure = self.failure(&late);
                if let Err(error) = self.child.kill().await {
                    tracing::warn!(service = self.name, %error, "cannot be killed");
                }
                Err(failure)
            }
        }
    }

    fn judge(&self, status: ExitStatus) -> Result<(), Failure> {
        if status.success() { Ok(()) } else { Err(self.failure(&format!("ended ({status})"))) }
    }

    fn failure(&self, how: &str) -> Failure {
        let message = format!("{} {how}: its log says why\n\n{}", self.name, self.log_tail());
        Failure::new(Code::Unavailable, message)
    }

    /// The end of its log.
    pub(crate) fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_else(|error| error.to_string());
        let lines: Vec<_> = text.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(LOG_TAIL_LINES)..).unwrap_or_default();
        format!("{}:\n{}", self.log.display(), tail.join("\n"))
    }
}

/// Keeps this process's environment from changing what the service does: its own configuration, and
/// what it is given of AWS and of proxies, would all lead away from loopback.
fn shield(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let lower = name.to_string_lossy().to_lowercase();
        if lower.starts_with("minutelog_") || lower.starts_with("aws_") || lower.ends_with("_proxy")
        {
            command.env_remove(&name);
        }
    }
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("AWS_CONFIG_FILE", "/dev/null");
    command.env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
}

/// Writes a file whole.
pub(crate) fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text)
        .map_err(|error| Failure::io(&path.display().to_string(), &error, "check the disk"))
}
