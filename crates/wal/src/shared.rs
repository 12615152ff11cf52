//! Records that many destinations share: where a commit holds little for each of them, a record of
//! its own for each would cost more than its events.
//!
//! ```text
//! key    's' | place (u32 BE) | first seq (u32 BE)
//! key    's' | place (u32 BE)                                   a fence, see `fences`
//! value  checksum (8) | head | entries
//! entry  destination key (16) | events | before | length of the frames | frames
//! ```
//! Positions follow each other from entry to entry, and from record to record of a commit. An entry
//! says what the head of a record of one destination says.
//!
//! They are not packed: whoever seals them spreads them on the disk, which must have room for it, and
//! what they would unpack to is known to nobody who looks at the disk.

use model::{Seq, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::codec::{self, DecodeError};
use crate::fences::Place;
use crate::record::{self, DestKey, RECORD_BYTES, RecordError};

const SHARED: u8 = b's';

/// What every key of a shared record begins with.
pub(crate) const SHARED_PREFIX: [u8; 1] = [SHARED];

/// The most bytes of entries in one record. What sled holds in memory of what is written grows with
/// the size of records; half of what others have costs nothing that could be seen.
const ENTRIES_BYTES: usize = RECORD_BYTES / 2;

/// An entry's head takes so many bytes at most.
const ENTRY_HEAD_BYTES: usize = 16 + 3 * 5;

/// A key of a shared record, or of a fence among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SharedKey {
    Fence(Place),
    Record(Place, Seq),
}

impl SharedKey {
    pub(crate) fn parse(key: &[u8]) -> Option<Self> {
        let (place, rest) = key.strip_prefix(&SHARED_PREFIX)?.split_first_chunk::<4>()?;
        let place = Place::from_be_bytes(*place);
        if rest.is_empty() {
            return Some(Self::Fence(place));
        }
        let first = u32::from_be_bytes(rest.try_into().ok()?);
        Some(Self::Record(place, Seq::new(first)))
    }
}

/// The key of a fence.
pub(crate) fn fence_key(place: Place) -> [u8; 5] {
    let mut key = [SHARED; 5];
    key[1..].copy_from_slice(&place.to_be_bytes());
    key
}

/// The key of a shared record.
pub(crate) fn shared_key(place: Place, first: Seq) -> [u8; 9] {
    let mut key = [SHARED; 9];
    key[..5].copy_from_slice(&fence_key(place));
    key[5..].copy_from_slice(&first.get().to_be_bytes());
    key
}

/// What stands before the entries of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SharedHead {
    /// When the commit was made.
    pub(crate) time_ms: u64,
    /// How many events all entries hold.
    pub(crate) events: u32,
}

impl SharedHead {
    pub(crate) fn time(&self) -> UnixMillis {
        UnixMillis::new(self.time_ms)
    }
}

/// Gathers the entries of a record.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    events: u32,
    bytes: Vec<u8>,
}

impl Entries {
    /// Whether frames of so many bytes find room.
    pub(crate) fn have_room_for(&self, frames: usize) -> bool {
        self.bytes.len() + ENTRY_HEAD_BYTES + frames <= ENTRIES_BYTES
    }

    pub(crate) fn push<'f>(
        &mut self,
        destination: DestKey,
        events: u32,
        before: u32,
        frames: impl Iterator<Item = &'f [u8]> + Clone,
    ) {
        let length = frames.clone().map(<[u8]>::len).sum::<usize>();
        let length = u32::try_from(length).expect("they find room in a record");
        codec::encode_into(&(destination.0, events, before, length), &mut self.bytes);
        frames.for_each(|frames| self.bytes.extend_from_slice(frames));
        self.events += events;
    }

    pub(crate) fn events(&self) -> u32 {
        self.events
    }

    /// The bytes of all entries.
    pub(crate) fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Builds the value of the record, and empties them.
    pub(crate) fn encode(&mut self, key: &[u8], time: UnixMillis) -> Vec<u8> {
        let Self { events, bytes } = std::mem::take(self);
        let head = SharedHead { time_ms: time.as_millis(), events };
        record::encode_framed(key, &head, &[&bytes])
    }
}

