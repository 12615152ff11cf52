//! Rows of events: the latest ones, or the one with a known id.

use std::collections::BTreeMap;

use model::{EventId, Minute, UnixMillis};

use crate::error::{Error, Result};
use crate::inspect::census::{self, MinuteDirs};
use crate::inspect::event_scan::EventScan;
use crate::inspect::group::{Group, group};
use crate::inspect::row::EventRow;
use crate::inspect::window::{Line, Window};
use crate::inspect::{EventQuery, Found};
use crate::layout::DataDir;

/// How many lines are kept beyond those that rows are made of: lines of one event are put together
/// if no more than these lie between them and the end of what was read.
const MARGIN: usize = 1 << 16;

/// How many lines with the name of a known event are kept on either side of it.
pub(crate) const NAMESAKES: usize = 1 << 12;

/// The latest events, newest first, and the first thing that could not be read.
///
/// Reads minutes from the newest back until there are rows enough, and one more where an event of
/// the last one may have begun before it.
pub(crate) fn latest(
    data: &DataDir,
    query: &EventQuery,
) -> Result<(Found<EventRow>, Option<Error>)> {
    let mut capacity = query.limit.saturating_add(MARGIN);
    if query.limit == 0 {
        return Ok((Found { rows: Vec::new(), warnings: Vec::new() }, None));
    }
    loop {
        let window = Window::latest(capacity);
        let mut scan = EventScan::new(data, None, query.event.as_ref(), window);
        read_back(&mut scan, census::take(data)?, query);
        let lines = whole_commits(&scan.window);
        let rows = latest_groups(&lines, query);
        // Where lines were left out, an event that begins near the cut may have begun before it.
        let begins = rows.last().and_then(|oldest| oldest.lines.first()).copied();
        let is_enough =
            rows.len() == query.limit && begins.is_some_and(|first| first >= MARGIN / 2);
        let oldest = lines.first().map(|line| line.id.time());
        let reaches_back = query.since.is_some_and(|since| oldest.is_some_and(|time| time < since));
        if !scan.window.is_cut() || is_enough || reaches_back {
            let rows = rows.iter().map(|group| row(&lines, group, None)).collect();
            let found = Found { rows, warnings: scan.warnings.into_iter().collect() };
            return Ok((found, scan.failure));
        }
        capacity = capacity.saturating_mul(4);
    }
}

/// Reads the newest minutes until they make rows enough.
fn read_back(scan: &mut EventScan<'_>, minutes: BTreeMap<Minute, MinuteDirs>, query: &EventQuery) {
    let mut is_last = false;
    for (minute, dirs) in minutes.into_iter().rev() {
        if query.since.is_some_and(|since| minute.end() <= since) {
            return;
        }
        scan.read(&dirs);
        if is_last {
            return;
        }
        if scan.window.len() < query.limit {
            continue;
        }
        let lines: Vec<&Line> = scan.window.lines().collect();
        let rows = latest_groups(&lines, query);
        let Some(oldest) = rows.last().and_then(|oldest| oldest.lines.first()) else { continue };
        let Some(oldest) = lines.get(*oldest) else { continue };
        if rows.len() == query.limit {
            if oldest.name.is_none() || oldest.id.time() >= minute.end() {
                return;
            }
            is_last = true;
        }
    }
}

/// The lines of a window without those of a commit that is cut in two.
pub(crate) fn whole_commits(window: &Window) -> Vec<&Line> {
    let lines: Vec<&Line> = window.lines().collect();
    let commit = |line: &Line| (line.id.time(), line.id.run());
    let whole =
        lines.iter().position(|line| Some(commit(line)) != lines.first().map(|l| commit(l)));
    match whole {
        Some(whole) if window.is_cut() => lines.into_iter().skip(whole).collect(),
        _ => lines,
    }
}

/// The latest events of these lines, newest first.
fn latest_groups(lines: &[&Line], query: &EventQuery) -> Vec<Group> {
    let since = query.since.unwrap_or(UnixMillis::new(0));
    let is_wanted = |group: &Group| {
        let first = group.lines.first().and_then(|number| lines.get(*number));
        first.is_some_and(|line| line.id.time() >= since)
    };
    group(lines).into_iter().rev().filter(is_wanted).take(query.limit).collect()
}

/// The event with this id, as its one row or none, and the first thing that could not be read.
pub(crate) fn by_id(data: &DataDir, id: EventId) -> Result<(Found<EventRow>, Option<Error>)> {
    let minutes = census::take(data)?;
    let mut scan = EventScan::new(data, Some(id), None, Window::latest(1));
    let holds = |minute: &Minute| minute.contains(id.time());
    for (_, dirs) in minutes.iter().filter(|(minute, _)| holds(minute)) {
        scan.read(dirs);
    }
    let (found, mut warnings, failure) = (scan.window, scan.warnings, scan.failure);
    let Some(line) = found.lines().next() else {
        let rows = Vec::new();
        return Ok((Found { rows, warnings: warnings.into_iter().collect() }, failure));
    };
    let Some(name) = &line.name else {
        let rows = vec![EventRow::new(id, None, vec![line.delivery()])];
        return Ok((Found { rows, warnings: warnings.into_iter().collect() }, failure));
    };
    let mut scan = EventScan::new(data, None, Some(name), Window::around(id, NAMESAKES));
    // What was found stays found, even if its receipt expires meanwhile.
    scan.window.offer(id, Some(name.as_str()), line.number, &line.place);
    for (minute, dirs) in census::take(data)? {
        let is_near = minute.end().after(minute.interval().as_duration()) > id.time()
            && minute.start() <= id.time().after(minute.interval().as_duration());
        if is_near {
            scan.read(&dirs);
        }
    }
    let lines = whole_commits(&scan.window);
    let is_asked_for = |number: &usize| lines.get(*number).is_some_and(|line| line.id == id);
    let groups = group(&lines);
    let group = groups.iter().find(|group| group.lines.iter().any(is_asked_for));
    let rows = match group {
        Some(group) => vec![row(&lines, group, Some(id))],
        None => vec![EventRow::new(id, Some(name.clone()), vec![line.delivery()])],
    };
    warnings.append(&mut scan.warnings);
    Ok((Found { rows, warnings: warnings.into_iter().collect() }, failure))
}

/// The row of a group, under the id that was asked for or that of its first line.
fn row(lines: &[&Line], group: &Group, asked_for: Option<EventId>) -> EventRow {
    let members = || group.lines.iter().filter_map(|number| lines.get(*number));
    let first = members().next().expect("a group has a line");
    let deliveries = members().map(|line| line.delivery()).collect();
    EventRow::new(asked_for.unwrap_or(first.id), first.name.clone(), deliveries)
}
