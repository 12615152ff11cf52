//! The lines above everything: the machine, its services, what comes and goes; and what is wrong.

use std::time::Duration;

use model::UnixMillis;
use ratatui::text::{Line, Span};
use wal::inspect::{MinuteLook, MinuteStage};

use crate::human;
use crate::top::app::App;
use crate::top::ink::{Tone, fit, width, wrap};
use crate::top::strip::{clock, lag, late_ms};
use crate::view::ServiceState;

/// From then on it is said that a look takes long.
const SLOW: Duration = Duration::from_secs(3);

/// From so many columns on words need not be left out.
const ROOMY: usize = 80;

/// A text and what it means.
type Part = (String, Tone);

/// The three lines of the head.
pub(crate) fn head(app: &App, columns: usize) -> Vec<Line<'static>> {
    let palette = app.palette;
    let time = format!("{} UTC ", clock(app.now));
    let name = " minutelog top";
    let room = columns.saturating_sub(width(name) + width(&time) + 3);
    let place = fit(&format!("{}  {}", app.machine.host, app.machine.data_dir), room);
    let gap = columns.saturating_sub(width(name) + 2 + width(&place) + width(&time));
    let first = Line::from(vec![
        palette.span(name, Tone::Strong),
        palette.span(&format!("  {place}{}", " ".repeat(gap)), Tone::Plain),
        palette.span(&time, Tone::Muted),
    ]);
    vec![
        first,
        parts(app, services(app, columns < ROOMY), columns),
        parts(app, sizes(app), columns),
    ]
}

/// Parts beside each other, as far apart as there is room for.
fn parts(app: &App, parts: Vec<Part>, columns: usize) -> Line<'static> {
    let gap = " ".repeat(if columns < ROOMY { 2 } else { 4 });
    let mut spans: Vec<Span<'static>> = Vec::new();
    for (text, tone) in parts {
        let before = if spans.is_empty() { " " } else { &gap };
        spans.push(app.palette.span(before, Tone::Plain));
        spans.push(app.palette.span(&text, tone));
    }
    Line::from(spans)
}

fn services(app: &App, is_short: bool) -> Vec<Part> {
    let Some(situation) = &app.shown.situation else {
        return vec![("Reading …".to_owned(), Tone::Muted)];
    };
    let (services, failing) = (&situation.services, &situation.failing);
    let up = if is_short { "" } else { " up," };
    let ingest = match (services.ingest, refusal(app)) {
        (ServiceState::Running, Some(_)) => (format!("ingest{up} full"), Tone::Bad),
        (state, _) => service("ingest", state),
    };
    let parked = failing.iter().filter(|it| it.parked).count();
    let flusher = match (services.flusher, failing.len(), parked) {
        (ServiceState::Running, 1.., 0) => {
            (format!("flusher{up} {} failing", failing.len()), Tone::Waiting)
        }
        (ServiceState::Running, _, 1..) => (format!("flusher{up} {parked} parked"), Tone::Waiting),
        (state, _, _) => service("flusher", state),
    };
    let rate = app.shown.rate;
    vec![
        ingest,
        flusher,
        (format!("in {}", a_second(rate.accepted)), Tone::Plain),
        (format!("delivered {}", a_second(rate.delivered)), Tone::Plain),
    ]
}

fn service(name: &str, state: ServiceState) -> Part {
    match state {
        ServiceState::Running => (format!("{name} up"), Tone::Good),
        ServiceState::Stopped => (format!("{name} down"), Tone::Waiting),
        ServiceState::Silent => (format!("{name} silent"), Tone::Bad),
    }
}

fn a_second(rate: Option<f64>) -> String {
    match rate {
        None => "–/s".to_owned(),
        Some(rate) if rate > 0.0 && rate < 9.95 => format!("{rate:.1}/s"),
        Some(rate) if rate < 9_999.5 => format!("{rate:.0}/s"),
        Some(rate) => format!("{:.0}k/s", rate / 1000.0),
    }
}

