//! That the main loop comes round.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Counts the turns of the main loop for whoever wants to see one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns(Arc<(Mutex<u64>, Condvar)>);

impl Turns {
    /// Notes that a turn begins.
    pub(crate) fn turn(&self) {
        let (count, turned) = &*self.0;
        *count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        turned.notify_all();
    }

    /// Waits for the beginning of a turn; `false` where there is none within `patience`.
    pub(crate) fn wait(&self, patience: Duration) -> bool {
        let (count, turned) = &*self.0;
        let count = count.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = *count;
        let waited = turned.wait_timeout_while(count, patience, |count| *count == seen);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn who_waits_sees_a_turn_that_begins_after_that_and_no_other() {
        let turns = Turns::default();
        turns.turn();
        assert!(!turns.wait(Duration::from_millis(10)), "the turn was before");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| turns.wait(Duration::from_mins(1)));
            while !waiting.is_finished() {
                turns.turn();
                thread::yield_now();
            }
            assert!(waiting.join().unwrap());
        });
    }
}
