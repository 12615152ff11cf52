//! Tables: columns two spaces apart, numbers to the right, a key is never broken in two.

use std::borrow::Cow;
use std::io;

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table};
use wal::DeliveryState;
use wal::inspect::MinuteState;

use crate::printable::printable;
use crate::screen::Screen;

/// What comfy-table ends a style with.
const END_OF_STYLE: &str = "\u{1b}[0m";

/// A column: its heading, and whether numbers stand in it.
pub(crate) type Column = (&'static str, Align);

/// Where the text of a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// What a text in a table means, as far as a colour tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Plain,
    Good,
    Waiting,
    Bad,
}

impl From<DeliveryState> for Mood {
    fn from(state: DeliveryState) -> Self {
        match state {
            DeliveryState::Logged | DeliveryState::Sealed => Self::Plain,
            DeliveryState::Delivered => Self::Good,
            DeliveryState::Parked => Self::Waiting,
            DeliveryState::Quarantined => Self::Bad,
        }
    }
}

impl From<MinuteState> for Mood {
    fn from(state: MinuteState) -> Self {
        match state {
            MinuteState::Open | MinuteState::Finished | MinuteState::Sealed => Self::Plain,
            MinuteState::Parked => Self::Waiting,
            MinuteState::Quarantined => Self::Bad,
        }
    }
}

/// A table that is being filled.
#[derive(Debug)]
pub(crate) struct Report {
    table: Table,
    columns: Vec<Align>,
}

impl Report {
    /// A table with these columns and no rows.
    pub(crate) fn new(columns: &[Column], colour: bool) -> Self {
        let mut table = Table::new();
        table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        let heading = |(text, align): &Column| {
            aligned(Cell::new(text).add_attribute(Attribute::Bold), *align)
        };
        table.set_header(columns.iter().map(heading));
        Self { table, columns: columns.iter().map(|(_, align)| *align).collect() }
    }

    /// Adds a row with a text for each column.
    pub(crate) fn row<const N: usize>(&mut self, cells: [Text; N]) {
        let cells = cells.into_iter().zip(&self.columns).map(|(text, align)| {
            // A line break is ours only between lines: one within them is somebody else's.
            let lines: Vec<Cow<'_, str>> = text.lines.iter().map(|line| printable(line)).collect();
            let cell = aligned(Cell::new_owned(lines.join("\n")), *align);
            match text.mood {
                Mood::Plain => cell,
                Mood::Good => cell.fg(Color::Green),
                Mood::Waiting => cell.fg(Color::Yellow),
                Mood::Bad => cell.fg(Color::Red),
            }
        });
        self.table.add_row(cells);
    }

    /// Prints the table.
    pub(crate) fn print(mut self, screen: &mut Screen<'_>) -> io::Result<()> {
        for column in self.table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        for line in self.table.trim_fmt().lines() {
            screen.line(trimmed(line))?;
        }
        Ok(())
    }
}

/// A line without spaces at its end, be they in bold: a heading as wide as its column fills several
/// lines of a terminal that is narrower.
fn trimmed(line: &str) -> Cow<'_, str> {
    match line.strip_suffix(END_OF_STYLE) {
        Some(styled) => format!("{}{END_OF_STYLE}", styled.trim_end()).into(),
        None => line.trim_end().into(),
    }
}

fn aligned(cell: Cell, align: Align) -> Cell {
    match align {
        Align::Left => cell,
        Align::Right => cell.set_alignment(CellAlignment::Right),
    }
}

/// How many characters a line of the terminal has that standard output is; `None` where it is none.
pub(crate) fn terminal_width() -> Option<usize> {
    Table::new().width().map(usize::from)
}

/// What stands in one place of a table: lines under each other.
#[derive(Debug)]
pub(crate) struct Text {
    lines: Vec<String>,
    mood: Mood,
}

/// A text without a colour.
pub(crate) fn plain(text: impl Into<String>) -> Text {
    coloured(text, Mood::Plain)
}

/// A text in the colour of what it means.
pub(crate) fn coloured(text: impl Into<String>, mood: Mood) -> Text {
    Text { lines: vec![text.into()], mood }
}

/// Texts without a colour that stand under each other.
pub(crate) fn lines(lines: Vec<String>) -> Text {
    Text { lines, mood: Mood::Plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(colour: bool) -> String {
        let mut report = Report::new(&[("NAME", Align::Left), ("COUNT", Align::Right)], colour);
        report.row([plain("a"), coloured("12345678", Mood::Bad)]);
        report.row([plain("long name"), plain("1")]);
        shown(report, colour)
    }

    fn shown(report: Report, colour: bool) -> String {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut screen =
            Screen { out: &mut out, err: &mut err, json: false, colour, moving: false };
        report.print(&mut screen).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_stand_under_each_other_and_a_sender_cannot_begin_one() {
        let mut report = Report::new(&[("STATE", Align::Left), ("WHAT", Align::Left)], false);
        report.row([plain("bad"), lines(vec!["key".to_owned(), "why\nnot".to_owned()])]);
        assert_eq!(shown(report, false), "STATE  WHAT\nbad    key\n       why\\u{a}not\n");
    }

    #[test]
    fn numbers_stand_to_the_right_and_lines_end_without_spaces() {
        let expected = "NAME          COUNT\na          12345678\nlong name         1\n";
        assert_eq!(print(false), expected);
    }

    #[test]
    fn a_heading_is_no_wider_than_its_words() {
        let mut report = Report::new(&[("COUNT", Align::Right), ("KEY", Align::Left)], true);
        report.row([coloured("1", Mood::Bad), plain("k".repeat(300))]);
        let shown = shown(report, true);
        let heading = shown.lines().next().unwrap();
        assert!(
            heading.contains("\u{1b}[1m") && heading.ends_with(&format!("KEY{END_OF_STYLE}")),
            "{heading:?}"
        );
    }

    #[test]
    fn colours_are_there_on_demand_only() {
        assert!(print(true).contains('\u{1b}'));
    }
}
