//! The records in a run's database: their keys, their values, and how they are checked.
//!
//! ```text
//! key    'd' | destination key (16)                                   what the key stands for
//! key    'e' | destination key (16) | place (u32 BE) | first seq (u32 BE) | slice (u16 BE)   events
//! key    'e' | destination key (16) | place (u32 BE)                      a fence, see `fences`
//! key    's' | …                                       events of many destinations, see `shared`
//! key    'i' | …                                       whose events they are, see `identity`
//! value  checksum (8) | head | bytes
//! ```
//! Events are in records of whole events of one destination, [`RECORD_BYTES`] at most, which may be
//! packed (see `packing`). An event that is larger, packed if it is, is cut in slices of that size.
//! The keys sort as the flusher reads: by destination, then by position. The checksum covers the key,
//! so that a value under another record's key is noticed, and the bytes as they are stored.

use model::{Destination, Seq, UnixMillis};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::{self, CHECKSUM_BYTES, Checksum, DecodeError};
use crate::fences::Place;

/// The most bytes of events in one record. A leaf of sled's tree holds up to 17 of them and must
/// stay under a quarter of a segment, or sled writes it to a file that it never syncs.
pub(crate) const RECORD_BYTES: usize = 32 * 1024;

const DEFINITION: u8 = b'd';
const EVENTS: u8 = b'e';

/// A destination in a key: the first 16 bytes of the BLAKE3 of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DestKey(pub(crate) [u8; 16]);

impl DestKey {
    pub(crate) fn of(destination: &Destination) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(destination.bucket().as_str().as_bytes());
        hasher.update(b"/");
        hasher.update(destination.prefix().as_str().as_bytes());
        let mut key = [0; 16];
        hasher.finalize_xof().fill(&mut key);
        Self(key)
    }

    /// The key of the record that says which destination this is.
    pub(crate) fn definition_key(self) -> [u8; 17] {
        let mut key = [DEFINITION; 17];
        key[1..].copy_from_slice(&self.0);
        key
    }

    /// What the keys of all its events begin with.
    pub(crate) fn events_prefix(self) -> [u8; 17] {
        let mut key = self.definition_key();
        key[0] = EVENTS;
        key
    }

    /// The key of a fence.
    pub(crate) fn fence_key(self, place: Place) -> [u8; 21] {
        let mut key = [0; 21];
        key[..17].copy_from_slice(&self.events_prefix());
        key[17..].copy_from_slice(&place.to_be_bytes());
        key
    }

    /// The key of a record of events.
    pub(crate) fn events_key(self, place: Place, first: Seq, slice: u16) -> [u8; 27] {
        let mut key = [0; 27];
        key[..21].copy_from_slice(&self.fence_key(place));
        key[21..25].copy_from_slice(&first.get().to_be_bytes());
        key[25..].copy_from_slice(&slice.to_be_bytes());
        key
    }
}

/// What every definition's key begins with.
pub(crate) const DEFINITIONS_PREFIX: [u8; 1] = [DEFINITION];

/// What every key of events begins with.
pub(crate) const EVENTS_PREFIX: [u8; 1] = [EVENTS];

/// What a key says, or `None` where it is none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Definition(DestKey),
    Fence { destination: DestKey, place: Place },
    Events { destination: DestKey, place: Place, first: Seq, slice: u16 },
}

impl Key {
    pub(crate) fn parse(key: &[u8]) -> Option<Self> {
        let (kind, rest) = key.split_first()?;
        let (destination, rest) = rest.split_first_chunk::<16>()?;
        let destination = DestKey(*destination);
        match (*kind, rest) {
            (DEFINITION, []) => Some(Self::Definition(destination)),
            (EVENTS, rest) => {
                let (place, rest) = rest.split_first_chunk::<4>()?;
                let place = Place::from_be_bytes(*place);
                if rest.is_empty() {
                    return Some(Self::Fence { destination, place });
                }
                let (first, slice) = rest.split_first_chunk::<4>()?;
                let first = Seq::new(u32::from_be_bytes(*first));
                let slice = u16::from_be_bytes(slice.try_into().ok()?);
                Some(Self::Events { destination, place, first, slice })
            }
            _ => None,
        }
    }
}

