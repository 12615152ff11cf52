//! The three lists: events, minutes, destinations.

use model::{Bucket, Prefix, UnixMillis};
use ratatui::text::Line;
use wal::DeliveryState;
use wal::inspect::{DestinationRow, DestinationState, MinuteLook, StreamRow};

use crate::human;
use crate::table::Align::{Left, Right};
use crate::top::app::{App, Tab};
use crate::top::columns::{Column, Columns};
use crate::top::ink::{Tone, wrap};
use crate::top::search::Filter;
use crate::top::strip::{clock, lag, stage_name};
use crate::view::{ServiceState, next_try};

/// From so many columns on there is room for ids, sizes, and whole dates.
const WITH_IDS: usize = 72;
const WITH_SIZES: usize = 96;
const WIDE: usize = 110;

/// From so many columns on there is room for more of minutes and destinations.
const MEDIUM: usize = 80;

/// The rows of the list in sight, under their headings.
pub(crate) fn list(app: &mut App, columns: usize, height: usize) -> Vec<Line<'static>> {
    app.height = height.saturating_sub(1).max(1);
    let (lines, is_empty) = match app.tab {
        Tab::Events => events(app, columns),
        Tab::Minutes => minutes(app, columns),
        Tab::Destinations => destinations(app, columns),
    };
    if is_empty { nothing(app, columns) } else { lines }
}

fn events(app: &mut App, columns: usize) -> (Vec<Line<'static>>, bool) {
    let keys = app.event_keys();
    let chosen = app.events.index(&keys);
    let in_sight = app.events.in_sight(&keys, app.height);
    let (has_ids, is_wide) = (columns >= WITH_IDS, columns >= WIDE);
    let has_sizes = !has_ids || columns >= WITH_SIZES;
    let mut shape = vec![
        if is_wide {
            Column("ACCEPTED (UTC)", Some(23), Left)
        } else {
            Column("TIME (UTC)", Some(12), Left)
        },
        Column(if has_ids { "EVENT" } else { "EVENT OR ID" }, None, Left),
    ];
    if has_ids {
        shape.push(Column("ID", Some(26), Left));
    }
    if has_sizes {
        shape.push(Column("SIZE", Some(if has_ids { 11 } else { 9 }), Right));
    }
    shape.push(Column("DEST", Some(5), Right));
    if is_wide {
        shape.push(Column("STATE", Some(11), Left));
    }
    let shape = Columns::new(shape, columns);
    let mut lines = vec![shape.heading(app.palette)];
    let Some(list) = &app.shown.events else { return (lines, true) };
    let today = day(app.now);
    for (number, row) in list.rows.iter().enumerate().take(in_sight.end).skip(in_sight.start) {
        let at = row.row.accepted_at;
        let time = match (is_wide, day(at) == today) {
            (true, _) => human::millisecond(at),
            (false, true) => clock_with_millis(at),
            (false, false) => human::second(at).get(5..16).unwrap_or_default().to_owned(),
        };
        let (state, id) = (worst(row), row.row.id.to_string());
        let name = match &row.row.event {
            Some(name) => (name.as_str().to_owned(), Tone::Plain),
            None if has_ids => ("–".to_owned(), Tone::Muted),
            None => (id.clone(), Tone::Muted),
        };
        let mut cells = vec![(time, Tone::Plain), name];
        if has_ids {
            cells.push((id, Tone::Muted));
        }
        if has_sizes {
            cells.push((event_size(row), Tone::Plain));
        }
        let dest = row.row.dest;
        cells.push((format!("{}/{}", dest.delivered, dest.total), state.into()));
        if is_wide {
            cells.push((state.as_str().to_owned(), state.into()));
        }
        lines.push(shape.line(cells, app.palette, number == chosen));
    }
    (lines, list.rows.is_empty())
}

