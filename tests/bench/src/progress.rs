//! What is going on, on a terminal alone.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Says what is being done until it is dropped; on what is no terminal, in a line of its own.
#[derive(Debug)]
pub(crate) struct Doing(ProgressBar);

impl Doing {
    /// Begins.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        let what = what.into();
        if !std::io::stderr().is_terminal() {
            eprintln!("… {what}");
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}");
        let bar = ProgressBar::new_spinner().with_message(what);
        bar.set_style(style.expect("the template is right"));
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
