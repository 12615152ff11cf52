//! The one place that knows how values become bytes: bincode 2 with its standard configuration
//! (little endian, variable-length integers), and checksums of eight bytes of BLAKE3.
//!
//! The bytes of each format are pinned by tests (`golden` in each module), so that another codec
//! can take bincode's place and prove that it reads the same.

use bincode::config::{Configuration, Limit, LittleEndian, Varint, standard};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The bytes of a checksum.
pub(crate) const CHECKSUM_BYTES: usize = 8;

/// A checksum as it is stored.
pub(crate) type Checksum = [u8; CHECKSUM_BYTES];

/// No value is larger: a length above it is damage, not a reason to allocate.
const MAX_VALUE_BYTES: usize = 64 * 1024 * 1024;

const CONFIG: Configuration<LittleEndian, Varint, Limit<MAX_VALUE_BYTES>> =
    standard().with_limit::<MAX_VALUE_BYTES>();

/// Why bytes are not a value: they are cut, changed, or from something else.
#[derive(Debug, thiserror::Error)]
#[error("not decodable: {0}")]
pub(crate) struct DecodeError(String);

impl DecodeError {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// Appends the bytes of a value.
pub(crate) fn encode_into<T: Serialize>(value: &T, bytes: &mut Vec<u8>) {
    bincode::serde::encode_into_std_write(value, bytes, CONFIG)
        .expect("a Vec takes every byte, and the types written here have known lengths");
}

#[cfg(test)]
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_into(value, &mut bytes);
    bytes
}

/// Reads a value from the beginning of `bytes`; returns it with what follows it.
pub(crate) fn decode_prefix<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, &[u8]), DecodeError> {
    let (value, length) = bincode::serde::decode_from_slice(bytes, CONFIG)
        .map_err(|error| DecodeError(error.to_string()))?;
    Ok((value, bytes.get(length..).unwrap_or_default()))
}

/// Reads a value that is all of `bytes`.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    match decode_prefix(bytes)? {
        (value, []) => Ok(value),
        (_, rest) => Err(DecodeError(format!("{} bytes too many", rest.len()))),
    }
}

/// Appends one event: its name (empty for none) and its payload, each behind its length.
pub(crate) fn encode_event(name: &str, payload: &[u8], bytes: &mut Vec<u8>) {
    bincode::encode_into_std_write((name, payload), bytes, CONFIG).expect("a Vec takes every byte");
}

/// Reads one event from the beginning of `bytes`; returns its name, its payload and what follows.
pub(crate) fn decode_event(bytes: &[u8]) -> Result<(&str, &[u8], &[u8]), DecodeError> {
    let ((name, payload), length): ((&str, &[u8]), usize) =
        bincode::borrow_decode_from_slice(bytes, CONFIG)
            .map_err(|error| DecodeError(error.to_string()))?;
    Ok((name, payload, bytes.get(length..).unwrap_or_default()))
}

/// The checksum of `parts`, one after the other, each behind its length.
pub(crate) fn checksum(parts: &[&[u8]]) -> Checksum {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut checksum = Checksum::default();
    hasher.finalize_xof().fill(&mut checksum);
    checksum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden_event() {
        let mut bytes = Vec::new();
        encode_event("n1", b"{}", &mut bytes);
        assert_eq!(bytes, [2, b'n', b'1', 2, b'{', b'}']);
        bytes.clear();
        encode_event("", &[b'x'; 251], &mut bytes);
        assert_eq!(bytes.get(..4), Some(&[0, 0xfb, 251, 0][..]));
    }

    #[test]
    fn golden_checksum() {
        assert_eq!(checksum(&[b"a", b"bc"]), [64, 94, 24, 62, 36, 148, 205, 190]);
        assert_ne!(checksum(&[b"ab", b"c"]), checksum(&[b"a", b"bc"]));
    }

    #[test]
    fn bytes_too_many_are_refused() {
        let mut bytes = encode(&(1_u32, "a"));
        assert_eq!(decode::<(u32, String)>(&bytes).unwrap(), (1, "a".to_owned()));
        bytes.push(0);
        assert!(decode::<(u32, String)>(&bytes).is_err());
    }

    proptest! {
        #[test]
        fn events_round_trip(name in ".{0,40}", payload: Vec<u8>, rest: Vec<u8>) {
            let mut bytes = Vec::new();
            encode_event(&name, &payload, &mut bytes);
            bytes.extend_from_slice(&rest);
            let (read_name, read_payload, read_rest) = decode_event(&bytes).unwrap();
            prop_assert_eq!((read_name, read_payload, read_rest), (&*name, &*payload, &*rest));
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            if let Ok((name, payload, rest)) = decode_event(&bytes) {
                prop_assert!(name.len() + payload.len() + rest.len() < bytes.len());
            }
            if let Ok((_, text)) = decode::<(u32, String)>(&bytes) {
                prop_assert!(text.len() < bytes.len());
            }
        }
    }
}
