//! The checks as people read them: a heading for each bucket, a line for each check, and under what
//! is not well how to mend it. Lines are broken at the terminal's width, between words.

use anstyle::{AnsiColor, Style};

use super::check::{Check, State};
use crate::error::Result;
use crate::human;
use crate::screen::Screen;
use crate::table;

/// Where the name of a check and what is said of it begin.
const NAME_AT: usize = 10;
const DETAIL_AT: usize = 41;

/// Narrower than that, lines are not broken.
const NARROWEST: usize = 60;

/// Prints checks that stand together by bucket.
pub(super) fn print(checks: &[Check], screen: &mut Screen<'_>) -> Result<()> {
    let width = if screen.colour { table::terminal_width() } else { None };
    let width = width.filter(|width| *width >= NARROWEST).unwrap_or(usize::MAX);
    let mut last = None;
    for check in checks {
        if last != Some(&check.bucket) {
            if last.is_some() {
                screen.line("")?;
            }
            let of = check.bucket.as_ref().map_or("this machine", |bucket| bucket.as_str());
            screen.line(styled(of, Style::new().bold(), screen.colour))?;
            last = Some(&check.bucket);
        }
        one(check, width, screen)?;
    }
    screen.line("")?;
    Ok(screen.line(sum(checks))?)
}

fn one(check: &Check, width: usize, screen: &mut Screen<'_>) -> Result<()> {
    let colour = match check.state {
        State::Ok => AnsiColor::Green,
        State::Warn | State::Unknown => AnsiColor::Yellow,
        State::Fail => AnsiColor::Red,
    };
    let state = check.state.as_str();
    let gap = " ".repeat(NAME_AT.saturating_sub(2 + state.len()));
    let state = styled(state, colour.on_default(), screen.colour);
    let name = format!("{:<1$}", check.name, DETAIL_AT - NAME_AT);
    let mut lines = broken(&check.detail, width.saturating_sub(DETAIL_AT)).into_iter();
    let first = lines.next().unwrap_or_default();
    screen.line(format!("  {state}{gap}{name}{first}"))?;
    for line in lines {
        screen.line(format!("{}{line}", " ".repeat(DETAIL_AT)))?;
    }
    for (number, line) in check.advice.iter().flat_map(|advice| {
        broken(advice, width.saturating_sub(NAME_AT + 2)).into_iter().enumerate()
    }) {
        let mark = if number == 0 { "→ " } else { "  " };
        screen.line(format!("{}{mark}{line}", " ".repeat(NAME_AT)))?;
    }
    Ok(())
}

fn styled(text: &str, style: Style, colour: bool) -> String {
    if colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
}

/// A text in lines of at most `width` characters, unless a word is longer.
fn broken(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn sum(checks: &[Check]) -> String {
    let count = |state| checks.iter().filter(|check| check.state == state).count();
    let (failed, warned) = (count(State::Fail), count(State::Warn));
    let unknown = count(State::Unknown);
    let all = human::count(checks.len() as u64, "check");
    if failed + warned + unknown == 0 {
        return format!("All is well: {all}.");
    }
    let warnings = human::count(warned as u64, "warning");
    format!("{all}: {failed} failed, {warnings}, {unknown} unknown.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_only() {
        assert_eq!(broken("one two three", 7), ["one two", "three"]);
        assert_eq!(broken("a-very-long-word b", 4), ["a-very-long-word", "b"]);
        assert_eq!(broken("one two", usize::MAX), ["one two"]);
    }

    #[test]
    fn checks_stand_under_their_heading_with_what_to_do() {
        let bucket = model::Bucket::new("my-bucket").unwrap();
        let checks = [
            Check::ok("log", "empty"),
            Check::fail("exists", "no").advise("create it").of(&bucket),
        ];
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut screen =
            Screen { out: &mut out, err: &mut err, json: false, colour: false, moving: false };
        print(&checks, &mut screen).unwrap();
        let expected = "this machine\n  ok      log                            empty\n\nmy-bucket\n  \
                        fail    exists                         no\n          → create it\n\n2 checks: \
                        1 failed, 0 warnings, 0 unknown.\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
