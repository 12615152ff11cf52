//! Waiting: always for something to be so, never for time to pass.

use std::fmt::Debug;
use std::thread;
use std::time::{Duration, Instant};

/// How long anything is waited for. It takes this long only where it will never come.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long to wait between two looks.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);

/// Asks until there is an answer. `what` says what is waited for, for whoever reads the failure.
pub fn until<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    until_for(PATIENCE, what, ask)
}

/// The same with another patience.
pub fn until_for<T>(patience: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < patience, "waited {patience:?} in vain for {what}");
        thread::sleep(PAUSE);
    }
}

/// Waits while something goes on: until `look` finds it ended, and returns `None`. Where what it finds
/// stays the same for so long, it never will.
pub fn while_it_goes_on<T: PartialEq + Debug>(
    patience: Duration,
    what: &str,
    mut look: impl FnMut() -> Option<T>,
) {
    let mut last = None;
    let mut since = Instant::now();
    while let Some(found) = look() {
        if last.as_ref() != Some(&found) {
            (last, since) = (Some(found), Instant::now());
        }
        assert!(since.elapsed() < patience, "waited {patience:?} in vain for {what}: {last:#?}");
        thread::sleep(PAUSE);
    }
}

/// Waits until something is so.
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    until(what, || is_so().then_some(()));
}
