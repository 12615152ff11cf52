//! What was measured: figures with their units and, where there is one, what they are to reach.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Color, Table};
use serde::Serialize;

use crate::latency::Latencies;

/// What a figure is to reach.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// So much or more.
    AtLeast(f64),
    /// So much or less.
    AtMost(f64),
}

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    goal: Option<Goal>,
    /// Whether it reaches its goal.
    reached: Option<bool>,
}

/// The figures of one stage.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    stage: &'static str,
    about: &'static str,
    figures: Vec<Figure>,
}

impl Goal {
    fn is_reached(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(least) => format!("≥ {}", number(least)),
            Self::AtMost(most) => format!("≤ {}", number(most)),
        }
    }
}

impl Report {
    /// An empty one.
    pub(crate) fn new(stage: &'static str, about: &'static str) -> Self {
        Self { stage, about, figures: Vec::new() }
    }

    /// Notes a figure.
    pub(crate) fn add(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.figures.push(Figure { name: name.into(), value, unit, goal: None, reached: None });
    }

    /// Notes a figure that is to reach something.
    pub(crate) fn goal(
        &mut self,
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        goal: Goal,
    ) {
        let reached = Some(goal.is_reached(value));
        self.figures.push(Figure { name: name.into(), value, unit, goal: Some(goal), reached });
    }

    /// Notes how long things took.
    pub(crate) fn latencies(&mut self, what: &str, latencies: &Latencies) {
        for (name, percent) in [("p50", 50.0), ("p99", 99.0), ("p99.9", 99.9)] {
            self.add(format!("{what}, {name}"), latencies.percentile_ms(percent), "ms");
        }
        self.add(format!("{what}, longest"), latencies.max_ms(), "ms");
    }

    /// Notes the most that was resident of a service; `most_mib` is what it may be.
    pub(crate) fn resident(&mut self, service: &str, bytes: u64, most_mib: f64) {
        let name = format!("{service}, most that was resident");
        self.goal(name, mib(bytes), "MiB", Goal::AtMost(most_mib));
    }

    /// Prints a table for people; where the figures for programs go to standard output, on standard
    /// error.
    pub(crate) fn print(&self, on_error: bool) {
        let mut table = Table::new();
        table.load_style(NOTHING);
        table.set_header([self.stage, "", "", "goal"]);
        for figure in &self.figures {
            let mut value = Cell::new(number(figure.value)).set_alignment(CellAlignment::Right);
            let goal = figure.goal.map(|goal| {
                let reached = figure.reached == Some(true);
                let colour = if reached { Color::Green } else { Color::Red };
                value = value.clone().fg(colour);
                format!("{} {}", if reached { "✓" } else { "✗" }, goal.text())
            });
            let (name, goal) = (Cell::new(&figure.name), Cell::new(goal.unwrap_or_default()));
            table.add_row([name, value, Cell::new(figure.unit), goal]);
        }
        let text = format!("{}\n{table}\n", self.about);
        if on_error { eprintln!("{text}") } else { println!("{text}") }
    }
}

/// The bytes of a MiB.
pub(crate) const MIB: f64 = 1024.0 * 1024.0;

/// Bytes in MiB.
#[expect(clippy::cast_precision_loss, reason = "a figure needs no more than 53 bits")]
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB
}

/// A number with as many digits as mean something, its thousands apart.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut apart = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 && !apart.ends_with('-') {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_show_what_means_something() {
        for (value, text) in [
            (412_345.6, "412,346"),
            (99.94, "99.9"),
            (3.456, "3.46"),
            (0.1234, "0.123"),
            (-1234.0, "-1,234"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_goal_is_reached_at_its_edge() {
        assert!(Goal::AtLeast(3.0).is_reached(3.0) && Goal::AtMost(3.0).is_reached(3.0));
        assert!(!Goal::AtLeast(3.0).is_reached(2.9) && !Goal::AtMost(3.0).is_reached(3.1));
    }
}
