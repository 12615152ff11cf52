//! How long a commit waits for company.
//!
//! A sync costs as much for one request as for a hundred. Clients that send one request after the
//! other are back a moment after their answers; a commit that begins with the first of them leaves
//! the rest to the next one. So it waits until as many requests are there as had no answer yet when
//! the last commit was durable: those of that commit, and those that came while it was made. They
//! are a lower bound of how many clients there are.
//!
//! - **Who is alone never waits**, nor is anybody waited for who was not there a moment ago.
//! - **No one waits long**: as long as the last commit took, and [`PATIENCE_MAX`] at most.
//! - **A large commit is worth its sync** as it is, and the next one is taken to be as large.

use std::thread;
use std::time::{Duration, Instant};

/// The longest wait.
const PATIENCE_MAX: Duration = Duration::from_millis(1);

/// How often it is looked who is there. Looking costs the clients nothing: nobody wakes the writer.
const STEP: Duration = Duration::from_micros(100);

/// A commit of so many bytes takes longer to write than a sync does by itself.
const LARGE_BYTES: u64 = 256 * 1024;

/// What the last commit tells of the next one.
#[derive(Debug, Default)]
pub(crate) struct Company {
    expected: usize,
    patience: Duration,
}

impl Company {
    /// A commit of so many requests and bytes took so long to be durable, and `waiting` further
    /// requests had come by then.
    pub(crate) fn committed(
        &mut self,
        requests: usize,
        waiting: usize,
        bytes: u64,
        took: Duration,
    ) {
        self.expected = requests + waiting;
        let alone = self.expected <= 1;
        self.patience =
            if alone || bytes >= LARGE_BYTES { Duration::ZERO } else { took.min(PATIENCE_MAX) };
    }

    /// Waits until as many requests are there as are expected, or until it has been long enough.
    pub(crate) fn gather(&self, there: impl Fn() -> usize) {
        if self.patience.is_zero() {
            return;
        }
        let began = Instant::now();
        while there() < self.expected {
            let left = self.patience.saturating_sub(began.elapsed());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(STEP));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const COMMIT: Duration = Duration::from_millis(2);

    fn after(requests: usize, waiting: usize, bytes: u64, took: Duration) -> Company {
        let mut company = Company::default();
        company.committed(requests, waiting, bytes, took);
        company
    }

    /// How often `gather` looked who is there, where one more is there at each look, and whoever is
    /// waited for at all is waited for as long as it takes.
    fn looks(company: &Company, first: usize) -> usize {
        let Company { expected, patience } = *company;
        let patience = patience.saturating_mul(1_000_000);
        let company = Company { expected, patience };
        let there = Cell::new(first);
        company.gather(|| there.replace(there.get() + 1));
        there.get() - first
    }

    #[test]
    fn who_is_alone_or_has_much_to_write_does_not_wait() {
        assert_eq!(looks(&Company::default(), 1), 0);
        assert_eq!(looks(&after(1, 0, 500, COMMIT), 1), 0);
        assert_eq!(looks(&after(16, 16, LARGE_BYTES, COMMIT), 1), 0);
    }

    #[test]
    fn as_many_are_waited_for_as_had_no_answer_and_no_more() {
        let company = after(3, 2, 500, Duration::from_secs(1));
        assert_eq!(looks(&company, 1), 5);
        assert_eq!(looks(&company, 5), 1, "all are there already");
        assert_eq!(looks(&after(1, 1, 500, COMMIT), 1), 2);
    }

    #[test]
    fn those_who_stay_away_are_not_waited_for_long() {
        for (took, patience) in [(COMMIT / 4, COMMIT / 4), (COMMIT, PATIENCE_MAX)] {
            let company = after(9, 9, 500, took);
            assert_eq!(company.patience, patience);
            let began = Instant::now();
            company.gather(|| 1);
            assert!(began.elapsed() >= patience);
        }
        assert_eq!(looks(&after(1, 0, 500, COMMIT), 1), 0, "and forgotten after one commit");
    }
}
