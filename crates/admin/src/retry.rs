//! `admin retry`: parked destinations are tried now.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flusher::{DestinationFilter, Drained};
use serde::Serialize;
use tokio::task::spawn_blocking;
use wal::inspect::{Destinations, Found, ParkedObjects, ParkedRow};
use wal::{DataDir, Inspector};

use crate::error::{Error, Result};
use crate::human;
use crate::place;
use crate::screen::Screen;
use crate::table::{Align, Mood, Report, coloured, plain};

/// How long the flusher is given for all that was parked.
const PATIENCE: Duration = Duration::from_mins(1);

/// After so long without any news the rest is taken as refused again: a refusal with the reason
/// that is known already leaves no trace.
const QUIET: Duration = Duration::from_secs(10);

const POLL_PERIOD: Duration = Duration::from_millis(200);

#[derive(Serialize)]
struct Document<'d> {
    retried: &'d [ParkedRow],
}

/// Has the parked objects of some destinations tried now, and prints what became of each: by the
/// flusher that runs or, where none does, by `deliver`, which says `None` where one has the data
/// directory after all: it is starting, or somebody else's command is at work.
///
/// [`Error::Undelivered`] where something still waits, [`Error::Damaged`] where something was
/// quarantined: what counts as delivered has its receipt.
pub async fn retry<E: From<Error>>(
    data_dir: &Path,
    wanted: &Destinations,
    deliver: impl AsyncFn(DestinationFilter) -> Result<Option<Drained>, E>,
    screen: &mut Screen<'_>,
) -> Result<(), E> {
    place::check(data_dir)?;
    let data = DataDir::at(data_dir);
    let inspector = Inspector::new(data_dir.to_owned());
    let (look, of) = (inspector.clone(), wanted.clone());
    let parked = spawn_blocking(move || look.parked(&of)).await.map_err(Error::from)?;
    let parked = Arc::new(parked.map_err(Error::from)?);
    screen.warn(&parked.warnings).map_err(Error::from)?;
    if parked.is_empty() {
        let elsewhere = if *wanted == Destinations::default() {
            0
        } else {
            parked_elsewhere(&inspector).await?
        };
        nothing(&parked, wanted, elsewhere, screen)?;
        return Ok(all_looked_at(&parked)?);
    }
    let filter = DestinationFilter { bucket: wanted.bucket.clone(), prefix: wanted.prefix.clone() };
    let started = Instant::now();
    let became = loop {
        let (of, wanted) = (data.clone(), filter.clone());
        let asked = spawn_blocking(move || flusher::ask_retry(&of, &wanted)).await;
        if asked.map_err(Error::from)?.map_err(Error::from)?.is_some() {
            break wait(&inspector, &parked).await?;
        }
        if deliver(filter.clone()).await?.is_some() {
            break became(&inspector, &parked).await?;
        }
        if started.elapsed() >= PATIENCE {
            let what = "another flusher has the data directory, and does not answer";
            return Err(Error::Undelivered(what.to_owned()).into());
        }
        tokio::time::sleep(POLL_PERIOD).await;
    };
    screen.warn(&became.warnings).map_err(Error::from)?;
    report(&became.rows, screen)?;
    Ok(all_looked_at(&parked)?)
}

fn nothing(
    parked: &ParkedObjects,
    wanted: &Destinations,
    elsewhere: usize,
    screen: &mut Screen<'_>,
) -> Result<()> {
    if screen.json {
        return screen.document(&Document { retried: &[] });
    }
    if !parked.warnings.is_empty() {
        return Ok(());
    }
    let Destinations { bucket, prefix } = wanted;
    let of_bucket = bucket.as_ref().map(|bucket| format!("bucket `{bucket}`"));
    let of_prefix = prefix.as_ref().map(|prefix| format!("prefix `{prefix}`"));
    let wanted: Vec<String> = of_bucket.into_iter().chain(of_prefix).collect();
    match elsewhere {
        0 => screen.line("Nothing is parked.")?,
        _ => screen.line(format!(
            "Nothing is parked for {}; elsewhere {} parked.",
            wanted.join(", "),
            if elsewhere == 1 {
                "1 destination is".to_owned()
            } else {
                format!("{elsewhere} destinations are")
            }
        ))?,
    }
    Ok(())
}

/// How many destinations are parked in all, for somebody who has asked for none of them.
async fn parked_elsewhere(inspector: &Inspector) -> Result<usize> {
    let inspector = inspector.clone();
    let parked = spawn_blocking(move || inspector.parked(&Destinations::default())).await??;
    Ok(parked.destinations())
}

fn all_looked_at(parked: &ParkedObjects) -> Result<()> {
    match parked.warnings.len() {
        0 => Ok(()),
        count => Err(Error::NotLookedAt(count)),
    }
}

async fn became(inspector: &Inspector, parked: &Arc<ParkedObjects>) -> Result<Found<ParkedRow>> {
    let (inspector, parked) = (inspector.clone(), Arc::clone(parked));
    Ok(spawn_blocking(move || inspector.became(&parked)).await?)
}

/// Waits until the flusher has settled what was parked, or brings no more news.
async fn wait(inspector: &Inspector, parked: &Arc<ParkedObjects>) -> Result<Found<ParkedRow>> {
    let (started, mut news) = (Instant::now(), Instant::now());
    let mut last = became(inspector, parked).await?;
    loop {
        tokio::time::sleep(POLL_PERIOD).await;
        let now = became(inspector, parked).await?;
        let is_over = !now.rows.iter().any(ParkedRow::waits);
        if is_over || started.elapsed() >= PATIENCE || news.elapsed() >= QUIET {
            return Ok(now);
        }
        if now != last {
            news = Instant::now();
            last = now;
        }
    }
}

fn report(retried: &[ParkedRow], screen: &mut Screen<'_>) -> Result<()> {
    if screen.json {
        screen.document(&Document { retried })?;
    } else {
        print(retried, screen)?;
    }
    let quarantined: u64 = retried.iter().map(|row| row.quarantined).sum();
    if quarantined > 0 {
        return Err(Error::Damaged {
            count: usize::try_from(quarantined).unwrap_or(usize::MAX),
            missing: retried.iter().map(|row| row.quarantined_events).sum(),
            and_more: false,
        });
    }
    let left = retried.iter().filter(|row| row.waits()).count() as u64;
    if left == 0 {
        return Ok(());
    }
    let what = format!("{} still parked", human::count(left, "destination"));
    Err(Error::Undelivered(what))
}

fn print(retried: &[ParkedRow], screen: &mut Screen<'_>) -> Result<()> {
    let columns = [
        ("DESTINATION", Align::Left),
        ("DELIVERED", Align::Right),
        ("QUARANTINED", Align::Right),
        ("LAST ERROR", Align::Left),
    ];
    let mut table = Report::new(&columns, screen.colour);
    for row in retried {
        let ParkedRow { bucket, prefix, objects, delivered, quarantined, error, .. } = row;
        let mood = if delivered == objects { Mood::Good } else { Mood::Waiting };
        let damage = if *quarantined > 0 { Mood::Bad } else { Mood::Plain };
        table.row([
            plain(format!("s3://{bucket}/{prefix}")),
            coloured(format!("{delivered}/{objects}"), mood),
            coloured(quarantined.to_string(), damage),
            plain(error.as_deref().unwrap_or("-")),
        ]);
    }
    Ok(table.print(screen)?)
}
