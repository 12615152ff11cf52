//! `admin events`: what became of events.

use serde::Serialize;
use wal::{Delivery, DeliveryState, EventQuery, EventRow, Inspector};

use crate::error::Result;
use crate::human;
use crate::place;
use crate::screen::Screen;
use crate::table::{Align, Mood, Report, coloured, lines, plain};

#[derive(Serialize)]
struct Document<'d> {
    events: &'d [EventRow],
}

/// Prints the events that `query` wants, one row each, the latest first.
pub fn events(inspector: &Inspector, query: &EventQuery, screen: &mut Screen<'_>) -> Result<()> {
    place::check(inspector.data_dir())?;
    if screen.json {
        let found = inspector.events(query)?;
        screen.warn(&found.warnings)?;
        return screen.document(&Document { events: &found.rows });
    }
    // One more than is shown tells that there are more.
    let one_more = EventQuery { limit: query.limit.saturating_add(1), ..query.clone() };
    let mut found = inspector.events(&one_more)?;
    screen.warn(&found.warnings)?;
    let are_more = query.id.is_none() && found.rows.len() > query.limit;
    if are_more {
        found.rows.truncate(query.limit);
    }
    table(query, &found.rows, screen)?;
    if are_more {
        let shown = human::count(query.limit as u64, "event");
        screen.note(format!("The latest {shown} of them, and there are more: --limit N"))?;
    }
    Ok(())
}

fn table(query: &EventQuery, rows: &[EventRow], screen: &mut Screen<'_>) -> Result<()> {
    if query.limit == 0 && query.id.is_none() {
        return Ok(());
    }
    if rows.is_empty() {
        let none = if query.id.is_some() || query.event.is_some() {
            "No such event: it was never accepted, its receipt has expired, or it was a repeat."
        } else {
            "No events: none was accepted, or their receipts have expired."
        };
        return Ok(screen.line(none)?);
    }
    let columns = [
        ("ACCEPTED (UTC)", Align::Left),
        ("ID", Align::Left),
        ("EVENT", Align::Left),
        ("DEST", Align::Right),
        ("OBJECTS", Align::Left),
    ];
    let mut report = Report::new(&columns, screen.colour);
    for row in rows {
        let deliveries: Vec<String> = row.deliveries.iter().map(delivery).collect();
        let name = row.event.as_ref().map_or("-", |event| event.as_str());
        report.row([
            plain(human::millisecond(row.accepted_at)),
            plain(row.id.to_string()),
            plain(name),
            coloured(format!("{}/{}", row.dest.delivered, row.dest.total), mood(row)),
            lines(deliveries),
        ]);
    }
    Ok(report.print(screen)?)
}

/// What is worst of its deliveries.
fn mood(row: &EventRow) -> Mood {
    let states = || row.deliveries.iter().map(|delivery| delivery.state);
    if states().any(|state| state == DeliveryState::Quarantined) {
        Mood::Bad
    } else if states().any(|state| state == DeliveryState::Parked) {
        Mood::Waiting
    } else if row.dest.delivered == row.dest.total {
        Mood::Good
    } else {
        Mood::Plain
    }
}

/// The object once it is there; until then the destination, and why it is not.
fn delivery(delivery: &Delivery) -> String {
    let Delivery { bucket, prefix, state, .. } = delivery;
    match (&delivery.key, state, &delivery.error) {
        (Some(key), DeliveryState::Delivered, _) => format!("s3://{bucket}/{key}"),
        (_, state, Some(error)) => format!("s3://{bucket}/{prefix} {}: {error}", state.as_str()),
        (_, state, None) => format!("s3://{bucket}/{prefix} {}", state.as_str()),
    }
}
