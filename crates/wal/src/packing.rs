//! Packed events: LZ4 blocks, which cost less time than the bytes that they save.

use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size,
};

/// The most that packed bytes may unpack to: an event of 16 MiB and its name. A length above it is
/// damage, not a reason to allocate.
pub(crate) const MAX_UNPACKED_BYTES: usize = 17 * 1024 * 1024;

/// Fewer bytes are stored as they are.
pub(crate) const FEWEST_BYTES: usize = 4 * 1024;

/// A part of so many must be saved, or it is not worth unpacking.
const LEAST_SAVED: usize = 8;

/// LZ4 makes at most so many bytes of one (its block format: a length grows by 255 a byte).
const MOST_OF_A_BYTE: usize = 255;

/// Packs, in memory that it keeps from one time to the next.
pub(crate) struct Packer {
    table: CompressTable,
    room: Vec<u8>,
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

impl Packer {
    pub(crate) fn new() -> Self {
        Self { table: CompressTable::small(), room: Vec::new() }
    }

    /// The packed bytes; `None` where they would save too little.
    pub(crate) fn pack(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        if !(FEWEST_BYTES..=MAX_UNPACKED_BYTES).contains(&bytes.len()) {
            return None;
        }
        let most = get_maximum_output_size(bytes.len());
        if self.room.len() < most {
            self.room.resize(most, 0);
        }
        let length = compress_into_with_table(bytes, &mut self.room, &mut self.table).ok()?;
        if length > bytes.len() - bytes.len() / LEAST_SAVED {
            return None;
        }
        self.room.get(..length).map(<[u8]>::to_vec)
    }
}

/// Packed bytes do not unpack to the length that was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not {0} bytes, packed")]
pub(crate) struct UnpackError(u32);

/// Unpacks `length` bytes.
pub(crate) fn unpack(packed: &[u8], length: u32) -> Result<Vec<u8>, UnpackError> {
    let most = MAX_UNPACKED_BYTES.min(packed.len().saturating_mul(MOST_OF_A_BYTE));
    let bytes = usize::try_from(length).ok().filter(|bytes| *bytes <= most);
    let mut unpacked = vec![0; bytes.ok_or(UnpackError(length))?];
    match decompress_into(packed, &mut unpacked) {
        Ok(bytes) if bytes == unpacked.len() => Ok(unpacked),
        _ => Err(UnpackError(length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden_packed() {
        // One byte, 4,993 times the one before it, six bytes: of many forms that say the same.
        let packed = [&[0x1f, b'x', 1, 0][..], &[255; 19], &[129, 0x60], b"xxxxxx"].concat();
        assert_eq!(unpack(&packed, 5000).unwrap(), [b'x'; 5000]);
    }

    #[test]
    fn little_and_what_saves_little_is_left_as_it_is() {
        let mut packer = Packer::new();
        assert_eq!(packer.pack(&[b'x'; FEWEST_BYTES - 1]), None);
        assert!(packer.pack(&[b'x'; FEWEST_BYTES]).is_some());
        let mut state = 1_u64;
        let noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        let noise: Vec<u8> = std::iter::repeat_with(noise).take(60_000).collect();
        assert_eq!(packer.pack(&noise), None);
    }

    #[test]
    fn a_length_beyond_what_the_bytes_can_be_allocates_nothing() {
        assert_eq!(unpack(&[0], u32::MAX), Err(UnpackError(u32::MAX)));
        assert_eq!(unpack(&[0; 100], 25_501), Err(UnpackError(25_501)));
        assert_eq!(unpack(&[], 0), Err(UnpackError(0)));
    }

    proptest! {
        #[test]
        fn round_trips(piece in prop::collection::vec(any::<u8>(), 1..200), times in 1_usize..2000, length_off in 1_u32..100) {
            let bytes = piece.repeat(times);
            let mut packer = Packer::new();
            if let Some(packed) = packer.pack(&bytes) {
                let length = u32::try_from(bytes.len()).unwrap();
                prop_assert_eq!(unpack(&packed, length).unwrap(), bytes);
                prop_assert!(unpack(&packed, length - length_off).is_err());
                prop_assert!(unpack(&packed, length + length_off).is_err());
            }
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>, length in 0_u32..100_000) {
            if let Ok(unpacked) = unpack(&bytes, length) {
                prop_assert_eq!(unpacked.len(), length as usize);
            }
        }
    }
}
