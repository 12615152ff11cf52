//! What each key does.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::top::app::{App, Due, Tab};
use crate::top::search::Filter;

/// No text that is searched for is longer, in bytes.
const MAX_FILTER_BYTES: usize = 512;

/// The keys, for who asks for them.
pub(crate) const HELP: [(&str, &str); 11] = [
    ("Tab 1 2 3", "events, minutes, destinations"),
    ("j k ↓ ↑", "next and previous row"),
    ("PgDn PgUp", "a screen further"),
    ("g  Home", "back to the newest, and stay there"),
    ("G  End", "the last row"),
    ("Enter", "an event; the events of a minute, destination"),
    ("Esc", "close, or show everything again"),
    ("/", "an id, or part of a name or of bucket/prefix/"),
    ("Ctrl-L", "draw the screen anew"),
    ("?", "this list"),
    ("q Ctrl-C", "leave"),
];

impl App {
    /// Does what a key says.
    pub(crate) fn key(&mut self, key: KeyEvent) {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if is_control => self.must(Due::Leave),
            KeyCode::Char('l') if is_control => self.must(Due::DrawAnew),
            _ if self.typed_over.is_some() => self.typed(key.code, is_control),
            KeyCode::Char('d') if is_control => self.step(self.screen()),
            KeyCode::Char('u') if is_control => self.step(-self.screen()),
            KeyCode::Char(_) if is_control => {}
            KeyCode::Char('q') => self.must(Due::Leave),
            KeyCode::Char('?') | KeyCode::Esc | KeyCode::Enter if self.is_helping => {
                self.is_helping = false;
            }
            KeyCode::Char('?') => self.is_helping = true,
            KeyCode::Esc => self.close(),
            KeyCode::Char('j') | KeyCode::Down => self.step(1),
            KeyCode::Char('k') | KeyCode::Up => self.step(-1),
            KeyCode::PageDown | KeyCode::Char(' ') => self.step(self.screen()),
            KeyCode::PageUp => self.step(-self.screen()),
            KeyCode::Char('g') | KeyCode::Home => self.begin(),
            KeyCode::Char('G') | KeyCode::End => self.step(isize::MAX),
            KeyCode::Enter => self.enter(),
            KeyCode::Char('/') => self.type_over(),
            KeyCode::Tab => self.turn(1),
            KeyCode::BackTab => self.turn(2),
            KeyCode::Char('1') => self.turn_to(Tab::Events),
            KeyCode::Char('2') => self.turn_to(Tab::Minutes),
            KeyCode::Char('3') => self.turn_to(Tab::Destinations),
            _ => {}
        }
    }

    /// As many rows as have room, less one that stays in sight.
    fn screen(&self) -> isize {
        isize::try_from(self.height).map_or(1, |height| (height - 1).max(1))
    }

    fn turn(&mut self, by: usize) {
        let at = Tab::ALL.iter().position(|tab| *tab == self.tab).unwrap_or(0);
        self.turn_to(Tab::ALL.into_iter().cycle().nth(at + by).unwrap_or_default());
    }

    fn turn_to(&mut self, tab: Tab) {
        (self.tab, self.open, self.is_helping) = (tab, None, false);
    }

    fn close(&mut self) {
        if self.open.is_some() {
            self.open = None;
        } else {
            self.look_for(Filter::default());
        }
    }

    fn type_over(&mut self) {
        (self.open, self.is_helping) = (None, false);
        self.typed_over = Some(self.filter.clone());
        self.look_for(Filter::default());
    }

    fn typed(&mut self, code: KeyCode, is_control: bool) {
        let mut text = self.filter.text.clone();
        match code {
            KeyCode::Enter => self.typed_over = None,
            KeyCode::Esc => {
                if let Some(before) = self.typed_over.take() {
                    self.look_for(before);
                }
                return;
            }
            KeyCode::Backspace => {
                text.pop();
            }
            KeyCode::Char('u') if is_control => text.clear(),
            KeyCode::Char(c)
                if !is_control
                    && !c.is_control()
                    && text.len() + c.len_utf8() <= MAX_FILTER_BYTES =>
            {
                text.push(c);
            }
            KeyCode::Down => self.step(1),
            KeyCode::Up => self.step(-1),
            _ => {}
        }
        self.look_for(Filter { text, ..self.filter.clone() });
    }
}
