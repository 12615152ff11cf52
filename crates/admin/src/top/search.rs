//! The events that a text is in: their names, and their destinations.

use std::collections::BTreeSet;

use model::{EventId, UnixMillis};
use wal::inspect::{NameFilter, StreamPage, StreamQuery, StreamRow};

use crate::error::Result;
use crate::view::View;

/// The rows of a page, and the most that are held (T4).
pub(crate) const PAGE_ROWS: usize = 100;
pub(crate) const MAX_ROWS: usize = 500;

/// Which events are wanted; all of them by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// An id, or a text in the caller's name or in `bucket/prefix/`.
    pub(crate) text: String,
    /// Those before this time.
    pub(crate) until: Option<UnixMillis>,
}

/// What was found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventList {
    /// The rows, newest first.
    pub(crate) rows: Vec<StreamRow>,
    /// Back to when was looked for them, where there is more to look through.
    pub(crate) searched_to: Option<UnixMillis>,
    /// What could not be read, and may be missing here.
    pub(crate) warnings: Vec<String>,
}

/// Looks for them, page by page.
#[derive(Debug)]
pub(crate) struct Search {
    by: By,
}

#[derive(Debug)]
enum By {
    Id(EventId, StreamPage),
    /// One stream of all of them, or one by name and one by destination.
    Text(Vec<Found>),
}

/// What was found in one stream.
#[derive(Debug)]
struct Found {
    query: StreamQuery,
    rows: Vec<StreamRow>,
    next: Option<EventId>,
    searched_to: Option<UnixMillis>,
    warnings: Vec<String>,
}

impl Search {
    pub(crate) fn new(filter: &Filter) -> Self {
        let text = filter.text.trim();
        let all = StreamQuery { until: filter.until, ..StreamQuery::default() };
        let by = if let Ok(id) = text.parse() {
            By::Id(id, StreamPage::default())
        } else if text.is_empty() {
            By::Text(vec![Found::new(all)])
        } else {
            let name = Some(NameFilter::Contains(text.to_owned()));
            let destination = Some(text.to_owned());
            let by_name = StreamQuery { name, ..all.clone() };
            By::Text(vec![Found::new(by_name), Found::new(StreamQuery { destination, ..all })])
        };
        Self { by }
    }

    /// Reads again what was found, as something has changed.
    pub(crate) fn refresh(&mut self, view: &View, rows: usize) -> Result<()> {
        match &mut self.by {
            By::Id(id, page) => *page = view.page_of(*id)?,
            By::Text(found) => found.iter_mut().try_for_each(|it| it.refresh(view, rows))?,
        }
        Ok(())
    }

    /// Reads a page more of each stream that has fewer than `rows` and goes on; `false` where none
    /// does.
    pub(crate) fn more(&mut self, view: &View, rows: usize) -> Result<bool> {
        let By::Text(found) = &mut self.by else { return Ok(false) };
        let mut is_more = false;
        for it in found.iter_mut().filter(|it| it.next.is_some() && it.rows.len() < rows) {
            it.more(view)?;
            is_more = true;
        }
        Ok(is_more)
    }

    /// All that was found.
    pub(crate) fn list(&self) -> EventList {
        let found = match &self.by {
            By::Id(_, page) => {
                let (rows, warnings) = (page.events.clone(), page.warnings.clone());
                return EventList { rows, searched_to: None, warnings };
            }
            By::Text(found) => found,
        };
        let mut list = EventList::default();
        let mut known = BTreeSet::new();
        for it in found {
            for row in &it.rows {
                let ids = || row.row.deliveries.iter().map(|delivery| delivery.id);
                // Found by its name, it is there with all of its destinations.
                if !ids().all(|id| known.contains(&id)) {
                    known.extend(ids());
                    list.rows.push(row.clone());
                }
            }
            list.warnings.extend(it.warnings.iter().cloned());
            let goes_on = it.searched_to.filter(|_| it.next.is_some());
            list.searched_to = list.searched_to.max(goes_on);
        }
        list.rows.sort_by_key(|row| std::cmp::Reverse(row.row.id));
        list.rows.truncate(MAX_ROWS);
        list.warnings.dedup();
        list
    }
}

impl Found {
    fn new(query: StreamQuery) -> Self {
        let (rows, warnings) = (Vec::new(), Vec::new());
        Self { query, rows, next: None, searched_to: None, warnings }
    }

    /// Reads the newest `rows` again; what was found further back stays as it was.
    fn refresh(&mut self, view: &View, rows: usize) -> Result<()> {
        let limit = rows.clamp(PAGE_ROWS, MAX_ROWS);
        let page = view.page(&StreamQuery { limit, ..self.query.clone() })?;
        let mut older = std::mem::take(&mut self.rows);
        older.retain(|row| page.next.is_some_and(|next| row.row.id < next));
        if older.is_empty() {
            (self.next, self.searched_to) = (page.next, page.searched_to);
        }
        self.rows = page.events;
        self.rows.append(&mut older);
        self.cut(limit);
        self.warnings = page.warnings;
        Ok(())
    }

    /// Holds no more rows than these; what is left out is found again.
    fn cut(&mut self, rows: usize) {
        if self.rows.len() > rows {
            self.rows.truncate(rows);
            self.next = self.rows.last().map(|row| row.row.id);
        }
    }

    fn more(&mut self, view: &View) -> Result<()> {
        let query = StreamQuery { before: self.next, limit: PAGE_ROWS, ..self.query.clone() };
        let mut page = view.page(&query)?;
        self.rows.append(&mut page.events);
        (self.next, self.searched_to) = (page.next, page.searched_to);
        self.cut(MAX_ROWS);
        Ok(())
    }
}
