//! How many files, and so connections, the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept back for the log, the listeners, the ops page and lookups: without files the log stops.
const KEPT_BACK: u64 = 512;

/// Raises the process's own limit as far as it may; returns it, `None` where there is none.
pub(crate) fn raise_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

/// Raises the limit, and returns how many of `connections` there are files for. Says so where it is not
/// all of them.
pub(crate) fn room_for(connections: usize) -> usize {
    let files = raise_limit();
    let room = room(files);
    if room < connections {
        tracing::warn!(
            files,
            connections = room,
            "ingest.max_connections = {connections} is more than the process may have files for: raise LimitNOFILE (`ulimit -Hn`) or lower it"
        );
    }
    room.min(connections)
}

/// For how many connections so many files are enough; `None` is any number of files.
fn room(files: Option<u64>) -> usize {
    let room = files.map_or(u64::MAX, |files| files - KEPT_BACK.min(files / 2));
    usize::try_from(room).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_always_has_its_files() {
        for (files, connections) in [
            (None, usize::MAX),
            (Some(65_536), 65_024),
            (Some(1024), 512),
            (Some(100), 50),
            (Some(0), 1),
        ] {
            assert_eq!(room(files), connections);
        }
    }
}
