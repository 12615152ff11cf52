//! A terminal: the binary in it, what it draws, and keys for it.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::num::NonZeroU16;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use pty_process::Size;
use pty_process::blocking::{Command as PtyCommand, Pty, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, tcgetattr};

use crate::poll::until;

/// A process on a terminal of its own. Dropping it kills it; if that happens in a failing test, the
/// screen is printed.
pub struct Terminal {
    child: Child,
    pty: Arc<Pty>,
    drawn: Arc<Mutex<Drawn>>,
    reader: Option<JoinHandle<()>>,
}

struct Drawn {
    screen: vt100::Parser<Steered>,
    bytes: Vec<u8>,
}

/// What stands on its screen.
impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// How often the terminal was told to do what no screen needs.
#[derive(Debug, Default)]
struct Steered(usize);

impl vt100::Callbacks for Steered {
    fn audible_bell(&mut self, _: &mut vt100::Screen) {
        self.0 += 1;
    }

    fn set_window_title(&mut self, _: &mut vt100::Screen, _: &[u8]) {
        self.0 += 1;
    }

    fn set_window_icon_name(&mut self, _: &mut vt100::Screen, _: &[u8]) {
        self.0 += 1;
    }

    fn copy_to_clipboard(&mut self, _: &mut vt100::Screen, _: &[u8], _: &[u8]) {
        self.0 += 1;
    }

    fn resize(&mut self, _: &mut vt100::Screen, _: (u16, u16)) {
        self.0 += 1;
    }

    fn unhandled_osc(&mut self, _: &mut vt100::Screen, _: &[&[u8]]) {
        self.0 += 1;
    }
}

impl Terminal {
    /// Starts a command on a terminal of so many columns and rows.
    pub fn start(command: Command, columns: u16, rows: u16) -> Self {
        let (pty, pts) = open().expect("a pseudo terminal");
        pty.resize(Size::new(rows, columns)).expect("it takes a size");
        let command = PtyCommand::from(command);
        let child = command.spawn(pts).expect("the command can be started");
        let screen = vt100::Parser::new_with_callbacks(size(rows), size(columns), 0, Steered(0));
        let drawn = Arc::new(Mutex::new(Drawn { screen, bytes: Vec::new() }));
        let pty = Arc::new(pty);
        let (its_pty, its_drawn) = (Arc::clone(&pty), Arc::clone(&drawn));
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Once nobody has the other end open, reading fails.
            while let Ok(count @ 1..) = (&*its_pty).read(&mut buffer) {
                let mut drawn = locked(&its_drawn);
                drawn.screen.process(&buffer[..count]);
                drawn.bytes.extend_from_slice(&buffer[..count]);
            }
        });
        Self { child, pty, drawn, reader: Some(reader) }
    }

    /// What stands on the screen.
    pub fn text(&self) -> String {
        self.drawn().screen.screen().contents()
    }

    /// What stands on the screen once it is as wanted.
    pub fn text_when(&self, what: &str, mut is_wanted: impl FnMut(&str) -> bool) -> String {
        until(what, || Some(self.text()).filter(|text| is_wanted(text)))
    }

    /// Waits until a text stands on the screen.
    pub fn shows(&self, text: &str) -> String {
        self.text_when(&format!("{text:?} on the screen"), |screen| screen.contains(text))
    }

    /// Presses keys, as the bytes that they send.
    pub fn press(&self, keys: &str) {
        (&*self.pty).write_all(keys.as_bytes()).expect("the terminal takes it");
    }

    /// Gives the terminal another size.
    pub fn resize(&self, columns: u16, rows: u16) {
        // What is drawn for the new size is meant for a screen of that size.
        self.drawn().screen.set_size(size(rows), size(columns));
        self.pty.resize(Size::new(rows, columns)).expect("it takes a size");
    }

    /// Everything that was ever written to it.
    pub fn bytes(&self) -> Vec<u8> {
        self.drawn().bytes.clone()
    }

    /// How often it was told to do what no screen needs: to ring, to have another title or size, to
    /// copy.
    pub fn steered(&self) -> usize {
        self.drawn().screen.callbacks().0
    }

    /// Whether anything on the screen has a colour.
    pub fn has_colour(&self) -> bool {
        let drawn = self.drawn();
        let screen = drawn.screen.screen();
        let (rows, columns) = screen.size();
        (0..rows.get()).any(|row| {
            (0..columns.get()).any(|column| {
                let cell = screen.cell(row, column);
                cell.is_some_and(|it| {
                    (it.fgcolor(), it.bgcolor()) != (vt100::Color::Default, vt100::Color::Default)
                })
            })
        })
    }

    /// Whether a program has the whole screen, and takes keys as they are pressed.
    pub fn is_taken(&self) -> bool {
        let is_on_the_other_screen = self.drawn().screen.screen().alternate_screen();
        let modes = tcgetattr(&*self.pty).expect("it is a terminal").local_modes;
        is_on_the_other_screen && !modes.intersects(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Whether it is as it was before: its own screen, a cursor, lines that are echoed.
    pub fn is_given_back(&self) -> bool {
        let drawn = self.drawn();
        let screen = drawn.screen.screen();
        let modes = tcgetattr(&*self.pty).expect("it is a terminal").local_modes;
        !screen.alternate_screen()
            && !screen.hide_cursor()
            && modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id is an i32");
        let pid = Pid::from_raw(pid).expect("no process has the id 0");
        kill_process(pid, signal).expect("it is our child");
    }

    /// Waits for its end, and for what it has written; the exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let status =
            until("the program to end", || self.child.try_wait().expect("it is our child"));
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader of the terminal ends");
        }
        assert_eq!(status.signal(), None, "{}", self.text());
        status.code()
    }

    fn drawn(&self) -> MutexGuard<'_, Drawn> {
        locked(&self.drawn)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let runs = self.child.try_wait().is_ok_and(|ended| ended.is_none());
        if runs && self.child.kill().is_ok() {
            self.child.wait().ok();
        }
        if thread::panicking() {
            eprintln!("--- the screen\n{}", self.text());
        }
    }
}

fn locked(drawn: &Mutex<Drawn>) -> MutexGuard<'_, Drawn> {
    drawn.lock().unwrap_or_else(PoisonError::into_inner)
}

fn size(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).expect("a terminal has a size")
}
