//! Where everything stands on the screen, however large it is.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use crate::top::app::{App, Tab};
use crate::top::ink::{Tone, fit, width, wrap};
use crate::top::keys::HELP;
use crate::top::search::Filter;
use crate::top::strip::{clock, strip};
use crate::top::{event, lists, summary};

/// Lower screens than these leave out notices, the strip and the head, one after the other.
const WITH_NOTICES: usize = 8;
const WITH_STRIP: usize = 12;
const WITH_HEAD: usize = 16;

/// Draws a screen.
pub(crate) fn draw(frame: &mut Frame<'_>, app: &mut App) {
    let area = frame.area();
    let (columns, rows) = (usize::from(area.width), usize::from(area.height));
    let mut top = Vec::new();
    let head = summary::head(app, columns);
    let head_lines = if rows >= WITH_HEAD { head.len() } else { 1 };
    // What runs is worth more than where.
    top.extend(head.into_iter().skip(usize::from(head_lines == 1)).take(head_lines));
    if rows >= WITH_NOTICES {
        top.extend(summary::notices(app, columns, if rows < 30 { 2 } else { 4 }));
    }
    if rows >= WITH_STRIP {
        let minutes = app.shown.situation.as_ref().map(|it| it.overview.minutes.as_slice());
        top.extend(strip(minutes.unwrap_or_default(), columns, app.palette));
    }
    let mut bottom = remark(app, columns);
    bottom.push(foot(app, columns));
    let height = rows.saturating_sub(top.len() + 1 + bottom.len());
    let body = body(app, columns, height);
    top.push(tabs(app, columns));
    place(frame, area, top.len(), body, height);
    place(frame, area, 0, top, rows);
    let from = rows.saturating_sub(bottom.len());
    place(frame, area, from, bottom, rows);
    if app.typed_over.is_some() {
        let column = (width(&app.filter.text) + 2).min(columns.saturating_sub(1));
        let at = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
        frame.set_cursor_position(Position::new(at(column), area.height.saturating_sub(1)));
    }
}

/// Draws lines from a row of the screen on, up to `height` of them.
fn place(frame: &mut Frame<'_>, area: Rect, row: usize, lines: Vec<Line<'static>>, height: usize) {
    let at = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
    let height = height.min(lines.len());
    let place = Rect::new(0, at(row), area.width, at(height)).intersection(area);
    frame.render_widget(Paragraph::new(lines), place);
}

fn body(app: &mut App, columns: usize, height: usize) -> Vec<Line<'static>> {
    if app.is_helping {
        let line = |(key, what): &(&str, &str)| {
            let what = fit(what, columns.saturating_sub(14));
            Line::from(vec![
                app.palette.span(&format!("  {key:10}"), Tone::Strong),
                app.palette.span(&format!(" {what}"), Tone::Plain),
            ])
        };
        return HELP.iter().map(line).collect();
    }
    if app.open.is_none() {
        return lists::list(app, columns, height);
    }
    app.height = height.max(1);
    let lines = event::event(app, columns);
    app.lines = lines.len();
    app.scroll = app.scroll.min(app.lines.saturating_sub(height));
    lines.into_iter().skip(app.scroll).take(height).collect()
}

fn tabs(app: &mut App, columns: usize) -> Line<'static> {
    let palette = app.palette;
    let mut spans = Vec::new();
    for (number, tab) in Tab::ALL.into_iter().enumerate() {
        let (text, tone) = (format!(" {} {} ", number + 1, tab.as_str()), Tone::Plain);
        spans.push(if tab == app.tab {
            let chosen = palette.span(&text, Tone::Strong);
            chosen.style(ratatui::style::Style::new().reversed().bold())
        } else {
            palette.span(&text, tone)
        });
    }
    let taken = Line::from(spans.clone()).width();
    let where_it_is = whereabouts(app, columns.saturating_sub(taken + 2));
    let gap = columns.saturating_sub(taken + width(&where_it_is) + 1);
    spans.push(palette.span(&" ".repeat(gap), Tone::Plain));
    spans.push(palette.span(&where_it_is, Tone::Muted));
    Line::from(spans)
}

/// Which row it is, of how many, and of which.
fn whereabouts(app: &mut App, columns: usize) -> String {
    if app.open.is_some() {
        let last = (app.scroll + app.height).min(app.lines);
        return format!("lines {}–{last} of {}", app.scroll + 1, app.lines);
    }
    let (row, rows, goes_on) = match app.tab {
        Tab::Events => {
            let keys = app.event_keys();
            let list = app.shown.events.as_ref();
            let goes_on = list.is_some_and(|it| it.searched_to.is_some());
            (app.events.index(&keys), keys.len(), goes_on)
        }
        Tab::Minutes => {
            let keys = app.minute_keys();
            (app.minutes.index(&keys), keys.len(), false)
        }
        Tab::Destinations => {
            let keys = app.destination_keys();
            let all = app.shown.situation.iter().map(|it| &it.overview);
            let is_cut = all.clone().any(|it| it.destinations_total > it.destinations.len());
            (app.destinations.index(&keys), keys.len(), is_cut)
        }
    };
    let of = match rows {
        0 => String::new(),
        rows => format!("{} of {rows}{}", row + 1, if goes_on { "+" } else { "" }),
    };
    let Filter { text, until } = &app.filter;
    let filter = match until.filter(|_| app.tab == Tab::Events) {
        Some(until) => format!("before {}  ", clock(until)),
        None if text.is_empty() || app.typed_over.is_some() => String::new(),
        None => format!("/{text}  "),
    };
    // What is typed can be cut, what is counted cannot.
    let room = columns.saturating_sub(width(&of));
    if width(&filter) <= room {
        return filter + &of;
    }
    format!("{}  {of}", fit(filter.trim_end(), room.saturating_sub(2)))
}

/// What is to be said of the chosen row, in two lines.
fn remark(app: &mut App, columns: usize) -> Vec<Line<'static>> {
    if app.is_helping || app.open.is_some() {
        return Vec::new();
    }
    let Some((text, tone)) = lists::remark(app) else { return Vec::new() };
    let lines = wrap(&text, columns.saturating_sub(2)).into_iter().take(2);
    lines.map(|line| app.palette.line(&format!(" {line}"), tone)).collect()
}

/// The line of keys, or the one that is typed.
fn foot(app: &App, columns: usize) -> Line<'static> {
    if app.typed_over.is_some() {
        // The end of it is what is typed.
        let mut text = app.filter.text.as_str();
        while width(text) + 3 > columns {
            let mut chars = text.chars();
            if chars.next().is_none() {
                break;
            }
            text = chars.as_str();
        }
        return app.palette.line(&format!(" /{text}"), Tone::Strong);
    }
    let keys = if app.is_helping {
        " Esc close  q leave"
    } else if app.open.is_some() {
        " Esc close  ↑↓ move  ? keys  q leave"
    } else if app.filter != Filter::default() {
        " Esc all  / filter  Enter open  Tab next  ? keys  q leave"
    } else {
        " Tab next  ↑↓ move  Enter open  / filter  ? keys  q leave"
    };
    app.palette.line(&fit(keys, columns), Tone::Muted)
}
