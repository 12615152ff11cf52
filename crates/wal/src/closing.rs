//! The closing record: what a run's log of one minute holds once it is complete.
//!
//! sled cuts its log off silently at the first bad checksum. This record lies beside the database,
//! so that a reader knows where the end was; a run without it ended in a crash.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::durable;
use crate::error::{Error, Result};
use crate::frame::{FileKind, FrameReader, FrameWriter};
use crate::layout::CLOSED_FILE;

pub(crate) const KIND: FileKind = FileKind(*b"MLclos02");

/// What a complete run holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// How many events; their positions are 0 to one less.
    pub events: u64,
    /// How many destinations.
    pub destinations: u32,
    /// The bytes of all payloads.
    pub payload_bytes: u64,
    /// The time of its last events, in milliseconds since the epoch. Those of the minute's next run are
    /// later.
    pub last_time_ms: u64,
}

impl Closed {
    /// Writes the record beside the database, durably.
    pub(crate) fn write(&self, run_dir: &Path) -> Result<()> {
        let path = run_dir.join(CLOSED_FILE);
        let encode = || {
            let mut writer = FrameWriter::begin(Vec::new(), KIND)?;
            writer.write(self)?;
            Ok(std::mem::take(writer.inner_mut()))
        };
        durable::write_whole(&path, &encode().map_err(Error::io(&path))?)
    }

    /// Reads the record of a run; `None` where the run was never closed.
    pub fn read(run_dir: &Path) -> Result<Option<Self>> {
        let path = run_dir.join(CLOSED_FILE);
        match FrameReader::open(&path, KIND) {
            Ok(mut reader) => {
                let closed = reader.read()?.ok_or_else(|| Error::damaged(&path, "is empty"))?;
                if reader.is_at_end() {
                    Ok(Some(closed))
                } else {
                    Err(Error::damaged(&path, "goes on after its end"))
                }
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSED: Closed =
        Closed { events: 300, destinations: 2, payload_bytes: 70_000, last_time_ms: 5 };

    #[test]
    fn golden_closed_02() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Closed::read(dir.path()).unwrap(), None);
        CLOSED.write(dir.path()).unwrap();
        assert_eq!(Closed::read(dir.path()).unwrap(), Some(CLOSED));
        let bytes = std::fs::read(dir.path().join(CLOSED_FILE)).unwrap();
        assert_eq!(bytes[..12], *b"MLclos02\x0a\0\0\0");
        assert_eq!(bytes[20..], [0xfb, 44, 1, 2, 0xfc, 0x70, 0x11, 1, 0, 5]);
    }
}