/// One entry: events of one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'e> {
    pub(crate) destination: DestKey,
    pub(crate) events: u32,
    pub(crate) before: u32,
    pub(crate) frames: &'e [u8],
}

/// Reads the head of a shared record; the entries are behind it.
pub(crate) fn decode_head<'v>(
    key: &[u8],
    value: &'v [u8],
) -> Result<(SharedHead, &'v [u8]), RecordError> {
    record::decode_framed(key, value)
}

/// Reads the entry that begins here; returns it with what follows it.
pub(crate) fn decode_entry(bytes: &[u8]) -> Result<(Entry<'_>, &[u8]), DecodeError> {
    let ((destination, events, before, length), rest): (([u8; 16], u32, u32, u32), _) =
        codec::decode_prefix(bytes)?;
    let (frames, rest) = usize::try_from(length)
        .ok()
        .and_then(|length| rest.split_at_checked(length))
        .ok_or_else(|| DecodeError::new("an entry that is cut".to_owned()))?;
    Ok((Entry { destination: DestKey(destination), events, before, frames }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden_shared_record() {
        let mut entries = Entries::default();
        entries.push(DestKey([0xab; 16]), 2, 300, [&b"\x00\x01a"[..], b"\x00\x01b"].into_iter());
        entries.push(DestKey([0xcd; 16]), 1, 0, [&b"\x00\x00"[..]].into_iter());
        let key = shared_key(0x0708_090a, Seq::new(0x0102_0304));
        assert_eq!(key, [b's', 7, 8, 9, 10, 1, 2, 3, 4]);
        assert_eq!(fence_key(0x0708_090a), [b's', 7, 8, 9, 10]);
        let value = entries.encode(&key, UnixMillis::new(5));
        let first = [&[0xab; 16][..], &[2, 0xfb, 44, 1, 6, 0, 1, b'a', 0, 1, b'b']].concat();
        let second = [&[0xcd; 16][..], &[1, 0, 2, 0, 0]].concat();
        assert_eq!(value[8..], [&[5, 3][..], &first, &second].concat());
    }

    #[test]
    fn w7_a_shared_record_is_no_larger_than_others() {
        let mut entries = Entries::default();
        let frames = [0; 4096];
        while entries.have_room_for(frames.len()) {
            entries.push(DestKey([1; 16]), u32::MAX >> 8, u32::MAX, [&frames[..]].into_iter());
        }
        assert!(entries.bytes.len() <= ENTRIES_BYTES);
    }

    proptest! {
        #[test]
        fn entries_round_trip_and_a_flipped_byte_is_noticed(
            each in prop::collection::vec((any::<u8>(), 1_u32..50, any::<u32>(), prop::collection::vec(any::<u8>(), 0..300), 1_usize..20), 1..20),
            place: u32, first: u32, at: prop::sample::Index, flip in 1_u8..,
        ) {
            let mut gathered = Entries::default();
            for (byte, events, before, piece, times) in &each {
                let frames = std::iter::repeat_n(&**piece, *times);
                gathered.push(DestKey([*byte; 16]), *events, *before, frames);
            }
            let key = shared_key(place, Seq::new(first));
            prop_assert_eq!(SharedKey::parse(&key), Some(SharedKey::Record(place, Seq::new(first))));
            prop_assert_eq!(SharedKey::parse(&fence_key(place)), Some(SharedKey::Fence(place)));
            let mut value = gathered.encode(&key, UnixMillis::new(9));
            let (head, mut rest) = decode_head(&key, &value).unwrap();
            prop_assert_eq!(head.events, each.iter().map(|(_, events, ..)| events).sum::<u32>());
            for (byte, events, before, piece, times) in &each {
                let (entry, left) = decode_entry(rest).unwrap();
                let frames = piece.repeat(*times);
                prop_assert_eq!(entry, Entry { destination: DestKey([*byte; 16]), events: *events, before: *before, frames: &frames });
                rest = left;
            }
            prop_assert!(rest.is_empty());
            let at = at.index(value.len());
            value[at] ^= flip;
            prop_assert!(decode_head(&key, &value).is_err());
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            if let Ok((entry, rest)) = decode_entry(&bytes) {
                prop_assert!(entry.frames.len() + rest.len() < bytes.len());
            }
        }
    }
}
