//! `admin verify`: everything on disk read back.

use indicatif::{ProgressBar, ProgressStyle};
use model::UnixMillis;
use serde::Serialize;
use wal::Inspector;
use wal::inspect::{Checked, Damaged};

use crate::error::{Error, Result};
use crate::human;
use crate::place;
use crate::screen::Screen;
use crate::table::{Align, Mood, Report, coloured, plain};

#[derive(Serialize)]
struct Document<'d> {
    checked: Checked,
    damaged: &'d [Damaged],
    warnings: &'d [String],
}

/// Reads back the minutes that hold `time`, or all, and prints what was checked and what is
/// damaged. Damage is [`Error::Damaged`] once it is printed.
pub fn verify(
    inspector: &Inspector,
    time: Option<UnixMillis>,
    screen: &mut Screen<'_>,
) -> Result<()> {
    place::check(inspector.data_dir())?;
    let bar = if screen.moving && !screen.json { bar() } else { ProgressBar::hidden() };
    let report = inspector.verify(time, |progress| {
        bar.set_length(progress.total_bytes.max(progress.done_bytes));
        bar.set_position(progress.done_bytes);
    });
    bar.finish_and_clear();
    let report = report?;
    screen.warn(&report.warnings)?;
    if screen.json {
        screen.document(&Document {
            checked: report.checked,
            damaged: &report.damaged,
            warnings: &report.warnings,
        })?;
    } else {
        print(report.checked, &report.damaged, screen)?;
    }
    if !report.damaged.is_empty() {
        return Err(Error::damaged(&report.damaged));
    }
    match report.warnings.len() {
        0 => Ok(()),
        count => Err(Error::NotLookedAt(count)),
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes}  {eta} left");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn print(checked: Checked, damaged: &[Damaged], screen: &mut Screen<'_>) -> Result<()> {
    if !damaged.is_empty() {
        let columns =
            [("MISSING", Align::Right), ("PATH", Align::Left), ("WHAT IS WRONG", Align::Left)];
        let mut report = Report::new(&columns, screen.colour);
        for damaged in damaged {
            report.row([
                coloured(
                    damaged.missing.map_or("unknown".to_owned(), |n| n.to_string()),
                    Mood::Bad,
                ),
                plain(damaged.path.display().to_string()),
                plain(&*damaged.what),
            ]);
        }
        report.print(screen)?;
    }
    let Checked { runs, parts, events, objects, lines, bytes } = checked;
    let verdict = if damaged.is_empty() { "All is whole" } else { "The rest is whole" };
    if checked == Checked::default() && damaged.is_empty() {
        return Ok(screen.line("Nothing to verify: there is no such log and no receipts.")?);
    }
    Ok(screen.line(format!(
        "{verdict}: {} ({}), {} ({}, {} with sealed bytes), {} read.",
        human::count(runs, "run"),
        human::count(events, "event"),
        human::count(parts, "sealed part"),
        human::count(lines, "line"),
        human::count(objects, "object"),
        human::size(bytes),
    ))?)
}
