//! A sorted row of entries of shared records, in memory or in a file, which lives no longer than the
//! process.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use model::{Seq, UnixMillis};

use crate::record::DestKey;
use crate::shared::Entry;

/// Destination (16), position, events, events before (4 each), time (8), length of the frames (4).
const HEAD_BYTES: usize = 40;

/// So much of a row in a file is in memory: an entry is smaller.
const WINDOW_BYTES: usize = 8 * 1024;

/// Events of one destination that were written in a shared record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) time: UnixMillis,
    pub(crate) first: Seq,
    pub(crate) events: u32,
    pub(crate) before: u32,
    pub(crate) frames: Vec<u8>,
}

/// Entries by destination and position, read from the first on.
#[derive(Debug)]
pub(crate) struct Row {
    /// Where it begins in the file; `None` where all of it is in the window.
    begin: Option<u64>,
    length: usize,
    /// Where the next entry begins in the row.
    next: usize,
    /// What entry was read or passed over last.
    passed: Option<(DestKey, Seq)>,
    window: Vec<u8>,
    /// Where the window begins in the row.
    window_at: usize,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    destination: DestKey,
    first: Seq,
    events: u32,
    before: u32,
    time: UnixMillis,
    length: usize,
}

impl Row {
    pub(crate) fn in_memory(bytes: Vec<u8>) -> Self {
        let length = bytes.len();
        Self { begin: None, length, next: 0, passed: None, window: bytes, window_at: 0 }
    }

    pub(crate) fn in_file(begin: u64, length: usize) -> Self {
        let (begin, window) = (Some(begin), Vec::new());
        Self { begin, length, next: 0, passed: None, window, window_at: 0 }
    }

    /// Appends an entry to the bytes of a row.
    pub(crate) fn append(time: UnixMillis, first: Seq, entry: &Entry<'_>, row: &mut Vec<u8>) {
        let length = u32::try_from(entry.frames.len()).expect("a record has at most 32 KiB");
        row.extend_from_slice(&entry.destination.0);
        for number in [first.get(), entry.events, entry.before] {
            row.extend_from_slice(&number.to_le_bytes());
        }
        row.extend_from_slice(&time.as_millis().to_le_bytes());
        row.extend_from_slice(&length.to_le_bytes());
        row.extend_from_slice(entry.frames);
    }

    /// The first events of a destination behind position `after`. Cheapest where what is asked for
    /// comes in the order of the row.
    pub(crate) fn next_of(
        &mut self,
        file: Option<&File>,
        destination: DestKey,
        after: Option<Seq>,
    ) -> io::Result<Option<Placed>> {
        let from = (destination, after);
        if self.passed.is_some_and(|(of, first)| (of, Some(first)) > from) {
            (self.next, self.passed) = (0, None);
        }
        while self.next < self.length {
            let head = Head::of(self.bytes(file, self.next, HEAD_BYTES)?)?;
            if head.destination > destination {
                break;
            }
            let frames_at = self.next + HEAD_BYTES;
            let found = (head.destination, Some(head.first)) > from;
            let frames =
                if found { self.bytes(file, frames_at, head.length)?.to_vec() } else { Vec::new() };
            self.next = frames_at + head.length;
            self.passed = Some((head.destination, head.first));
            if found {
                let Head { time, first, events, before, .. } = head;
                return Ok(Some(Placed { time, first, events, before, frames }));
            }
        }
        Ok(None)
    }

    /// These bytes of the row.
    fn bytes(&mut self, file: Option<&File>, at: usize, length: usize) -> io::Result<&[u8]> {
        let is_there = at >= self.window_at && at + length <= self.window_at + self.window.len();
        if let (false, Some(begin), Some(file)) = (is_there, self.begin, file) {
            let left = self.length.saturating_sub(at);
            self.window.resize(left.min(length.max(WINDOW_BYTES)), 0);
            self.window_at = at;
            file.read_exact_at(&mut self.window, begin + at as u64)?;
        }
        let from = at.checked_sub(self.window_at).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(self.window.get(from..from + length).ok_or(io::ErrorKind::UnexpectedEof)?)
    }
}

impl Head {
    fn of(bytes: &[u8]) -> io::Result<Self> {
        Self::parse(bytes).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
            let (number, rest) = bytes.split_first_chunk::<4>()?;
            Some((u32::from_le_bytes(*number), rest))
        }
        let (destination, rest) = bytes.split_first_chunk::<16>()?;
        let ((first, rest), destination) = (number(rest)?, DestKey(*destination));
        let (events, rest) = number(rest)?;
        let (before, rest) = number(rest)?;
        let (time, rest) = rest.split_first_chunk::<8>()?;
        let time = UnixMillis::new(u64::from_le_bytes(*time));
        let length = usize::try_from(number(rest)?.0).ok()?;
        Some(Self { destination, first: Seq::new(first), events, before, time, length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;

    proptest! {
        #[test]
        fn entries_are_found_in_any_order_in_memory_and_in_a_file(
            each in prop::collection::btree_map((0_u8..9, 0_u32..60), 0_usize..5000, 1..80),
            asked in prop::collection::vec((0_u8..9, prop::option::of(0_u32..60)), 1..30),
        ) {
            let mut bytes = Vec::new();
            for ((of, first), length) in &each {
                let frames = vec![*of; *length];
                let destination = DestKey([*of; 16]);
                let entry = Entry { destination, events: 3, before: *first, frames: &frames };
                Row::append(UnixMillis::new(7), Seq::new(*first), &entry, &mut bytes);
            }
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(b"before").unwrap();
            file.write_all(&bytes).unwrap();
            let mut in_file = Row::in_file(6, bytes.len());
            let mut in_memory = Row::in_memory(bytes);
            for (of, after) in asked {
                let from = after.map_or(0, |after| after + 1);
                let expected = each.range((of, from)..=(of, u32::MAX)).next().map(|((_, first), length)| Placed {
                    time: UnixMillis::new(7), first: Seq::new(*first), events: 3, before: *first, frames: vec![of; *length],
                });
                let (of, after) = (DestKey([of; 16]), after.map(Seq::new));
                prop_assert_eq!(&in_memory.next_of(None, of, after).unwrap(), &expected);
                prop_assert_eq!(&in_file.next_of(Some(&file), of, after).unwrap(), &expected);
            }
        }
    }
}
