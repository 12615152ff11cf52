//! The stream of events, newest first, page by page: a page reads no more than it needs, whatever
//! lies on disk.
//!
//! Parts never change: which ids are in which chunks of their indexes is kept, and chunks are read
//! from the newest one down. Of a run that is open, ingest tells the events next to an id; of one
//! that is finished and in no part yet, a copy is made, and kept for the next page.
//!
//! A page is made of the lines around its beginning ([`MARGIN`] of them), so that what was sent to
//! several destinations under one name is one row. Where more than that lies between two of its
//! lines, the page has a row for each; [`Stream::event`] puts them together all the same.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::{EventId, Minute, RunId, Seq, UnixMillis};
use serde::Serialize;

use crate::error::Result;
use crate::inspect::NameFilter;
use crate::inspect::census;
use crate::inspect::event_list::whole_commits;
use crate::inspect::group::{Group, group};
use crate::inspect::keep::Keep;
use crate::inspect::parts::Parts;
use crate::inspect::row::{Delivery, EventRow};
use crate::inspect::stream_scan::StreamScan;
use crate::inspect::window::{Line, Window};
use crate::layout::{DataDir, RunName};
use crate::live::live_runs;
use crate::reader::RunReader;

/// How many lines are read beyond those of a page.
const MARGIN: usize = 1 << 14;

/// Lines up to so long after the beginning of a page are looked at for its rows.
const AFTER: Duration = Duration::from_secs(1);

/// How long a service that did not answer is left alone.
const SILENCE: Duration = Duration::from_secs(30);

/// So many copies of finished runs are kept.
const COPIES: usize = 2;

/// Reads the stream of events of a data directory, again and again.
#[derive(Debug)]
pub struct Stream {
    pub(crate) data: DataDir,
    pub(crate) parts: Parts,
    pub(crate) copies: Keep<RunName, RunReader>,
    silent_until: Mutex<Option<(Instant, String)>>,
}

/// Which page is wanted.
#[derive(Clone, Debug, Default)]
pub struct StreamQuery {
    /// Only events with ids below this one: the `next` of the page before.
    pub before: Option<EventId>,
    /// Only events that were accepted before this time.
    pub until: Option<UnixMillis>,
    /// Only events with such names.
    pub name: Option<NameFilter>,
    /// Only events to destinations that have this text in `bucket/prefix/`.
    pub destination: Option<String>,
    /// At most so many rows.
    pub limit: usize,
}

impl StreamQuery {
    /// The id below which all of it is; `None` for the newest ones.
    fn begin(&self) -> Option<EventId> {
        self.before.into_iter().chain(self.until.map(first_id)).min()
    }
}

/// A page of the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamPage {
    /// The rows, newest first.
    pub events: Vec<StreamRow>,
    /// What the next page is asked for with; `None` where the stream ends here.
    pub next: Option<EventId>,
    /// Back to when was looked for them.
    pub searched_to: Option<UnixMillis>,
    /// What could not be read, and may be missing here.
    pub warnings: Vec<String>,
}

/// A row of the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StreamRow {
    /// The event and its deliveries.
    #[serde(flatten)]
    pub row: EventRow,
    /// The bytes of its payload.
    pub bytes: Option<u64>,
    /// Whether that is the mean of the lines of its object: sizes are known while the event is in
    /// the log of its minute.
    pub bytes_are_mean: bool,
}

impl StreamRow {
    fn new(lines: &[&Line], group: &Group, id: Option<EventId>) -> Self {
        let members = || group.lines.iter().filter_map(|number| lines.get(*number));
        let first = members().next().expect("a group has a line");
        let deliveries: Vec<Delivery> = members().map(|line| line.delivery()).collect();
        Self {
            row: EventRow::new(id.unwrap_or(first.id), first.name.clone(), deliveries),
            bytes: first.bytes.or(first.place.mean_bytes),
            bytes_are_mean: first.bytes.is_none(),
        }
    }
}

/// The last of all ids of a time.
pub(crate) fn last_id(time: UnixMillis) -> EventId {
    EventId::new(time, RunId::from_bits(u64::MAX), Seq::new(u32::MAX))
}

/// The first of all ids of a time.
pub(crate) fn first_id(time: UnixMillis) -> EventId {
    EventId::new(time, RunId::from_bits(0), Seq::new(0))
}

impl Stream {
    /// The stream of the data directory at `data`. It need not be there yet: then it is empty.
    pub fn new(data: DataDir) -> Self {
        let (parts, copies) = (Parts::new(), Keep::new(COPIES));
        Self { data, parts, copies, silent_until: Mutex::default() }
    }