/// What stands before the events of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordHead {
    /// When the commit was made: the time of each event in it.
    pub(crate) time_ms: u64,
    /// How many events the record holds, or 1 in each slice of a large one.
    pub(crate) events: u32,
    /// How many events of this destination stand before it in this run: a gap is noticed by it.
    pub(crate) before: u32,
    /// How many slices there are: 1 unless one large event was cut.
    pub(crate) slices: u16,
    /// How many bytes the events of all slices together unpack to; 0 where they are not packed.
    pub(crate) unpacked: u32,
}

impl RecordHead {
    pub(crate) fn time(&self) -> UnixMillis {
        UnixMillis::new(self.time_ms)
    }
}

/// Builds the value of a record of events.
pub(crate) fn encode_events(key: &[u8], head: &RecordHead, frames: &[&[u8]]) -> Vec<u8> {
    encode_framed(key, head, frames)
}

/// Builds the value of a record that is a head and bytes.
pub(crate) fn encode_framed<T: Serialize>(key: &[u8], head: &T, frames: &[&[u8]]) -> Vec<u8> {
    let length = frames.iter().map(|frames| frames.len()).sum::<usize>();
    let mut value = Vec::with_capacity(CHECKSUM_BYTES + 24 + length);
    value.extend_from_slice(&Checksum::default());
    codec::encode_into(head, &mut value);
    for frames in frames {
        value.extend_from_slice(frames);
    }
    seal(key, value)
}

/// Builds the value of a definition.
pub(crate) fn encode_definition(key: &[u8], destination: &Destination) -> Vec<u8> {
    encode_value(key, destination)
}

/// Builds the value of a record that is one value.
pub(crate) fn encode_value<T: Serialize>(key: &[u8], of: &T) -> Vec<u8> {
    let mut value = Checksum::default().to_vec();
    codec::encode_into(of, &mut value);
    seal(key, value)
}

fn seal(key: &[u8], mut value: Vec<u8>) -> Vec<u8> {
    if let Some((checksum, body)) = value.split_first_chunk_mut::<CHECKSUM_BYTES>() {
        *checksum = codec::checksum(&[key, body]);
    }
    value
}

/// Why the value of a record can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("a record does not match its checksum")]
    Checksum,
    #[error("a record is {0}")]
    Decode(#[from] DecodeError),
    #[error("a record names another destination than its key")]
    Destination,
}

fn checked<'v>(key: &[u8], value: &'v [u8]) -> Result<&'v [u8], RecordError> {
    let (checksum, body) =
        value.split_first_chunk::<CHECKSUM_BYTES>().ok_or(RecordError::Checksum)?;
    if *checksum == codec::checksum(&[key, body]) { Ok(body) } else { Err(RecordError::Checksum) }
}

/// Reads the value of a record of events: its head and the bytes behind it.
pub(crate) fn decode_events<'v>(
    key: &[u8],
    value: &'v [u8],
) -> Result<(RecordHead, &'v [u8]), RecordError> {
    decode_framed(key, value)
}

/// Reads the value of a record that is a head and bytes.
pub(crate) fn decode_framed<'v, T: DeserializeOwned>(
    key: &[u8],
    value: &'v [u8],
) -> Result<(T, &'v [u8]), RecordError> {
    Ok(codec::decode_prefix(checked(key, value)?)?)
}

/// Reads the value of a record that is one value.
pub(crate) fn decode_value<T: DeserializeOwned>(
    key: &[u8],
    value: &[u8],
) -> Result<T, RecordError> {
    Ok(codec::decode(checked(key, value)?)?)
}

