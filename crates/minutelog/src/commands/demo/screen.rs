//! What the demo shows: text and a countdown for people, or one JSON document.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use model::{Clock, EventId, UnixMillis};
use serde_json::json;

use super::verdict::Verdict;
use super::{BUCKET, Done, PREFIX, destination};
use crate::failure::Failure;
use crate::local::Local;
use crate::output;

/// Up to that many lines are all shown.
const ALL_LINES: usize = 40;

/// How many lines are shown of more.
const FIRST_LINES: usize = 5;

/// How often a countdown says a word where there is no terminal.
const WORD_EVERY: Duration = Duration::from_secs(15);

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GREEN: Style = AnsiColor::Green.on_default().bold();
const CYAN: Style = AnsiColor::Cyan.on_default();

fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Standard output, and standard error for what moves.
pub(super) struct Screen {
    json: bool,
    moving: bool,
}

impl Screen {
    /// With `json` nothing but the document at the end is shown.
    pub(super) fn new(json: bool) -> Self {
        Self { json, moving: io::stderr().is_terminal() && !json }
    }

    /// The first line.
    pub(super) fn title(&self, text: &str) -> Result<(), Failure> {
        self.say(&format!("\n{} {text}\n\n", paint(BOLD, "minutelog demo:")))
    }

    /// What runs where.
    pub(super) fn services(&self, local: &Local) -> Result<(), Failure> {
        let (ingest, flusher) = local.pids();
        let mut text = String::new();
        for (name, address, note) in [
            ("S3", local.s3_url.clone(), "embedded, in this process".to_owned()),
            ("ingest", format!("http://{}", local.ingest_address), format!("process {ingest}")),
            ("flusher", format!("http://{}", local.flusher_ops), format!("process {flusher}")),
        ] {
            write_line(&mut text, name, &format!("{address:<24} {}", paint(DIM, note)));
        }
        self.say(&text)
    }

    /// Sending begins.
    pub(super) fn sending(&self, events: usize, requests: usize) -> Result<(), Failure> {
        let mut text = String::from("\n");
        let note = paint(DIM, format!("POST /v1/send/s3, {requests} requests"));
        let to = paint(CYAN, destination());
        write_line(&mut text, "send", &format!("{} to {to}  {note}", counted(events, "event")));
        self.say(&text)
    }

    /// All events were accepted.
    pub(super) fn accepted(&self, ids: &[EventId]) -> Result<(), Failure> {
        let mut text = String::new();
        let note = paint(DIM, "each on stable storage before its answer");
        write_line(&mut text, "accepted", &format!("{}  {note}", counted(ids.len(), "id")));
        if let (Some(first), Some(last)) = (ids.first(), ids.last()) {
            write_line(&mut text, "", &format!("{first} … {last}"));
        }
        self.say(&text)
    }

    /// Waits until `until`, and shows how long it will be.
    pub(super) async fn countdown(
        &self,
        what: &str,
        until: UnixMillis,
        clock: &dyn Clock,
    ) -> Result<(), Failure> {
        let total = until.since(clock.now());
        let bar = self.bar(what, total);
        let mut last_word = None;
        loop {
            let left = until.since(clock.now());
            if left.is_zero() {
                break;
            }
            let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
            bar.set_position(millis(total.saturating_sub(left)));
            bar.set_message(format!("{what} in {seconds} s"));
            if !self.moving && last_word.is_none_or(|word| left + WORD_EVERY <= word) {
                last_word = Some(left);
                let mut text = String::new();
                write_line(&mut text, "wait", &format!("{what} in {seconds} s"));
                self.say(&text)?;
            }
            tokio::time::sleep(left.min(Duration::from_millis(100))).await;
        }
        bar.finish_and_clear();
        if self.moving {
            let mut text = String::new();
            write_line(&mut text, "wait", &format!("{what}: waited {} s", total.as_secs()));
            self.say(&text)?;
        }
        Ok(())
    }

    fn bar(&self, what: &str, total: Duration) -> ProgressBar {
        if !self.moving {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("  {prefix:<10}{bar:30.cyan/dim} {msg}")
            .expect("the template is valid")
            .progress_chars("━╸─");
        ProgressBar::new(millis(total))
            .with_style(style)
            .with_prefix("wait")
            .with_message(what.to_owned())
    }

    /// Shows that something goes on, until it is finished.
    pub(super) fn spinner(&self, what: &str) -> ProgressBar {
        if !self.moving {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("  {prefix:<10}{spinner:.cyan} {msg}")
            .expect("the template is valid");
        let spinner = ProgressBar::new_spinner()
            .with_style(style)
            .with_prefix("deliver")
            .with_message(what.to_owned());
        spinner.enable_steady_tick(Duration::from_millis(80));
        spinner
    }

    /// The object and the verdict.
    pub(super) fn object(
        &self,
        done: &Done,
        verdict: &Verdict,
        took: Duration,
    ) -> Result<(), Failure> {
        let size = done.bytes.len();
        let lines = verdict.lines.len();
        if self.json {
            return output::print_json(&json!({
                "equal": true,
                "bucket": BUCKET,
                "prefix": PREFIX,
                "events": done.ids.len(),
                "first": done.ids.first().map(ToString::to_string),
                "last": done.ids.last().map(ToString::to_string),
                "minute": done.minute.to_string(),
                "key": done.key,
                "size_bytes": size,
                "lines": lines,
                "lines_bytes": verdict.lines_bytes,
                "seconds": took.as_secs(),
            }));
        }
        let mut text = String::from("\n");
        write_line(&mut text, "object", &paint(CYAN, &done.key));
        let note = paint(DIM, format!("gzip of {} bytes", verdict.lines_bytes));
        write_line(&mut text, "size", &format!("{size} bytes  {note}"));
        write_line(&mut text, "lines", &format!("{lines}\n"));
        text.push_str(&listing(&verdict.lines));
        let verdict = format!(
            "{} sent, {} read back from S3, in one object: equal, and in order.",
            counted(done.ids.len(), "event"),
            counted(lines, "line"),
        );
        let seconds = paint(DIM, format!("{} s", took.as_secs()));
        writeln!(text, "\n  {} {} {seconds}\n", paint(GREEN, "✔"), paint(BOLD, verdict))
            .expect("a String takes all that is written");
        self.say(&text)
    }

    fn say(&self, text: &str) -> Result<(), Failure> {
        if self.json { Ok(()) } else { output::print(text) }
    }
}

fn write_line(text: &mut String, name: &str, value: &str) {
    writeln!(text, "  {name:<10}{value}").expect("a String takes all that is written");
}

/// The lines with their numbers: all of them, or the first ones and a count.
fn listing(lines: &[String]) -> String {
    let shown = if lines.len() <= ALL_LINES { lines.len() } else { FIRST_LINES };
    let width = shown.to_string().len();
    let mut text = String::new();
    for (number, line) in lines.iter().take(shown).enumerate() {
        let number = paint(DIM, format!("{:>width$}", number + 1));
        writeln!(text, "  {number}  {line}").expect("a String takes all that is written");
    }
    if shown < lines.len() {
        let more = format!("… and {} more", lines.len() - shown);
        writeln!(text, "  {}", paint(DIM, more)).expect("a String takes all that is written");
    }
    text
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_listings_are_cut_with_a_count() {
        let lines = |count: usize| (0..count).map(|n| format!("line {n}")).collect::<Vec<_>>();
        assert_eq!(listing(&lines(40)).lines().count(), 40);
        let long = listing(&lines(41));
        assert_eq!(long.lines().count(), 6);
        assert!(long.contains("and 36 more"), "{long}");
    }
}