    /// A page of the stream. Once `deadline` has passed no further minute is begun: the page may
    /// then be empty, and go on with its `next`.
    pub fn page(&self, query: &StreamQuery, deadline: Instant) -> Result<StreamPage> {
        let before = query.begin();
        let centre = before.unwrap_or(last_id(UnixMillis::MAX));
        let top = before.map_or(centre, |before| last_id(before.time().after(AFTER)));
        let window = Window::around(centre, query.limit.saturating_add(MARGIN));
        let mut scan = StreamScan::new(self, top, window);
        scan.name = query.name.as_ref();
        scan.destination = query.destination.as_deref();
        let mut page = StreamPage::default();
        if query.limit == 0 {
            return Ok(page);
        }
        let mut is_last = false;
        let minutes = census::take(&self.data)?;
        let mut left =
            minutes.range(..).rev().filter(|(minute, _)| first_id(minute.start()) <= top);
        for (minute, dirs) in left.by_ref() {
            scan.minute(*minute, dirs);
            page.searched_to = Some(minute.start());
            // One that begins where the page begins is read for what was sent to several
            // destinations across its beginning.
            let is_below = before.is_none_or(|before| first_id(minute.start()) < before);
            if is_last || (is_below && deadline <= Instant::now()) {
                break;
            }
            match has_enough(&scan.window, query, *minute) {
                Enough::No => {}
                Enough::Yes => break,
                Enough::ButItsBeginning => is_last = true,
            }
        }
        let more_is_left = left.next().is_some();
        let lines = whole_commits(&scan.window);
        let groups = latest_groups(&lines, query);
        page.events = groups.iter().map(|group| StreamRow::new(&lines, group, None)).collect();
        let last = page.events.last().map(|row| row.row.id);
        page.next = if page.events.len() == query.limit || scan.window.is_cut() {
            last
        } else {
            page.searched_to.filter(|_| more_is_left).map(first_id)
        };
        page.warnings = scan.warnings.into_iter().collect();
        Ok(page)
    }

    /// The runs that ingest processes write; none where they do not answer, with the reason.
    pub(crate) fn live(&self) -> (BTreeSet<RunName>, Option<String>) {
        let mut silent = self.silent_until.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((until, why)) = &*silent
            && Instant::now() < *until
        {
            return (BTreeSet::new(), Some(why.clone()));
        }
        match live_runs(&self.data) {
            Ok(runs) => {
                *silent = None;
                (runs.into_iter().collect(), None)
            }
            Err(error) => {
                let why = error.to_string();
                *silent = Some((Instant::now() + SILENCE, why.clone()));
                (BTreeSet::new(), Some(why))
            }
        }
    }
}

enum Enough {
    No,
    Yes,
    /// The last row may begin in the minute before.
    ButItsBeginning,
}

fn has_enough(window: &Window, query: &StreamQuery, minute: Minute) -> Enough {
    if window.len() < query.limit {
        return Enough::No;
    }
    let lines: Vec<&Line> = window.lines().collect();
    let groups = latest_groups(&lines, query);
    let first = groups.last().and_then(|group| lines.get(*group.lines.first()?));
    match first {
        Some(first) if groups.len() == query.limit => {
            if first.name.is_none() || first.id.time() >= minute.end() || window.is_cut() {
                Enough::Yes
            } else {
                Enough::ButItsBeginning
            }
        }
        _ => Enough::No,
    }
}

/// The groups of a page, newest first.
fn latest_groups(lines: &[&Line], query: &StreamQuery) -> Vec<Group> {
    let before = query.begin();
    let is_wanted = |group: &Group| {
        let first = group.lines.first().and_then(|number| lines.get(*number));
        first.is_some_and(|line| before.is_none_or(|before| line.id < before))
    };
    group(lines).into_iter().rev().filter(is_wanted).take(query.limit).collect()
}

impl StreamScan<'_> {
    /// The row of one event, out of lines with its name around it.
    pub(crate) fn row_of(&self, id: EventId) -> Option<StreamRow> {
        let lines = whole_commits(&self.window);
        let is_asked_for = |number: &usize| lines.get(*number).is_some_and(|line| line.id == id);
        let groups = group(&lines);
        let group = groups.iter().find(|group| group.lines.iter().any(is_asked_for))?;
        Some(StreamRow::new(&lines, group, Some(id)))
    }
}

/// The minutes that may hold lines of an event with an id of this time.
pub(crate) fn near(time: UnixMillis, minute: Minute) -> bool {
    let length = minute.interval().as_duration();
    minute.end().after(length) > time && minute.start() <= time.after(length)
}