/// Reads a definition, and checks that it belongs to its key.
pub(crate) fn decode_definition(key: &[u8], value: &[u8]) -> Result<Destination, RecordError> {
    let destination: Destination = decode_value(key, value)?;
    if DestKey::of(&destination).definition_key() == key {
        Ok(destination)
    } else {
        Err(RecordError::Destination)
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering::{Greater, Less};

    use super::*;
    use proptest::prelude::*;

    fn head() -> RecordHead {
        RecordHead { time_ms: 1_795_342_517_999, events: 2, before: 7, slices: 1, unpacked: 300 }
    }

    #[test]
    fn golden_keys() {
        let key = DestKey([0xab; 16]);
        assert_eq!(key.definition_key(), [&b"d"[..], &[0xab; 16]].concat()[..]);
        assert_eq!(
            key.events_key(0x0708_090a, Seq::new(0x0102_0304), 0x0506),
            [&b"e"[..], &[0xab; 16], &[7, 8, 9, 10, 1, 2, 3, 4, 5, 6]].concat()[..]
        );
        assert_eq!(
            key.fence_key(0x0708_090a),
            [&b"e"[..], &[0xab; 16], &[7, 8, 9, 10]].concat()[..]
        );
    }

    #[test]
    fn golden_value() {
        let value = encode_events(b"k", &head(), &[b"\x00\x02{}", b"\x00\x01"]);
        assert_eq!(
            value[8..],
            [
                0xfd, 0xef, 0xc6, 0xc0, 0x02, 0xa2, 0x01, 0, 0, 2, 7, 1, 0xfb, 44, 1, 0, 2, b'{',
                b'}', 0, 1
            ]
        );
    }

    #[test]
    fn a_definition_belongs_to_its_key() {
        let (a, b) = (
            Destination::parse("bucket", "a").unwrap(),
            Destination::parse("bucket", "b").unwrap(),
        );
        let key = DestKey::of(&a).definition_key();
        let value = encode_definition(&key, &a);
        assert_eq!(decode_definition(&key, &value).unwrap(), a);
        let forged = encode_definition(&key, &b);
        assert!(matches!(decode_definition(&key, &forged), Err(RecordError::Destination)));
    }

    proptest! {
        #[test]
        fn keys_round_trip_and_sort(destination: [u8; 16], a: Place, b: Place, first: u32, slice: u16) {
            let (key, first) = (DestKey(destination), Seq::new(first));
            let (left, right) = (key.events_key(a, first, slice), key.events_key(b, first, slice));
            prop_assert_eq!(left.cmp(&right), a.cmp(&b));
            prop_assert_eq!(key.fence_key(a)[..].cmp(&right[..]), if a <= b { Less } else { Greater });
            let parsed = Key::Events { destination: key, place: a, first, slice };
            prop_assert_eq!(Key::parse(&left), Some(parsed));
            let parsed = Key::Fence { destination: key, place: a };
            prop_assert_eq!(Key::parse(&key.fence_key(a)), Some(parsed));
            prop_assert_eq!(Key::parse(&key.definition_key()), Some(Key::Definition(key)));
        }

        #[test]
        fn any_flipped_byte_is_noticed(key: Vec<u8>, frames: Vec<u8>, at: prop::sample::Index, flip in 1_u8..) {
            let mut value = encode_events(&key, &head(), &[&frames]);
            let (read, bytes) = decode_events(&key, &value).unwrap();
            prop_assert_eq!((read, bytes), (head(), &frames[..]));
            let at = at.index(value.len());
            value[at] ^= flip;
            prop_assert!(decode_events(&key, &value).is_err());
        }

        #[test]
        fn a_value_under_another_key_is_noticed(key: Vec<u8>, other: Vec<u8>, frames: Vec<u8>) {
            prop_assume!(key != other);
            let value = encode_events(&key, &head(), &[&frames]);
            prop_assert!(decode_events(&other, &value).is_err());
        }
    }
}