fn minutes(app: &mut App, columns: usize) -> (Vec<Line<'static>>, bool) {
    let keys = app.minute_keys();
    let chosen = app.minutes.index(&keys);
    let in_sight = app.minutes.in_sight(&keys, app.height);
    let is_wide = columns >= WIDE;
    let mut shape = vec![
        Column(
            if is_wide { "MINUTE (UTC)" } else { "MINUTE" },
            Some(if is_wide { 19 } else { 8 }),
            Left,
        ),
        Column("STATE", Some(11), Left),
        Column("EVENTS", Some(9), Right),
        Column("SIZE", Some(10), Right),
    ];
    if columns >= MEDIUM {
        shape.push(Column("DELIVERED", Some(11), Right));
    }
    shape.push(Column("LAG", Some(13), Right));
    shape.push(Column(if columns >= MEDIUM { "ERROR" } else { "" }, None, Left));
    let shape = Columns::new(shape, columns);
    let mut lines = vec![shape.heading(app.palette)];
    let rows = app.minute_rows();
    for (number, look) in rows.iter().enumerate().take(in_sight.end).skip(in_sight.start) {
        let start = look.minute.start();
        let mut cells = vec![
            (if is_wide { human::second(start) } else { clock(start) }, Tone::Plain),
            (stage_name(look.stage).to_owned(), look.stage.into()),
            (look.events.map_or("–".to_owned(), |it| it.to_string()), Tone::Plain),
            (human::size(look.bytes), Tone::Plain),
        ];
        if columns >= MEDIUM {
            cells.push((format!("{}/{}", look.delivered, look.destinations), Tone::Plain));
        }
        cells.push((lag(look, app.now), Tone::Plain));
        if columns >= MEDIUM {
            cells.push((look.error.clone().unwrap_or_default(), Tone::Waiting));
        }
        lines.push(shape.line(cells, app.palette, number == chosen));
    }
    (lines, rows.is_empty())
}

fn destinations(app: &mut App, columns: usize) -> (Vec<Line<'static>>, bool) {
    let keys = app.destination_keys();
    let chosen = app.destinations.index(&keys);
    let in_sight = app.destinations.in_sight(&keys, app.height);
    let mut shape = vec![
        Column("DESTINATION", None, Left),
        Column("STATE", Some(11), Left),
        Column("EVENTS", Some(9), Right),
        Column("SIZE", Some(10), Right),
    ];
    if columns >= MEDIUM {
        shape.push(Column("OBJECTS", Some(11), Right));
    }
    if columns >= WIDE {
        shape.push(Column("LAG", Some(11), Right));
        shape.push(Column("LAST DELIVERED", Some(19), Left));
    }
    let shape = Columns::new(shape, columns);
    let mut lines = vec![shape.heading(app.palette)];
    let rows = app.destination_rows();
    for (number, row) in rows.iter().enumerate().take(in_sight.end).skip(in_sight.start) {
        let mut cells = vec![
            (destination_name(&row.bucket, &row.prefix), Tone::Plain),
            (destination_state(row.state).to_owned(), row.state.into()),
            (row.events.to_string(), Tone::Plain),
            (human::size(row.bytes), Tone::Plain),
        ];
        if columns >= MEDIUM {
            cells.push((format!("{}/{}", row.delivered, row.objects), Tone::Plain));
        }
        if columns >= WIDE {
            cells.push((row.lag_ms.map_or("–".to_owned(), human::span), Tone::Plain));
            cells.push((row.delivered_at.map_or("never".to_owned(), human::second), Tone::Plain));
        }
        lines.push(shape.line(cells, app.palette, number == chosen));
    }
    (lines, rows.is_empty())
}

/// Why there is no row.
fn nothing(app: &App, columns: usize) -> Vec<Line<'static>> {
    let is_read = app.shown.situation.is_some();
    let is_found =
        app.tab != Tab::Events || (app.shown.filter == app.filter && app.shown.events.is_some());
    let searched_to = app.shown.events.as_ref().and_then(|it| it.searched_to);
    let texts = if !is_read || !is_found {
        vec!["Reading …".to_owned()]
    } else if let Some(to) = searched_to.filter(|_| app.tab == Tab::Events) {
        vec![format!("Nothing matches back to {} UTC. Looking further …", human::second(to))]
    } else if app.filter != Filter::default() {
        vec!["Nothing matches. Esc shows everything again.".to_owned()]
    } else if app.tab == Tab::Events && is_ingest_silent(app) {
        vec!["What ingest has taken is not known while it does not answer.".to_owned()]
    } else {
        match app.tab {
            Tab::Events => no_events(app),
            Tab::Minutes => {
                vec!["No minutes yet: a minute begins with its first event.".to_owned()]
            }
            Tab::Destinations => {
                let what =
                    "No destinations yet: one is known here once its first minute is sealed.";
                vec![what.to_owned()]
            }
        }
    };
    let lines = texts.iter().flat_map(|text| wrap(text, columns.saturating_sub(2)));
    lines.map(|line| app.palette.line(&format!(" {line}"), Tone::Plain)).collect()
}

fn is_ingest_silent(app: &App) -> bool {
    let situation = app.shown.situation.as_ref();
    situation.is_some_and(|it| it.services.ingest == ServiceState::Silent)
}

