//! What a disk may hold after a power cut: all that was written before its last flush, and of what
//! came after it any part.

use ::tests::Random;

use super::disk::{BLOCK_BYTES, Blocks, Operation, Recording};

/// The smallest piece that any disk writes whole.
pub(crate) const SECTOR_BYTES: usize = 512;

/// In one piece.
const WHOLE: usize = usize::MAX;

/// Which of the writes after the last flush are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// None of them.
    Nothing,
    /// All of them.
    Everything,
    /// Some, each whole.
    Some,
    /// Of each one some blocks of 4 KiB.
    Blocks,
    /// Of each one some of the smallest pieces that the disk writes whole.
    Pieces,
    /// The first ones, and of the last of these some pieces.
    First,
}

impl Kept {
    /// One by chance; half of them without anything that was not flushed.
    pub(crate) fn random(random: &mut Random) -> Self {
        match random.below(10) {
            0..4 => Self::Nothing,
            4 => Self::Everything,
            5 => Self::Some,
            6 => Self::Blocks,
            7 => Self::Pieces,
            _ => Self::First,
        }
    }
}

/// A disk that lost its power.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// What it holds.
    pub(crate) blocks: Blocks,
    /// How many writes came after the last flush.
    pub(crate) pending: u64,
    /// How many of them are gone in whole or in part.
    pub(crate) damaged: u64,
}

/// A recording that is played from its start.
#[derive(Debug)]
pub(crate) struct Replay<'r> {
    operations: &'r [Operation],
    /// What is safe, and how many operations are in it.
    safe: Blocks,
    done: usize,
    /// The smallest piece that the disk writes whole, in bytes.
    piece: usize,
}

impl<'r> Replay<'r> {
    /// At position 0, of a disk that writes pieces of so many bytes whole.
    pub(crate) fn new(recording: &'r Recording, piece: usize) -> Self {
        Self { operations: &recording.operations, safe: recording.start.clone(), done: 0, piece }
    }

    /// An image of the disk at `position`, which is not before the one of the last image.
    pub(crate) fn image(&mut self, position: usize, kept: Kept, random: &mut Random) -> Image {
        let before = &self.operations[..position.min(self.operations.len())];
        let is_flush = |operation: &Operation| matches!(operation, Operation::Flush);
        let flushed = before.iter().rposition(is_flush).map_or(self.done, |flush| flush + 1);
        for operation in &before[self.done..flushed.max(self.done)] {
            if let Operation::Write(offset, bytes) = operation {
                self.safe.write(*offset, bytes);
            }
        }
        self.done = flushed.max(self.done);
        let writes = before[self.done..].iter().filter_map(|operation| match operation {
            Operation::Write(offset, bytes) => Some((*offset, &**bytes)),
            Operation::Flush => None,
        });
        let writes: Vec<_> = writes.collect();
        let mut blocks = self.safe.clone();
        let first = usize::try_from(random.below(writes.len() as u64 + 1)).expect("an index");
        let tenths = 1 + random.below(9);
        let mut damaged = 0;
        for (number, (offset, bytes)) in writes.iter().enumerate() {
            let (piece, tenths) = match kept {
                Kept::Everything => (WHOLE, 10),
                Kept::First if number < first => (WHOLE, 10),
                Kept::First if number == first => (self.piece, tenths),
                Kept::Some => (WHOLE, tenths),
                Kept::Blocks => (BLOCK_BYTES, tenths),
                Kept::Pieces => (self.piece, tenths),
                Kept::Nothing | Kept::First => (WHOLE, 0),
            };
            let whole = put(&mut blocks, *offset, bytes, piece, || random.below(10) < tenths);
            damaged += u64::from(!whole);
        }
        Image { blocks, pending: writes.len() as u64, damaged }
    }
}

/// Writes the pieces for which the chance stands well; says whether they were all.
///
/// The first block is a piece of its own: ext4 can't do with half of its superblock.
fn put(
    blocks: &mut Blocks,
    offset: usize,
    bytes: &[u8],
    piece_bytes: usize,
    mut chance: impl FnMut() -> bool,
) -> bool {
    let piece_bytes = if offset < BLOCK_BYTES { piece_bytes.max(BLOCK_BYTES) } else { piece_bytes };
    let mut whole = true;
    for (number, piece) in bytes.chunks(piece_bytes).enumerate() {
        if chance() {
            blocks.write(offset + number * piece_bytes, piece);
        } else {
            whole = false;
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording() -> Recording {
        let write = |offset, byte| Operation::Write(offset, vec![byte; BLOCK_BYTES].into());
        Recording {
            start: Blocks::zeros(4 * BLOCK_BYTES),
            operations: vec![
                write(0, 1),
                write(BLOCK_BYTES, 2),
                Operation::Flush,
                write(BLOCK_BYTES, 3),
                write(2 * BLOCK_BYTES, 4),
                Operation::Flush,
                write(3 * BLOCK_BYTES, 5),
            ],
        }
    }

    fn firsts(image: &Image) -> Vec<u8> {
        (0..4).map(|block| image.blocks.read(block * BLOCK_BYTES, 1)[0]).collect()
    }

    #[test]
    fn what_was_flushed_is_there_and_the_rest_as_chance_will_have_it() {
        let recording = recording();
        let mut random = Random::new(1);
        let mut replay = Replay::new(&recording, SECTOR_BYTES);
        let mut image = |position, kept| firsts(&replay.image(position, kept, &mut random));
        assert_eq!(image(2, Kept::Nothing), [0, 0, 0, 0]);
        assert_eq!(image(2, Kept::Everything), [1, 2, 0, 0]);
        assert_eq!(image(3, Kept::Nothing), [1, 2, 0, 0]);
        assert_eq!(image(5, Kept::Nothing), [1, 2, 0, 0]);
        assert_eq!(image(5, Kept::Everything), [1, 3, 4, 0]);
        assert_eq!(image(6, Kept::Nothing), [1, 3, 4, 0]);
        assert_eq!(image(99, Kept::Everything), [1, 3, 4, 5]);
    }

    #[test]
    fn writes_are_torn_at_sectors() {
        let recording = recording();
        let mut random = Random::new(2);
        let torn = (0..50).any(|_| {
            let image = Replay::new(&recording, SECTOR_BYTES).image(5, Kept::Pieces, &mut random);
            let block = image.blocks.read(BLOCK_BYTES, BLOCK_BYTES);
            let kinds: Vec<u8> = block.chunks(SECTOR_BYTES).map(|sector| sector[0]).collect();
            kinds.contains(&2) && kinds.contains(&3)
        });
        assert!(torn);
    }
}
