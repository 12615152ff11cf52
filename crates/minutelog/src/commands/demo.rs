//! `minutelog demo`: the whole job in one go, and the proof that it was done.

mod events;
mod object;
mod screen;
mod verdict;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::{Bucket, Clock, EventId, Interval, Minute, Prefix, SystemClock};
use tempfile::TempDir;

use self::events::Sender;
use self::object::{Bytes, Reader};
use self::screen::Screen;
use self::verdict::Verdict;
use super::runtime;
use crate::args::{DemoArgs, Global};
use crate::failure::{Code, Failure};
use crate::local::{Local, Ports};
use crate::signals;

const BUCKET: &str = "minutelog-demo";
const PREFIX: &str = "demo/";

/// Less than that of a minute left, and the next one is waited for.
const SENDING_NEEDS: Duration = Duration::from_secs(3);

/// How long the object may take after the end of its minute.
const DELIVERY_PATIENCE: Duration = Duration::from_mins(1);

const POLL_EVERY: Duration = Duration::from_millis(100);

/// Runs `demo`.
pub(crate) fn run(global: &Global, args: &DemoArgs) -> Result<(), Failure> {
    super::refuse_config_file(global, "demo")?;
    super::warn_of_variables("demo");
    let place = Place::choose(global.data_dir.as_deref())?;
    runtime()?.block_on(demo(&place, args, Screen::new(global.json)))
}

/// Where the demo's files lie.
enum Place {
    /// Removed at the end.
    Temporary(TempDir),
    /// Kept.
    Given(PathBuf),
}

impl Place {
    fn choose(given: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = given else {
            return TempDir::with_prefix("minutelog-demo-")
                .map(Self::Temporary)
                .map_err(|error| Failure::io("temporary directory", &error, "check TMPDIR"));
        };
        let what = path.display();
        let failed = |error| Failure::io(&what.to_string(), &error, "choose another directory");
        fs::create_dir_all(path).map_err(failed)?;
        if fs::read_dir(path).map_err(failed)?.next().is_some() {
            return Err(Failure::new(
                Code::Usage,
                format!("directory {what}: not empty: give an empty or a new one with --data-dir"),
            ));
        }
        std::path::absolute(path).map(Self::Given).map_err(failed)
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(directory) => directory.path(),
            Self::Given(path) => path,
        }
    }
}

/// What the job brought to light.
struct Done {
    ids: Vec<EventId>,
    minute: Minute,
    key: String,
    bytes: Bytes,
}

async fn demo(place: &Place, args: &DemoArgs, screen: Screen) -> Result<(), Failure> {
    let started = Instant::now();
    let shutdown = signals::shutdown_token()?;
    let bucket = Bucket::new(BUCKET).expect("the name follows S3's rules");
    screen.title("one minute, from HTTP to S3")?;
    let mut local = tokio::select! {
        local = Local::start(place.path(), &bucket, args.interval, Ports::any()?) => local?,
        () = shutdown.cancelled() => return Err(interrupted()),
    };
    screen.services(&local)?;
    let lines = events::lines(args.events);
    let reader = Reader::new(&local.s3_url, &bucket, PREFIX);
    let sender = Sender::new(local.ingest_address, &bucket, PREFIX);
    let done = tokio::select! {
        done = job(&screen, &sender, &reader, &lines, args.interval) => done,
        failure = local.failed() => Err(failure),
        () = shutdown.cancelled() => Err(interrupted()),
    };
    let done = match done {
        Ok(Some(done)) => done,
        Ok(None) => {
            let failure = undelivered(&local);
            return Err(stopped(local, failure).await);
        }
        Err(failure) => return Err(stopped(local, failure).await),
    };
    // Whatever was still to come has come once both have stopped: now the objects can be counted.
    local.stop_services().await?;
    let objects = reader.list().await?.len();
    local.stop().await?;
    let verdict = Verdict::of(&lines, &done.bytes, objects)?;
    screen.object(&done, &verdict, started.elapsed())
}

/// Sends, waits for the end of the minute, and reads the object. `None`: no object came.
async fn job(
    screen: &Screen,
    sender: &Sender,
    reader: &Reader,
    lines: &[String],
    interval: Interval,
) -> Result<Option<Done>, Failure> {
    let clock = SystemClock;
    let minute = Minute::containing(clock.now(), interval);
    let needed = SENDING_NEEDS.min(interval.as_duration() / 3);
    if minute.end().since(clock.now()) < needed {
        screen.countdown("the next minute begins", minute.end(), &clock).await?;
    }
    screen.sending(lines.len(), Sender::requests(lines.len()))?;
    let ids = sender.send(lines).await?;
    screen.accepted(&ids)?;
    let minute = same_minute(&ids, interval)?;
    screen.countdown(&format!("minute {minute} ends"), minute.end(), &clock).await?;

    let spinner = screen.spinner("sealed, on its way to S3");
    let waiting = Instant::now();
    while waiting.elapsed() < DELIVERY_PATIENCE {
        if let Some(key) = reader.list().await?.into_iter().next() {
            let bytes = reader.get(&key).await?;
            spinner.finish_and_clear();
            return Ok(Some(Done { ids, minute, key, bytes }));
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
    spinner.finish_and_clear();
    Ok(None)
}

/// The minute that all events fell into: ids alone tell it.
fn same_minute(ids: &[EventId], interval: Interval) -> Result<Minute, Failure> {
    let mut minutes = ids.iter().map(|id| Minute::containing(id.time(), interval));
    let first = minutes.next().ok_or_else(|| {
        Failure::new(Code::Internal, "ingest accepted no event: report this defect".to_owned())
    })?;
    match minutes.find(|minute| *minute != first) {
        None => Ok(first),
        Some(other) => Err(Failure::new(
            Code::TryAgain,
            format!(
                "the events fell into two minutes, {first} and {other}, so they make two objects: sending took too long: try again, with fewer --events or a longer --interval"
            ),
        )),
    }
}

fn interrupted() -> Failure {
    Failure::new(Code::TryAgain, "demo: interrupted before its end: start it again")
}

fn undelivered(local: &Local) -> Failure {
    let seconds = DELIVERY_PATIENCE.as_secs();
    let what = format!(
        "no object in {BUCKET}/{PREFIX} {seconds} s after the minute's end: the flusher did not deliver: its log says why\n\n{}",
        local.logs()
    );
    Failure::new(Code::Unavailable, what)
}

/// Stops what still runs; the failure that led here is the one that counts.
async fn stopped(local: Local, failure: Failure) -> Failure {
    if let Err(second) = local.stop().await {
        tracing::debug!(%second, "while stopping");
    }
    failure
}

/// The destination as people write it.
fn destination() -> String {
    let prefix = Prefix::new(PREFIX).expect("the prefix follows the rules");
    format!("{BUCKET}/{prefix}/")
}
