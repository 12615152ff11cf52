//! `admin drain`: the open minute is sealed early, and everything is delivered.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use flusher::{DestinationFilter, Drained};
use indicatif::{ProgressBar, ProgressStyle};
use model::{Clock, Minute};
use serde::Serialize;
use tokio::task::spawn_blocking;
use wal::inspect::{MinuteRow, MinuteState};
use wal::{DataDir, Inspector};

use crate::error::{Error, Result};
use crate::human;
use crate::place;
use crate::screen::Screen;

const POLL_PERIOD: Duration = Duration::from_millis(250);

/// So often in a row must all that is left wait for a person, until that is believed: what is
/// refused is on its way to `parked` for a moment.
const LOOKS: u32 = 4;

#[derive(Serialize)]
struct Document<'d> {
    drained: bool,
    minutes: &'d [MinuteRow],
}

/// Takes the machine out: every ingest closes its minute and takes no more events, and everything
/// is delivered, by the flusher that runs or, where none does, by `deliver`, which says `None` where
/// one has the data directory after all.
///
/// Returns once the log is empty. [`Error::Undelivered`] once all that is left waits for a person,
/// or after `timeout`.
pub async fn drain<E: From<Error>>(
    data_dir: &Path,
    timeout: Duration,
    clock: &dyn Clock,
    deliver: impl AsyncFn(DestinationFilter) -> Result<Option<Drained>, E>,
    screen: &mut Screen<'_>,
) -> Result<(), E> {
    place::check(data_dir)?;
    let data = DataDir::at(data_dir);
    data.check_format().map_err(Error::from)?;
    let started = Instant::now();
    let of = data.clone();
    let closed = spawn_blocking(move || wal::drain_ingest(&of)).await.map_err(Error::from)?;
    let closed = closed.map_err(Error::from)? as u64;
    let mut progress = Progress::new(screen);
    if closed > 0 {
        let what = human::count(closed, "ingest process");
        progress.say(screen, &format!("{what} took its last event"))?;
    }
    let mut stuck = 0;
    let left = loop {
        let rows = minutes(&data, clock).await?;
        progress.look(screen, &rows)?;
        if rows.is_empty() {
            break rows;
        }
        stuck = if rows.iter().all(|row| waits_for_a_person(row.state)) { stuck + 1 } else { 0 };
        if stuck >= LOOKS || started.elapsed() >= timeout {
            break rows;
        }
        let of = data.clone();
        let asked = spawn_blocking(move || flusher::ask_drain(&of)).await.map_err(Error::from)?;
        if asked.map_err(Error::from)?.is_none() {
            deliver(DestinationFilter::default()).await?;
        }
        tokio::time::sleep(POLL_PERIOD).await;
    };
    progress.end();
    Ok(report(&left, screen)?)
}

fn waits_for_a_person(state: MinuteState) -> bool {
    matches!(state, MinuteState::Parked | MinuteState::Quarantined)
}

async fn minutes(data: &DataDir, clock: &dyn Clock) -> Result<Vec<MinuteRow>> {
    let (inspector, now) = (Inspector::new(data.root().to_owned()), clock.now());
    Ok(spawn_blocking(move || inspector.minutes(now)).await??.rows)
}

fn report(left: &[MinuteRow], screen: &mut Screen<'_>) -> Result<()> {
    if screen.json {
        screen.document(&Document { drained: left.is_empty(), minutes: left })?;
    }
    if left.is_empty() {
        if !screen.json {
            screen.line("The log is empty: everything is delivered.")?;
        }
        return Ok(());
    }
    let error = left.iter().find_map(|row| row.error.as_deref());
    let error = error.map(|error| format!(": {error}")).unwrap_or_default();
    Err(Error::Undelivered(format!("not empty: {}{error}", summary(left))))
}

/// What there is of each state, as in `1 open, 2 sealed`.
fn summary(rows: &[MinuteRow]) -> String {
    let mut states = BTreeMap::<MinuteState, u64>::new();
    for row in rows {
        *states.entry(row.state).or_default() += 1;
    }
    let states = states.iter().map(|(state, count)| format!("{count} {}", state.as_str()));
    states.collect::<Vec<_>>().join(", ")
}

/// Tells people how it goes: by a line that moves on a terminal, by a line for each change
/// elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    last: BTreeMap<(Minute, MinuteState), u64>,
}

impl Progress {
    fn new(screen: &Screen<'_>) -> Self {
        let style = ProgressStyle::with_template("{spinner} {msg}");
        let bar = (screen.moving && !screen.json).then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar
        });
        Self { bar, last: BTreeMap::new() }
    }

    fn say(&self, screen: &mut Screen<'_>, line: &str) -> Result<()> {
        match &self.bar {
            Some(bar) => bar.set_message(line.to_owned()),
            None if screen.json => {}
            None => screen.note(line)?,
        }
        Ok(())
    }

    fn look(&mut self, screen: &mut Screen<'_>, rows: &[MinuteRow]) -> Result<()> {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("left: {}", summary(rows)));
            bar.tick();
            return Ok(());
        }
        let now: BTreeMap<_, _> =
            rows.iter().map(|row| ((row.minute, row.state), row.delivered)).collect();
        for row in rows {
            if self.last.get(&(row.minute, row.state)) != Some(&row.delivered) {
                let (minute, state) = (row.minute, row.state.as_str());
                let of = human::count(row.destinations, "destination");
                let line = format!("{minute} {state}: {} of {of} delivered", row.delivered);
                self.say(screen, &line)?;
            }
        }
        let is_gone = |minute: &Minute| !rows.iter().any(|row| row.minute == *minute);
        let gone: std::collections::BTreeSet<Minute> =
            self.last.keys().map(|(minute, _)| *minute).filter(is_gone).collect();
        for minute in gone {
            self.say(screen, &format!("{minute} delivered"))?;
        }
        self.last = now;
        Ok(())
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
