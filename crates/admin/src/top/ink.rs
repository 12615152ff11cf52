//! How texts get onto the screen: escaped, measured, and in the colour of what they mean.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};
use wal::DeliveryState;
use wal::inspect::{DestinationState, MinuteStage};

use crate::printable::printable;

/// What a text means, as far as its colour tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Muted,
    Strong,
    Good,
    Moving,
    Waiting,
    Bad,
}

impl From<DeliveryState> for Tone {
    fn from(state: DeliveryState) -> Self {
        match state {
            DeliveryState::Logged => Self::Plain,
            DeliveryState::Sealed => Self::Moving,
            DeliveryState::Delivered => Self::Good,
            DeliveryState::Parked => Self::Waiting,
            DeliveryState::Quarantined => Self::Bad,
        }
    }
}

impl From<MinuteStage> for Tone {
    fn from(stage: MinuteStage) -> Self {
        match stage {
            MinuteStage::Open => Self::Strong,
            MinuteStage::Finished => Self::Plain,
            MinuteStage::Sealed => Self::Moving,
            MinuteStage::Delivered => Self::Good,
            MinuteStage::Parked => Self::Waiting,
            MinuteStage::Quarantined => Self::Bad,
        }
    }
}

impl From<DestinationState> for Tone {
    fn from(state: DestinationState) -> Self {
        match state {
            DestinationState::Delivered => Self::Good,
            DestinationState::Sending => Self::Moving,
            DestinationState::Failing | DestinationState::Parked => Self::Waiting,
            DestinationState::Quarantined => Self::Bad,
        }
    }
}

/// What colours there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Palette {
    colour: bool,
}

impl Palette {
    pub(crate) fn new(colour: bool) -> Self {
        Self { colour }
    }

    /// Whether there are any.
    pub(crate) fn has_colour(self) -> bool {
        self.colour
    }

    fn style(self, tone: Tone) -> Style {
        let of = |colour| if self.colour { Style::new().fg(colour) } else { Style::new() };
        match tone {
            Tone::Plain => Style::new(),
            Tone::Muted => Style::new().add_modifier(Modifier::DIM),
            Tone::Strong => Style::new().add_modifier(Modifier::BOLD),
            Tone::Good => of(Color::Green),
            Tone::Moving => of(Color::Cyan),
            Tone::Waiting => of(Color::Yellow).add_modifier(Modifier::BOLD),
            Tone::Bad => of(Color::Red).add_modifier(Modifier::BOLD),
        }
    }

    /// T2: a text as it is drawn. Nothing is drawn that does not come from here.
    pub(crate) fn span(self, text: &str, tone: Tone) -> Span<'static> {
        Span::styled(printable(text).into_owned(), self.style(tone))
    }

    /// A line of one text.
    pub(crate) fn line(self, text: &str, tone: Tone) -> Line<'static> {
        Line::from(self.span(text, tone))
    }
}

/// How many columns of the terminal a text takes that is drawn.
pub(crate) fn width(text: &str) -> usize {
    printable(text).width()
}

/// The text as it is drawn, cut to so many columns; the cut is shown.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    let text = printable(text);
    if text.width() <= columns {
        return text.into_owned();
    }
    let (mut fitting, mut taken) = (String::new(), 0);
    for c in text.chars() {
        taken += c.width().unwrap_or(0);
        // One is for the sign of the cut.
        if taken >= columns {
            break;
        }
        fitting.push(c);
    }
    if columns > 0 {
        fitting.push('…');
    }
    fitting
}

/// The text as it is drawn in lines of so many columns, broken at a space where there is one in the
/// second half of a line.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let text = printable(text);
    let columns = columns.max(2);
    let (mut lines, mut line, mut taken) = (Vec::new(), String::new(), 0);
    for c in text.chars() {
        let own = c.width().unwrap_or(0);
        if taken + own > columns {
            let space = line.rfind(' ').filter(|_| c != ' ');
            let rest = match space.filter(|at| line[..*at].width() * 2 >= columns) {
                Some(at) => {
                    let rest = line.split_off(at + 1);
                    line.truncate(at);
                    rest
                }
                None => String::new(),
            };
            taken = rest.width();
            lines.push(std::mem::replace(&mut line, rest));
            if c == ' ' {
                continue;
            }
        }
        taken += own;
        line.push(c);
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut_and_the_cut_is_shown() {
        for (text, columns, shown) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("a\u{1b}[2J", 9, "a\\u{1b}[…"),
            ("abc", 0, ""),
        ] {
            assert_eq!(fit(text, columns), shown);
        }
    }

    #[test]
    fn lines_break_at_spaces_and_long_words_anywhere() {
        assert_eq!(wrap("", 10), [""]);
        assert_eq!(wrap("one two three", 9), ["one two", "three"]);
        assert_eq!(wrap("one two", 3), ["one", "two"]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("a bcdefghij", 6), ["a bcde", "fghij"]);
        assert_eq!(wrap("日本語", 4), ["日本", "語"]);
        assert_eq!(wrap("a\u{1b}b", 4), ["a\\u{", "1b}b"]);
    }

    #[test]
    fn without_colours_nothing_has_one() {
        let tones = [
            Tone::Plain,
            Tone::Muted,
            Tone::Strong,
            Tone::Good,
            Tone::Moving,
            Tone::Waiting,
            Tone::Bad,
        ];
        for tone in tones {
            assert_eq!(Palette::new(false).span("x", tone).style.fg, None);
        }
        assert_eq!(Palette::new(true).span("x", Tone::Bad).style.fg, Some(Color::Red));
    }
}
