//! `admin log`: every minute that is still on disk.

use model::UnixMillis;
use serde::Serialize;
use wal::Inspector;
use wal::inspect::MinuteRow;

use crate::error::Result;
use crate::human;
use crate::place;
use crate::screen::Screen;
use crate::table::{Align, Report, coloured, plain};

#[derive(Serialize)]
struct Document<'d> {
    minutes: &'d [MinuteRow],
}

/// Prints every minute that is still on disk, with its age at `now`.
pub fn minutes(inspector: &Inspector, now: UnixMillis, screen: &mut Screen<'_>) -> Result<()> {
    place::check(inspector.data_dir())?;
    let found = inspector.minutes(now)?;
    screen.warn(&found.warnings)?;
    if screen.json {
        return screen.document(&Document { minutes: &found.rows });
    }
    if found.rows.is_empty() {
        return Ok(screen.line("The log is empty: all that was accepted is delivered.")?);
    }
    let columns = [
        ("MINUTE (UTC)", Align::Left),
        ("STATE", Align::Left),
        ("RUNS", Align::Right),
        ("DEST", Align::Right),
        ("EVENTS", Align::Right),
        ("SIZE", Align::Right),
        ("AGE", Align::Right),
        ("LAST ERROR", Align::Left),
    ];
    let mut report = Report::new(&columns, screen.colour);
    for row in &found.rows {
        report.row([
            plain(human::second(row.minute.start())),
            coloured(row.state.as_str(), row.state.into()),
            plain(row.runs.to_string()),
            plain(destinations(row)),
            plain(row.events.to_string()),
            plain(human::size(row.bytes)),
            plain(human::age(row.age_seconds)),
            plain(row.error.as_deref().unwrap_or("-")),
        ]);
    }
    Ok(report.print(screen)?)
}

/// How many destinations, and how many of them have their object already.
fn destinations(row: &MinuteRow) -> String {
    match row.delivered {
        0 => row.destinations.to_string(),
        delivered => format!("{delivered}/{}", row.destinations),
    }
}
