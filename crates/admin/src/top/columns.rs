//! Lists in columns: two spaces apart, numbers to the right, one line a row.

use ratatui::style::{Modifier, Style};
use ratatui::text::Line;

use crate::table::Align;
use crate::top::ink::{Palette, Tone, fit, width};

/// What is between two columns, and left of the first one.
const GAP: usize = 2;
const MARGIN: usize = 1;

/// A column: its heading, its width or `None` for what the others leave, and where its texts stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column(pub(crate) &'static str, pub(crate) Option<usize>, pub(crate) Align);

/// Columns in their widths.
#[derive(Debug)]
pub(crate) struct Columns {
    columns: Vec<(Column, usize)>,
    total: usize,
}

impl Columns {
    /// The columns on a screen that is `total` wide.
    pub(crate) fn new(columns: Vec<Column>, total: usize) -> Self {
        let gaps = MARGIN * 2 + GAP * columns.len().saturating_sub(1);
        let fixed: usize = columns.iter().filter_map(|column| column.1).sum();
        let rest = total.saturating_sub(gaps + fixed);
        let columns =
            columns.into_iter().map(|column| (column, column.1.unwrap_or(rest))).collect();
        Self { columns, total }
    }

    /// The headings.
    pub(crate) fn heading(&self, palette: Palette) -> Line<'static> {
        let cells = self.columns.iter().map(|(column, _)| (column.0.to_owned(), Tone::Strong));
        self.line(cells.collect(), palette, false)
    }

    /// A row with a text for each column.
    pub(crate) fn line(
        &self,
        cells: Vec<(String, Tone)>,
        palette: Palette,
        is_chosen: bool,
    ) -> Line<'static> {
        let mut spans = vec![palette.span(" ", Tone::Plain)];
        let mut taken = MARGIN;
        for (number, ((text, tone), (column, columns))) in
            cells.into_iter().zip(&self.columns).enumerate()
        {
            let gap = if number == 0 { 0 } else { GAP };
            let text = fit(&text, *columns);
            let room = columns.saturating_sub(width(&text));
            let (before, after) = match column.2 {
                Align::Left => (gap, room),
                Align::Right => (gap + room, 0),
            };
            spans.push(palette.span(&" ".repeat(before), Tone::Plain));
            spans.push(palette.span(&text, tone));
            spans.push(palette.span(&" ".repeat(after), Tone::Plain));
            taken += gap + columns;
        }
        spans.push(palette.span(&" ".repeat(self.total.saturating_sub(taken)), Tone::Plain));
        let line = Line::from(spans);
        if is_chosen {
            return line.patch_style(Style::new().add_modifier(Modifier::REVERSED));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stand_under_their_headings() {
        let columns =
            vec![Column("NAME", None, Align::Left), Column("COUNT", Some(7), Align::Right)];
        let columns = Columns::new(columns, 20);
        let palette = Palette::new(false);
        let row = |name: &str| vec![(name.to_owned(), Tone::Plain), ("12".to_owned(), Tone::Good)];
        for (line, shown) in [
            (columns.heading(palette), " NAME         COUNT "),
            (columns.line(row("a"), palette, false), " a               12 "),
            (columns.line(row("a long name"), palette, true), " a long n…       12 "),
        ] {
            assert_eq!(line.to_string(), shown);
        }
    }
}
