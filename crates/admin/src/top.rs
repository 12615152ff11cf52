//! `admin top`: what the inspector's page shows, live, at a terminal.
//!
//! It reads what the page reads ([`View`]), whichever of the services runs, and changes nothing.
//!
//! # Promises
//! - **T1** The terminal is left as it was found: at the end, after an error, a signal and a panic.
//! - **T2** No text of somebody else's steers the terminal.
//! - **T3** A disk that is slow, or hangs, holds up no key: it is read on a thread of its own.
//! - **T4** What is held does not grow with the log: events, minutes, destinations and payloads are
//!   bounded.

mod app;
mod columns;
mod cursor;
mod desk;
mod draw;
mod event;
mod ink;
mod keys;
mod lists;
mod rates;
mod reader;
mod search;
mod strip;
mod summary;
mod terminal;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use model::Clock;
use ratatui::crossterm::event as input;
use tokio_util::sync::CancellationToken;
use wal::DataDir;

use crate::error::{Error, Result};
use crate::place;
use crate::top::app::{App, Due, Machine};
use crate::top::desk::Desk;
use crate::top::ink::Palette;
use crate::top::terminal::Terminal;
use crate::view::View;

/// How long a key, a signal or news may wait to be noticed.
const TICK: Duration = Duration::from_millis(50);

/// Where the kernel tells the name of the machine.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// What is shown, and how.
#[derive(Clone, Debug)]
pub struct TopOptions {
    /// The data directory.
    pub data_dir: PathBuf,
    /// Where ingest takes events: who has none yet is told how to send one.
    pub ingest: String,
    /// What the log may take on disk, in bytes.
    pub max_bytes: u64,
    /// The pause between two looks at the data directory.
    pub interval: Duration,
    /// Whether there are colours.
    pub colour: bool,
}

/// Shows it on the terminal that standard output is, until a key or `stop` ends it.
pub fn top(options: TopOptions, clock: &Arc<dyn Clock>, stop: &CancellationToken) -> Result<()> {
    place::check(&options.data_dir)?;
    let data = DataDir::at(&options.data_dir);
    data.check_format()?;
    let mut app = App::new(Machine::of(&options), Palette::new(options.colour), clock.now());
    let (view, desk) = (View::new(data, options.ingest, Arc::clone(clock)), Arc::new(Desk::new()));
    let mut terminal = Terminal::enter()?;
    // T3: nobody waits for it, at the end either.
    let (its_desk, interval) = (Arc::clone(&desk), options.interval);
    let reader = thread::Builder::new()
        .name("top-reader".to_owned())
        .spawn(move || reader::run(&view, &its_desk, interval))?;
    while !stop.is_cancelled() {
        if reader.is_finished() {
            return Err(Error::ReaderEnded);
        }
        if let Some(shown) = desk.take() {
            app.show(shown);
        }
        match app.tick(clock.now(), desk.busy()) {
            Due::Leave => break,
            Due::Nothing => {}
            due => {
                if due == Due::DrawAnew {
                    terminal.clear()?;
                }
                terminal.draw(|frame| draw::draw(frame, &mut app))?;
            }
        }
        let mut patience = TICK;
        while input::poll(patience)? {
            patience = Duration::ZERO;
            app.input(&input::read()?);
        }
        desk.ask(app.wanted());
    }
    desk.close();
    Ok(())
}

impl Machine {
    fn of(options: &TopOptions) -> Self {
        let host = std::fs::read_to_string(HOST_NAME).unwrap_or_default();
        Self {
            host: host.trim().to_owned(),
            data_dir: options.data_dir.display().to_string(),
            max_bytes: options.max_bytes,
        }
    }
}
