//! System calls that are counted, made to fail, or are a process's last, by `strace`.
//!
//! strace counts the calls of each thread by itself: `when=N` hits every thread's N-th call, so what
//! is met first is the N-th call of the busiest thread. A run in which no thread gets as far comes
//! through.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What happens at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hit {
    /// `kill -9`, before the call is made.
    Kill,
    /// The call is not made, and this is its error.
    Fail(&'static str),
    /// All further calls fail as well.
    FailFromThereOn(&'static str),
}

/// One call to be hit: the name, and the number from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) call: &'static str,
    pub(crate) number: u64,
}

/// The words before a command that trace it into `log`, and nothing else; where paths are given, only
/// calls on these files.
pub(crate) fn counting(calls: &[&'static str], paths: &[PathBuf], log: &Path) -> Vec<String> {
    runner(&calls.join(","), None, paths, log)
}

/// The words before a command that hit it at a point.
pub(crate) fn hitting(point: Point, hit: Hit, paths: &[PathBuf], log: &Path) -> Vec<String> {
    let Point { call, number } = point;
    let how = match hit {
        Hit::Kill => format!("inject={call}:signal=KILL:when={number}"),
        Hit::Fail(error) => format!("inject={call}:error={error}:when={number}"),
        Hit::FailFromThereOn(error) => format!("inject={call}:error={error}:when={number}+"),
    };
    runner(call, Some(how), paths, log)
}

fn runner(calls: &str, inject: Option<String>, paths: &[PathBuf], log: &Path) -> Vec<String> {
    let log = log.to_str().expect("it is UTF-8");
    let mut words: Vec<String> = ["strace", "-f", "-qq", "-o", log, "-e"].map(String::from).into();
    words.push(format!("trace={calls}"));
    words.extend(inject.into_iter().flat_map(|inject| ["-e".to_owned(), inject]));
    for path in paths {
        words.extend(["-P".to_owned(), path.to_str().expect("it is UTF-8").to_owned()]);
    }
    // What the service itself does with signals is none of the trace's business.
    words.extend(["-e".to_owned(), "signal=none".to_owned()]);
    words
}

/// The words as a command wants them.
pub(crate) fn words(runner: &[String]) -> Vec<&str> {
    runner.iter().map(String::as_str).collect()
}

/// Whether a trace has a call that was made to fail.
pub(crate) fn has_failed(log: &Path) -> bool {
    fs::read_to_string(log).unwrap_or_default().contains("(INJECTED)")
}

/// How often the thread that made most of them made each call.
pub(crate) fn most_calls(log: &Path) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(log).expect("strace has written its log");
    let mut of_threads = BTreeMap::<(&str, &str), u64>::new();
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
        if !call.starts_with('<') {
            *of_threads.entry((thread, call)).or_default() += 1;
        }
    }
    let mut most = BTreeMap::new();
    for ((_, call), count) in of_threads {
        let highest = most.entry(call.to_owned()).or_insert(0);
        *highest = count.max(*highest);
    }
    most
}

/// Every call of these names that a trace has, up to the most of one thread; of all these points as
/// many as `rounds`, evenly spread, from a place that `offset` chooses.
pub(crate) fn points(calls: &[&'static str], log: &Path, rounds: u64, offset: u64) -> Vec<Point> {
    let most = most_calls(log);
    let of = |call: &&'static str| {
        let count = most.get(*call).copied().unwrap_or(0);
        let call = *call;
        (1..=count).map(move |number| Point { call, number })
    };
    let all: Vec<Point> = calls.iter().flat_map(of).collect();
    assert!(!all.is_empty(), "the trace has none of the calls");
    let stride = (all.len() as u64).div_ceil(rounds.max(1)).max(1);
    let first = usize::try_from(offset % stride).expect("it is below the number of points");
    let stride = usize::try_from(stride).expect("it is at most the number of points");
    all.into_iter().skip(first).step_by(stride).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_counted_thread_by_thread_and_spread() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let log = dir.path().join("log");
        let text = "1 write(1, \"a\") = 1\n2  write(1 <unfinished ...>\n1 close(3) = 0\n\
                    2 <... write resumed>) = 1\n2 write(2) = 1\n2 write(2) = -1 EIO (INJECTED)\n";
        fs::write(&log, text).expect("the disk takes it");
        let point = |call, number| Point { call, number };
        let all = [point("write", 1), point("write", 2), point("write", 3), point("close", 1)];
        assert_eq!(points(&["write", "close", "fsync"], &log, 100, 0), all);
        assert_eq!(points(&["write", "close"], &log, 2, 1), [all[1], all[3]]);
        assert!(has_failed(&log));
    }
}
