//! The terminal: taken over, drawn on, and given back as it was.

use std::io::{self, BufWriter, Stdout};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::Frame;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

/// Whether the terminal is ours.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal while it is ours; dropped, it is given back.
#[derive(Debug)]
pub(crate) struct Terminal {
    screen: ratatui::Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl Terminal {
    /// Takes over the terminal that standard output is.
    pub(crate) fn enter() -> io::Result<Self> {
        // T1: a panic's message is for the terminal as it was, whichever thread it is of.
        let told = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back().ok();
            told(panic);
        }));
        TAKEN.store(true, Ordering::SeqCst);
        Self::take_over().inspect_err(|_| {
            give_back().ok();
        })
    }

    fn take_over() -> io::Result<Self> {
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        let screen = ratatui::Terminal::new(CrosstermBackend::new(BufWriter::new(io::stdout())))?;
        Ok(Self { screen })
    }

    /// Forgets what was drawn: it may not be there any more.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.screen.clear()
    }

    /// Draws a screen, as large as the terminal is now.
    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        if TAKEN.load(Ordering::SeqCst) {
            self.screen.draw(draw)?;
        }
        Ok(())
    }
}

/// T1: whatever the reason for the end.
impl Drop for Terminal {
    fn drop(&mut self) {
        if let Err(error) = give_back() {
            tracing::debug!(%error, "the terminal cannot be given back");
        }
    }
}

fn give_back() -> io::Result<()> {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return Ok(());
    }
    let shown = execute!(io::stdout(), LeaveAlternateScreen, Show);
    disable_raw_mode().and(shown)
}
