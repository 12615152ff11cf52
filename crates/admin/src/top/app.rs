//! What is looked at, and what was read of it.

use std::time::Duration;

use model::{EventId, Minute, UnixMillis};
use ratatui::crossterm::event::Event;
use wal::inspect::{DestinationRow, MinuteLook};

use crate::top::cursor::Cursor;
use crate::top::ink::Palette;
use crate::top::lists::{destination_name, is_destination_wanted, is_minute_wanted};
use crate::top::reader::{Shown, Wanted};
use crate::top::search::{Filter, MAX_ROWS, PAGE_ROWS};

/// So close to the end of the list more of it is asked for.
const NEAR_THE_END: usize = 10;

/// What is known without looking.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) host: String,
    pub(crate) data_dir: String,
    /// What the log may take on disk, in bytes.
    pub(crate) max_bytes: u64,
}

/// A list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tab {
    #[default]
    Events,
    Minutes,
    Destinations,
}

impl Tab {
    pub(crate) const ALL: [Self; 3] = [Self::Events, Self::Minutes, Self::Destinations];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Events => "Events",
            Self::Minutes => "Minutes",
            Self::Destinations => "Destinations",
        }
    }
}

/// What is to be done next; the greater one is done of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    Nothing,
    /// Draw what is another one.
    Draw,
    /// Draw everything, whatever stands there.
    DrawAnew,
    Leave,
}

/// All that a screen is drawn from.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) machine: Machine,
    pub(crate) palette: Palette,
    pub(crate) now: UnixMillis,
    /// How long the look that is under way takes by now.
    pub(crate) busy: Duration,
    pub(crate) shown: Shown,
    pub(crate) tab: Tab,
    pub(crate) filter: Filter,
    /// While the filter is typed: what it was before.
    pub(crate) typed_over: Option<Filter>,
    pub(crate) open: Option<EventId>,
    /// How many lines of the open event are above the screen.
    pub(crate) scroll: usize,
    /// How many lines it has.
    pub(crate) lines: usize,
    pub(crate) is_helping: bool,
    pub(crate) events: Cursor<EventId>,
    pub(crate) minutes: Cursor<Minute>,
    pub(crate) destinations: Cursor<String>,
    /// How many rows have room.
    pub(crate) height: usize,
    due: Due,
    rows: usize,
}

impl App {
    pub(crate) fn new(machine: Machine, palette: Palette, now: UnixMillis) -> Self {
        Self {
            machine,
            palette,
            now,
            busy: Duration::ZERO,
            shown: Shown::default(),
            tab: Tab::Events,
            filter: Filter::default(),
            typed_over: None,
            open: None,
            scroll: 0,
            lines: 0,
            is_helping: false,
            events: Cursor::default(),
            minutes: Cursor::default(),
            destinations: Cursor::default(),
            height: 1,
            due: Due::Draw,
            rows: PAGE_ROWS,
        }
    }

    /// Takes the time, and tells what is to be done.
    pub(crate) fn tick(&mut self, now: UnixMillis, busy: Duration) -> Due {
        if now.as_seconds() != self.now.as_seconds() {
            self.must(Due::Draw);
        }
        (self.now, self.busy) = (now, busy);
        std::mem::replace(&mut self.due, Due::Nothing)
    }

    /// What is to be done at the next tick, or more.
    pub(crate) fn must(&mut self, due: Due) {
        self.due = self.due.max(due);
    }

    /// Takes what was read.
    pub(crate) fn show(&mut self, shown: Shown) {
        self.shown = shown;
        self.must(Due::Draw);
    }

    /// Takes a key, or another size.
    pub(crate) fn input(&mut self, event: &Event) {
        self.must(Due::Draw);
        if let Event::Key(key) = event
            && !key.is_release()
        {
            self.key(*key);
        }
    }

    /// What is to be read.
    pub(crate) fn wanted(&self) -> Wanted {
        Wanted { filter: self.filter.clone(), rows: self.rows, open: self.open }
    }

    /// Moves within what is looked at.
    pub(crate) fn step(&mut self, by: isize) {
        if self.open.is_some() {
            // Drawing keeps it within what there is.
            self.scroll = self.scroll.saturating_add_signed(by);
            return;
        }
        match self.tab {
            Tab::Events => {
                let keys = self.event_keys();
                self.events.step(&keys, by);
                if self.events.index(&keys) + NEAR_THE_END >= keys.len() {
                    self.rows = (keys.len() + PAGE_ROWS).min(MAX_ROWS);
                }
            }
            Tab::Minutes => {
                let keys = self.minute_keys();
                self.minutes.step(&keys, by);
            }
            Tab::Destinations => {
                let keys = self.destination_keys();
                self.destinations.step(&keys, by);
            }
        }
    }

    /// Back to the first row, whichever it is.
    pub(crate) fn begin(&mut self) {
        self.scroll = 0;
        match self.tab {
            _ if self.open.is_some() => {}
            Tab::Events => self.events.reset(),
            Tab::Minutes => self.minutes.reset(),
            Tab::Destinations => self.destinations.reset(),
        }
    }

    /// Opens the chosen event, or shows the events of the chosen minute or destination.
    pub(crate) fn enter(&mut self) {
        match self.tab {
            Tab::Events => {
                let keys = self.event_keys();
                if let Some(id) = self.events.chosen(&keys).filter(|_| self.open.is_none()) {
                    (self.open, self.scroll) = (Some(id), 0);
                }
            }
            Tab::Minutes => {
                let keys = self.minute_keys();
                if let Some(minute) = self.minutes.chosen(&keys) {
                    self.look_for(Filter { until: Some(minute.end()), ..Filter::default() });
                    self.tab = Tab::Events;
                }
            }
            Tab::Destinations => {
                let keys = self.destination_keys();
                if let Some(text) = self.destinations.chosen(&keys) {
                    self.look_for(Filter { text, ..Filter::default() });
                    self.tab = Tab::Events;
                }
            }
        }
    }

    /// Shows what fits another filter.
    pub(crate) fn look_for(&mut self, filter: Filter) {
        if self.filter != filter {
            self.filter = filter;
            self.rows = PAGE_ROWS;
            self.events.reset();
        }
    }

    /// The minutes that fit.
    pub(crate) fn minute_rows(&self) -> Vec<&MinuteLook> {
        let minutes = self.shown.situation.iter().flat_map(|it| &it.overview.minutes);
        minutes.filter(|it| is_minute_wanted(it, &self.filter.text)).collect()
    }

    /// The destinations that fit.
    pub(crate) fn destination_rows(&self) -> Vec<&DestinationRow> {
        let rows = self.shown.situation.iter().flat_map(|it| &it.overview.destinations);
        rows.filter(|it| is_destination_wanted(it, &self.filter.text)).collect()
    }

    pub(crate) fn event_keys(&self) -> Vec<EventId> {
        self.shown.events.iter().flat_map(|it| &it.rows).map(|it| it.row.id).collect()
    }

    pub(crate) fn minute_keys(&self) -> Vec<Minute> {
        self.minute_rows().into_iter().map(|it| it.minute).collect()
    }

    pub(crate) fn destination_keys(&self) -> Vec<String> {
        let rows = self.destination_rows().into_iter();
        rows.map(|it| destination_name(&it.bucket, &it.prefix)).collect()
    }
}
