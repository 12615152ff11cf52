//! Points at which a test lets the flusher die, as `kill -9` would.
//!
//! They exist only with the feature `fault-points`, which nothing but the test build turns on:
//! `FAILPOINTS='flusher::sealed=return'` in the environment ends the process there, without any
//! destructor.

/// Names a point.
macro_rules! fault_point {
    ($name:literal) => {
        fail::fail_point!($name, |_| std::process::abort());
    };
}

pub(crate) use fault_point;

/// Reads the points from the environment, once in a process: a second scenario would wait for the
/// end of the first.
pub(crate) fn install() {
    #[cfg(feature = "fault-points")]
    {
        static INSTALLED: std::sync::Once = std::sync::Once::new();
        INSTALLED.call_once(|| std::mem::forget(fail::FailScenario::setup()));
    }
}
