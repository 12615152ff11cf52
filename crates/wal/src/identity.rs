//! What makes a repeat recognisable: who sent it, under which key, and what.
//!
//! ```text
//! key    'i' | position of the commit's first event (u32 BE) | number (u16 BE)
//! value  checksum (8) | time of the commit | places (identity, number, position, events)
//! ```
//! W8: the record stands in the log before the events that it speaks of. Where sled's log is cut
//! off, events may be lacking to it, but never an identity to events.

use model::{Seq, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::batch::Identified;
use crate::record::{self, RecordError};

/// So many places of events with an identity may one run's log of one minute have. Whoever seals
/// a minute has them in memory, with about 80 bytes each.
pub const MAX_IDENTIFIED_PLACES: u32 = 1_000_000;

/// So many places are in one record: 31 bytes each at most, so that it stays as small as any.
const RECORD_PLACES: usize = 1000;

const IDENTITIES: u8 = b'i';

/// What every key of these records begins with.
pub(crate) const IDENTITIES_PREFIX: [u8; 1] = [IDENTITIES];

/// Who sent a request or an event, under which key, and what it says: a hash of all of it. Two
/// with the same identity are the same, sent twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity([u8; 16]);

impl Identity {
    /// The identity that is these bytes of a hash.
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Events of one identity that lie together in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentifiedPlace {
    /// Whose they are.
    pub identity: Identity,
    /// The number of the first of them among all events of that identity, from 0. It is the same
    /// in every copy.
    pub number: u32,
    /// The position of the first of them in the run.
    pub first: Seq,
    /// How many.
    pub events: u32,
    /// When they were committed.
    pub time: UnixMillis,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    time_ms: u64,
    /// Identity, number, position, events.
    places: Vec<(Identity, u32, u32, u32)>,
}

/// The records of a commit that begins at position `commit`. Each place of `identified` comes with
/// the position that its group begins at.
pub(crate) fn encode(
    commit: u32,
    time: UnixMillis,
    identified: &[(Identified, u32)],
) -> impl Iterator<Item = ([u8; 7], Vec<u8>)> {
    let time_ms = time.as_millis();
    (0_u16..).zip(identified.chunks(RECORD_PLACES)).map(move |(number, places)| {
        let key = key(commit, number);
        let places = places.iter().map(|(place, group)| {
            (place.identity, place.number, group + place.offset, place.events)
        });
        let record = Record { time_ms, places: places.collect() };
        (key, record::encode_value(&key, &record))
    })
}

fn key(commit: u32, number: u16) -> [u8; 7] {
    let mut key = [IDENTITIES; 7];
    key[1..5].copy_from_slice(&commit.to_be_bytes());
    key[5..].copy_from_slice(&number.to_be_bytes());
    key
}

/// Reads a record.
pub(crate) fn decode(
    key: &[u8],
    value: &[u8],
) -> Result<impl Iterator<Item = IdentifiedPlace>, RecordError> {
    let Record { time_ms, places } = record::decode_value(key, value)?;
    let time = UnixMillis::new(time_ms);
    Ok(places.into_iter().map(move |(identity, number, first, events)| IdentifiedPlace {
        identity,
        number,
        first: Seq::new(first),
        events,
        time,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(byte: u8, number: u32, offset: u32, events: u32) -> Identified {
        Identified { identity: Identity::new([byte; 16]), group: 0, number, offset, events }
    }

    #[test]
    fn golden_identities() {
        let identified = [(place(0xab, 0, 2, 300), 10), (place(0xcd, 300, 0, 1), 500)];
        let records: Vec<_> = encode(10, UnixMillis::new(5), &identified).collect();
        let [(key, value)] = &*records else { panic!("{records:?}") };
        assert_eq!(key, b"i\0\0\0\x0a\0\0");
        let first = [&[0xab; 16][..], &[0, 12, 0xfb, 44, 1]].concat();
        let second = [&[0xcd; 16][..], &[0xfb, 44, 1, 0xfb, 0xf4, 1, 1]].concat();
        assert_eq!(value[8..], [&[5, 2][..], &first, &second].concat());
    }

    #[test]
    fn w7_a_record_is_no_larger_than_those_of_events() {
        let identified = vec![(place(1, u32::MAX, 1, u32::MAX), u32::MAX - 1); RECORD_PLACES + 1];
        let records: Vec<_> = encode(u32::MAX, UnixMillis::MAX, &identified).collect();
        assert_eq!(records.len(), 2);
        assert!(records.iter().all(|(_, value)| value.len() <= record::RECORD_BYTES));
        let read = records.iter().flat_map(|(key, value)| decode(key, value).unwrap());
        assert_eq!(read.count(), identified.len());
    }

    proptest! {
        #[test]
        fn any_flipped_byte_is_noticed(places in prop::collection::vec((any::<u8>(), 0_u32..1 << 30, 0_u32..1 << 30, any::<u32>()), 1..9), at: prop::sample::Index, flip in 1_u8..) {
            let identified: Vec<_> = places.iter().map(|(byte, number, offset, events)| (place(*byte, *number, *offset, *events), 7)).collect();
            let (key, mut value) = encode(7, UnixMillis::new(9), &identified).next().unwrap();
            let read: Vec<_> = decode(&key, &value).unwrap().collect();
            let expected: Vec<_> = identified.iter().map(|(it, group)| IdentifiedPlace {
                identity: it.identity, number: it.number, first: Seq::new(group + it.offset), events: it.events, time: UnixMillis::new(9),
            }).collect();
            prop_assert_eq!(read, expected);
            let at = at.index(value.len());
            value[at] ^= flip;
            prop_assert!(decode(&key, &value).is_err());
        }
    }
}
