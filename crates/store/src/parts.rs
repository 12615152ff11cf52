//! How an object is cut into the parts of a multipart upload.

use crate::object::BLOCK_BYTES;

/// S3, "Amazon S3 multipart upload limits": parts are numbered 1 to 10,000. The lower limit of
/// 5 MiB a part holds by itself, as a part is at least one block; the upper one of 5 GiB is
/// reached at 48 TiB.
const MAX_PARTS: usize = 10_000;

/// One part: a range of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// 1 to 10,000.
    pub(crate) number: i32,
    /// Where in the object it begins.
    pub(crate) offset: u64,
    /// Its bytes.
    pub(crate) length: u64,
    /// Of its bytes.
    pub(crate) crc32: u32,
}

/// Cuts an object into parts of equal size but for the last: the fewest whole blocks a part with
/// which `max_parts` are enough.
fn cut(length: u64, block_crc32: &[u32], max_parts: usize) -> Vec<Part> {
    let blocks_per_part = block_crc32.len().div_ceil(max_parts).max(1);
    let mut left = length;
    let mut offset = 0;
    (1..)
        .zip(block_crc32.chunks(blocks_per_part))
        .map(|(number, blocks)| {
            let bytes = BLOCK_BYTES.saturating_mul(u64::try_from(blocks.len()).unwrap_or(u64::MAX));
            let length = bytes.min(left);
            let part = Part { number, offset, length, crc32: combined_crc32(blocks, length) };
            offset += length;
            left -= length;
            part
        })
        .collect()
}

/// The parts of an object of `length` bytes with these block checksums.
pub(crate) fn parts(length: u64, block_crc32: &[u32]) -> Vec<Part> {
    cut(length, block_crc32, MAX_PARTS)
}

/// The CRC-32 of `length` bytes from those of their blocks.
pub(crate) fn combined_crc32(block_crc32: &[u32], length: u64) -> u32 {
    let mut left = length;
    let mut all = crc32fast::Hasher::new();
    for crc32 in block_crc32 {
        let bytes = left.min(BLOCK_BYTES);
        all.combine(&crc32fast::Hasher::new_with_initial_len(*crc32, bytes));
        left -= bytes;
    }
    all.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn checksums_of_blocks_combine_to_that_of_the_whole() {
        let block = usize::try_from(BLOCK_BYTES).unwrap();
        let bytes: Vec<u8> = (0..=250_u8).cycle().take(2 * block + 12_345).collect();
        let blocks: Vec<u32> = bytes.chunks(block).map(crc32fast::hash).collect();
        let length = u64::try_from(bytes.len()).unwrap();
        assert_eq!(combined_crc32(&blocks, length), crc32fast::hash(&bytes));
        for part in cut(length, &blocks, 2) {
            let start = usize::try_from(part.offset).unwrap();
            let end = usize::try_from(part.offset + part.length).unwrap();
            assert_eq!(part.crc32, crc32fast::hash(&bytes[start..end]), "{part:?}");
        }
    }

    proptest! {
        #[test]
        fn parts_cover_the_object_and_stay_within_the_limits(length in 1..BLOCK_BYTES * 40_000) {
            let blocks = usize::try_from(length.div_ceil(BLOCK_BYTES)).unwrap();
            let parts = parts(length, &vec![0; blocks]);
            prop_assert!(!parts.is_empty() && parts.len() <= MAX_PARTS);
            let size = parts[0].length;
            let mut end = 0;
            for (number, part) in (1..).zip(&parts) {
                prop_assert_eq!(part.number, number);
                prop_assert_eq!(part.offset, end);
                prop_assert!(part.length == size || part.offset + part.length == length);
                end += part.length;
            }
            prop_assert_eq!(end, length);
            // One block less a part would not have been enough.
            let smaller = size.div_ceil(BLOCK_BYTES) - 1;
            prop_assert!(smaller == 0 || blocks.div_ceil(usize::try_from(smaller).unwrap()) > MAX_PARTS);
        }
    }
}
