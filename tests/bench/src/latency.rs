//! Latencies, in microseconds.

use std::time::Duration;

use hdrhistogram::Histogram;

/// How long things took; accurate to 0.1 %.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self(Histogram::new(3).expect("3 digits are allowed"))
    }

    /// Notes one.
    pub(crate) fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).expect("it did not take 500,000 years");
        self.0.record(micros).expect("it grows as it needs");
    }

    /// Adds those of another.
    pub(crate) fn join(&mut self, other: &Self) {
        self.0.add(&other.0).expect("both grow as they need");
    }

    /// What so many percent do not exceed, in milliseconds.
    pub(crate) fn percentile_ms(&self, percent: f64) -> f64 {
        millis(self.0.value_at_percentile(percent))
    }

    /// The longest, in milliseconds.
    pub(crate) fn max_ms(&self) -> f64 {
        millis(self.0.max())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure needs no more than 53 bits")]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_of_all_sizes_are_kept() {
        let mut latencies = Latencies::new();
        for millis in 1..=1000 {
            latencies.record(Duration::from_millis(millis));
        }
        let mut all = Latencies::new();
        all.join(&latencies);
        assert!((all.percentile_ms(50.0) - 500.0).abs() < 1.0);
        assert!((all.max_ms() - 1000.0).abs() < 1.0);
    }
}
