//! What `admin` may ask of a running flusher.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use wal::{ControlServer, DataDir};

use crate::deliver::Delivery;
use crate::flusher::Early;
use crate::health::Failing;
use crate::part::DestinationFilter;
use crate::turns::Turns;

/// The name of the flusher's socket in the data directory.
const SOCKET: &str = "flusher";

/// So many destinations and buckets that fail are told at most.
const MAX_FAILING: usize = 1000;

/// Nobody waits longer for the main loop than this.
const TURN_PATIENCE: Duration = Duration::from_mins(2);

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Request {
    /// Try what waits now.
    Retry {
        #[serde(flatten)]
        filter: DestinationFilter,
    },
    /// Seal what nobody holds, also before its minute is over.
    Drain,
    /// Say what fails, and when it is tried again.
    Failing,
    /// Say that you are there.
    Hello,
    /// Say when the main loop has come round.
    Progress,
}

#[derive(Debug, Serialize, Deserialize)]
struct Retried {
    retried: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Draining {
    draining: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Hello {
    running: bool,
}

pub(crate) fn serve(
    data: &DataDir,
    delivery: Arc<Delivery>,
    early: Early,
    wake: Arc<Notify>,
    turns: Turns,
) -> wal::Result<ControlServer> {
    let handler = move |line: &str, out: &mut dyn Write| -> io::Result<()> {
        match serde_json::from_str(line)? {
            Request::Retry { filter } => {
                let retried = delivery.health(|health| {
                    health.clear(|bucket, destination| match destination {
                        Some(destination) => filter.matches(destination),
                        None => filter.bucket.as_ref().is_none_or(|wanted| wanted == bucket),
                    })
                });
                wake.notify_one();
                serde_json::to_writer(&mut *out, &Retried { retried })?;
            }
            Request::Failing => {
                let failing = delivery.health(|health| health.troubles(MAX_FAILING));
                serde_json::to_writer(&mut *out, &failing)?;
            }
            Request::Hello => serde_json::to_writer(&mut *out, &Hello { running: true })?,
            Request::Progress => {
                wake.notify_one();
                if !turns.wait(TURN_PATIENCE) {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                serde_json::to_writer(&mut *out, &true)?;
            }
            Request::Drain => {
                early.set();
                wake.notify_one();
                serde_json::to_writer(&mut *out, &Draining { draining: true })?;
            }
        }
        out.write_all(b"\n")
    };
    ControlServer::start(data, SOCKET, Arc::new(handler))
}

/// Asks a running flusher to try what waits now; `None` where none runs. Answers with the number
/// of destinations and buckets that waited.
pub fn ask_retry(data: &DataDir, filter: &DestinationFilter) -> wal::Result<Option<u64>> {
    let request = Request::Retry { filter: filter.clone() };
    let answer = wal::call(data, SOCKET, &request, wal::LOOK_PATIENCE)?;
    answer.map(|answer| read::<Retried>(data, answer).map(|retried| retried.retried)).transpose()
}

/// Asks a running flusher to seal all that nobody holds; `None` where none runs.
pub fn ask_drain(data: &DataDir) -> wal::Result<Option<()>> {
    let answer = wal::call(data, SOCKET, &Request::Drain, wal::LOOK_PATIENCE)?;
    answer.map(|answer| read::<Draining>(data, answer).map(drop)).transpose()
}

/// Asks a running flusher which destinations and buckets fail, and when they are tried again; `None`
/// where none runs. There may be more than it tells.
pub fn ask_failing(data: &DataDir) -> wal::Result<Option<Vec<Failing>>> {
    let answer = wal::call(data, SOCKET, &Request::Failing, wal::LOOK_PATIENCE)?;
    answer.map(|answer| read(data, answer)).transpose()
}

/// Whether a flusher runs. One that does not answer is an error.
pub fn is_running(data: &DataDir) -> wal::Result<bool> {
    let answer = wal::call(data, SOCKET, &Request::Hello, wal::LOOK_PATIENCE)?;
    answer.map_or(Ok(false), |answer| read::<Hello>(data, answer).map(|hello| hello.running))
}

/// Waits until the main loop of the flusher has come round once more. An error if it has not within
/// `patience`, or if none runs.
pub fn progresses(data: &DataDir, patience: Duration) -> wal::Result<()> {
    let answer = wal::call(data, SOCKET, &Request::Progress, patience)?;
    wal::answered(data, SOCKET, answer)
}

fn read<T: for<'de> Deserialize<'de>>(data: &DataDir, answer: impl io::Read) -> wal::Result<T> {
    serde_json::from_reader(answer).map_err(wal::unread(data, SOCKET))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    /// A socket that takes requests and never answers is what a stopped process leaves.
    #[test]
    fn one_that_is_stopped_is_told_as_such() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::at(dir.path());
        let _listener = UnixListener::bind(dir.path().join("flusher.sock")).unwrap();
        let retry = || ask_retry(&data, &DestinationFilter::default()).map(drop);
        let drain = || ask_drain(&data).map(drop);
        let look = || is_running(&data).map(drop);
        let failing = || ask_failing(&data).map(drop);
        let progress = || progresses(&data, wal::LOOK_PATIENCE);
        thread::scope(|scope| {
            for asked in [
                scope.spawn(retry),
                scope.spawn(drain),
                scope.spawn(look),
                scope.spawn(failing),
                scope.spawn(progress),
            ] {
                let error = asked.join().unwrap().unwrap_err();
                let what = "flusher.sock: flusher does not answer: it is stopped or hung";
                assert!(error.to_string().ends_with(what), "{error}");
            }
        });
    }

    #[test]
    fn an_answer_that_is_none_is_told_as_such() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::at(dir.path());
        let error = read::<Hello>(&data, &b"{\"running\":"[..]).unwrap_err();
        assert!(error.to_string().contains("cannot read the answer: EOF"), "{error}");
    }
}