fn no_events(app: &App) -> Vec<String> {
    let url = app.shown.situation.iter().map(|it| it.services.ingest_url.as_str()).next();
    let url = url.unwrap_or_default();
    vec![
        "No events yet: the log is empty. Send one, and it appears here:".to_owned(),
        String::new(),
        format!(
            "curl -sS {url}/v1/send/s3 -H 'Content-Type: application/json' -d '{{\"bucket\": \
             \"my-bucket\", \"prefix\": \"test/\", \"event\": \"first\", \"payload\": \
             {{\"hello\": \"world\"}}}}'"
        ),
    ]
}

/// What is to be said of the chosen row beside its columns: its error, and when it is tried again.
pub(crate) fn remark(app: &mut App) -> Option<(String, Tone)> {
    match app.tab {
        Tab::Events => None,
        Tab::Minutes => {
            let keys = app.minute_keys();
            let index = app.minutes.index(&keys);
            let rows = app.minute_rows();
            let look = rows.get(index)?;
            Some((look.error.clone()?, look.stage.into()))
        }
        Tab::Destinations => {
            let keys = app.destination_keys();
            let index = app.destinations.index(&keys);
            let rows = app.destination_rows();
            let row = rows.get(index)?;
            let error = row.error.clone().filter(|_| row.state > DestinationState::Sending)?;
            Some((format!("{}{error}", tries(app, row)), row.state.into()))
        }
    }
}

fn tries(app: &App, row: &DestinationRow) -> String {
    let Some(situation) = &app.shown.situation else { return String::new() };
    if row.state == DestinationState::Quarantined {
        return String::new();
    }
    if situation.services.flusher != ServiceState::Running {
        return "Tried once the flusher runs: ".to_owned();
    }
    match next_try(&situation.failing, &row.bucket, &row.prefix) {
        None => "Tried soon: ".to_owned(),
        Some(at) => format!("Next try {} UTC: ", clock(at)),
    }
}

/// The worst that is to be said of an event.
pub(crate) fn worst(row: &StreamRow) -> DeliveryState {
    let states = || row.row.deliveries.iter().map(|delivery| delivery.state);
    let is_any = |wanted| states().any(|state| state == wanted);
    [
        DeliveryState::Quarantined,
        DeliveryState::Parked,
        DeliveryState::Logged,
        DeliveryState::Sealed,
    ]
    .into_iter()
    .find(|state| is_any(*state))
    .unwrap_or(DeliveryState::Delivered)
}

/// The size of a payload; `≈` before the mean of the lines of its object.
pub(crate) fn event_size(row: &StreamRow) -> String {
    match row.bytes {
        None => "–".to_owned(),
        Some(bytes) if row.bytes_are_mean => format!("≈ {}", human::size(bytes)),
        Some(bytes) => human::size(bytes),
    }
}

/// As the filter knows it: `bucket/prefix/`.
pub(crate) fn destination_name(bucket: &Bucket, prefix: &Prefix) -> String {
    let prefix = prefix.to_string();
    if prefix.is_empty() { format!("{bucket}/") } else { format!("{bucket}/{prefix}/") }
}

fn destination_state(state: DestinationState) -> &'static str {
    match state {
        DestinationState::Delivered => "delivered",
        DestinationState::Sending => "sending",
        DestinationState::Failing => "failing",
        DestinationState::Parked => "parked",
        DestinationState::Quarantined => "quarantined",
    }
}

pub(crate) fn is_minute_wanted(look: &MinuteLook, text: &str) -> bool {
    let text = text.trim();
    human::second(look.minute.start()).contains(text)
        || stage_name(look.stage).contains(text)
        || look.error.as_ref().is_some_and(|error| error.contains(text))
}

pub(crate) fn is_destination_wanted(row: &DestinationRow, text: &str) -> bool {
    let text = text.trim();
    destination_name(&row.bucket, &row.prefix).contains(text)
        || destination_state(row.state).contains(text)
}

fn day(time: UnixMillis) -> String {
    human::second(time).split(' ').next().unwrap_or_default().to_owned()
}

fn clock_with_millis(time: UnixMillis) -> String {
    human::millisecond(time).split(' ').next_back().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_named_as_the_filter_knows_it() {
        for (prefix, name) in [("", "bucket/"), ("a/b/", "bucket/a/b/")] {
            let destination = model::Destination::parse("bucket", prefix).unwrap();
            let shown = destination_name(destination.bucket(), destination.prefix());
            assert_eq!(shown, name);
            assert!(destination.to_string().contains(name.trim_end_matches('/')), "{destination}");
        }
    }
}
