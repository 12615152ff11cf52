//! `admin retry`: parked destinations are tried now.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use flusher::{DestinationFilter, Drained};
use model::Destination;
use serde::Serialize;
use tokio::task::spawn_blocking;
use wal::inspect::{Destinations, WaitingRow};
use wal::{DataDir, Inspector};

use crate::error::{Error, Result};
use crate::human;
use crate::screen::Screen;
use crate::table::{Align, Mood, Report, plain};

/// How long the flusher is given for all that was parked.
const PATIENCE: Duration = Duration::from_mins(1);

/// After so long without any news the rest is taken as refused again: a refusal with the reason
/// that is known already leaves no trace.
const QUIET: Duration = Duration::from_secs(10);

const POLL_PERIOD: Duration = Duration::from_millis(200);

/// What became of a destination.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Retried {
    bucket: String,
    prefix: String,
    /// How many objects were parked.
    objects: u64,
    /// How many of them are not any more, as they are in S3.
    delivered: u64,
    /// Why the others wait.
    error: Option<String>,
}

#[derive(Serialize)]
struct Document<'d> {
    retried: &'d [Retried],
}

/// Has the parked objects of some destinations tried now, and prints what became of each: by the
/// flusher that runs or, where none does, by `deliver`.
///
/// [`Error::Undelivered`] where something is still parked.
pub async fn retry<E: From<Error>>(
    data_dir: &Path,
    wanted: &Destinations,
    deliver: impl AsyncFnOnce(DestinationFilter) -> Result<Drained, E>,
    screen: &mut Screen<'_>,
) -> Result<(), E> {
    let data = DataDir::at(data_dir);
    let before = parked(&data, wanted).await?;
    if before.is_empty() {
        return Ok(nothing(screen)?);
    }
    let filter = DestinationFilter { bucket: wanted.bucket.clone(), prefix: wanted.prefix.clone() };
    let (asked, asked_filter) = (data.clone(), filter.clone());
    let answer = spawn_blocking(move || flusher::ask_retry(&asked, &asked_filter));
    let after = if answer.await.map_err(Error::from)?.map_err(Error::from)?.is_some() {
        wait(&data, wanted, &before).await?
    } else {
        deliver(filter).await?;
        parked(&data, wanted).await?
    };
    Ok(report(&before, &after, screen)?)
}

fn nothing(screen: &mut Screen<'_>) -> Result<()> {
    if screen.json {
        return screen.document(&Document { retried: &[] });
    }
    Ok(screen.line("Nothing is parked.")?)
}

/// The destinations with parked objects.
async fn parked(
    data: &DataDir,
    wanted: &Destinations,
) -> Result<BTreeMap<Destination, WaitingRow>> {
    let (inspector, wanted) = (Inspector::new(data.root().to_owned()), wanted.clone());
    let found = spawn_blocking(move || inspector.waiting(&wanted)).await??;
    let parked = found.rows.into_iter().filter(|row| row.parked > 0);
    Ok(parked.map(|row| (Destination::new(row.bucket.clone(), row.prefix.clone()), row)).collect())
}

/// Waits until the flusher has delivered what was parked, or brings no more news.
async fn wait(
    data: &DataDir,
    wanted: &Destinations,
    before: &BTreeMap<Destination, WaitingRow>,
) -> Result<BTreeMap<Destination, WaitingRow>> {
    let (started, mut news) = (Instant::now(), Instant::now());
    let mut last = before.clone();
    loop {
        tokio::time::sleep(POLL_PERIOD).await;
        let now = parked(data, wanted).await?;
        let is_over = before.keys().all(|destination| !now.contains_key(destination));
        if is_over || started.elapsed() >= PATIENCE || news.elapsed() >= QUIET {
            return Ok(now);
        }
        if now != last {
            news = Instant::now();
            last = now;
        }
    }
}

fn report(
    before: &BTreeMap<Destination, WaitingRow>,
    after: &BTreeMap<Destination, WaitingRow>,
    screen: &mut Screen<'_>,
) -> Result<()> {
    let retried: Vec<Retried> = before
        .iter()
        .map(|(destination, row)| {
            let left = after.get(destination);
            Retried {
                bucket: row.bucket.to_string(),
                prefix: row.prefix.to_string(),
                objects: row.parked,
                delivered: row.parked.saturating_sub(left.map_or(0, |left| left.parked)),
                error: left.and_then(|left| left.error.clone()),
            }
        })
        .collect();
    if screen.json {
        screen.document(&Document { retried: &retried })?;
    } else {
        print(&retried, screen)?;
    }
    let left = retried.iter().filter(|retried| retried.delivered < retried.objects).count() as u64;
    if left == 0 {
        return Ok(());
    }
    let what = format!("{} still parked", human::count(left, "destination"));
    Err(Error::Undelivered(what))
}

fn print(retried: &[Retried], screen: &mut Screen<'_>) -> Result<()> {
    let columns =
        [("DESTINATION", Align::Left), ("DELIVERED", Align::Right), ("STILL PARKED", Align::Left)];
    let mut table = Report::new(&columns, screen.colour);
    for Retried { bucket, prefix, objects, delivered, error } in retried {
        let mood = if delivered == objects { Mood::Good } else { Mood::Waiting };
        table.row([
            plain(format!("s3://{bucket}/{prefix}")),
            (format!("{delivered}/{objects}"), mood),
            plain(error.as_deref().unwrap_or("-")),
        ]);
    }
    Ok(table.print(screen)?)
}