fn sizes(app: &App) -> Vec<Part> {
    let size = human::size;
    let mut sizes = Vec::new();
    if let Some(room) = app.shown.room {
        let tone = if refusal(app).is_some() { Tone::Bad } else { Tone::Plain };
        let most = size(app.machine.max_bytes);
        sizes.push((format!("log {} of {most}", size(room.log_bytes)), tone));
        sizes.push((format!("{} free", size(room.free_bytes)), tone));
    }
    if let Some(situation) = &app.shown.situation {
        let (lag, tone) = lag_of_all(&situation.overview.minutes, app.now);
        sizes.push((format!("lag {lag}"), tone));
    }
    sizes
}

/// The lag of the minute that is furthest behind; where none is, that of the latest one.
fn lag_of_all(minutes: &[MinuteLook], now: UnixMillis) -> Part {
    let is_late = |look: &&MinuteLook| {
        let waits =
            matches!(look.stage, MinuteStage::Finished | MinuteStage::Sealed | MinuteStage::Parked);
        waits && late_ms(look, now) > 0
    };
    let latest = || minutes.iter().find(|look| look.stage == MinuteStage::Delivered);
    match minutes.iter().filter(is_late).max_by_key(|look| late_ms(look, now)) {
        Some(look) => (lag(look, now), look.stage.into()),
        None => (latest().map_or("–".to_owned(), |look| lag(look, now)), Tone::Plain),
    }
}

/// Why ingest takes no events.
fn refusal(app: &App) -> Option<String> {
    let room = app.shown.room?;
    if room.log_bytes >= app.machine.max_bytes {
        return Some(
            "The log is full: ingest refuses events. See why nothing goes out.".to_owned(),
        );
    }
    (room.free_bytes < room.needed_bytes).then(|| {
        "The disk is full: ingest refuses events until there is room to seal a minute.".to_owned()
    })
}

/// What is wrong, in no more lines than that; the rest of it stands behind what is worse.
pub(crate) fn notices(app: &App, columns: usize, most: usize) -> Vec<Line<'static>> {
    let lines = all_notices(app).into_iter().flat_map(|(text, tone)| {
        let lines = wrap(&text, columns.saturating_sub(2));
        lines.into_iter().map(move |line| (format!(" {line}"), tone))
    });
    lines.take(most).map(|(line, tone)| app.palette.line(&line, tone)).collect()
}

fn all_notices(app: &App) -> Vec<Part> {
    let mut notices = Vec::new();
    let mut note = |tone, text: String| notices.push((text, tone));
    if let Some(error) = &app.shown.error {
        note(Tone::Bad, format!("This could not be read: {error}"));
    }
    if app.busy >= SLOW {
        let of = app.shown.at.map_or("nothing is known yet".to_owned(), |at| {
            format!("what is shown is of {}", clock(at))
        });
        note(
            Tone::Waiting,
            format!("The disk is slow, for {} s by now: {of}.", app.busy.as_secs()),
        );
    }
    if let Some(refusal) = refusal(app) {
        note(Tone::Bad, refusal);
    }
    let Some(situation) = &app.shown.situation else { return notices };
    let services = &situation.services;
    let why = |why: &Option<String>| why.clone().unwrap_or_default();
    match services.ingest {
        ServiceState::Running => {}
        ServiceState::Stopped => {
            note(Tone::Waiting, "Ingest does not run: no events are taken.".to_owned());
        }
        ServiceState::Silent => {
            note(Tone::Bad, format!("Ingest does not answer: {}", why(&services.ingest_error)));
        }
    }
    match services.flusher {
        ServiceState::Running => {}
        ServiceState::Stopped => {
            let what = "The flusher does not run: finished minutes wait on disk.";
            note(Tone::Waiting, what.to_owned());
        }
        ServiceState::Silent => {
            note(
                Tone::Bad,
                format!("The flusher does not answer: {}", why(&services.flusher_error)),
            );
        }
    }
    let of_events = app.shown.events.iter().flat_map(|it| &it.warnings);
    let known = [&services.ingest_error, &services.flusher_error];
    for warning in situation.overview.warnings.iter().chain(of_events) {
        if !known.iter().any(|known| known.as_ref() == Some(warning)) {
            note(Tone::Waiting, format!("Not all of it could be read: {warning}"));
        }
    }
    notices
}
