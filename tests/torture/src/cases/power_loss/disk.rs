//! A disk in memory that remembers, in their order, every write and every flush.
//!
//! Positions count operations: at position N, N operations have been done.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the file system writes at a time; no operation of it is smaller than a sector of it.
pub(crate) const BLOCK_BYTES: usize = 4096;

/// The bytes of a disk. A clone shares what neither of the two writes.
#[derive(Clone, Debug)]
pub(crate) struct Blocks(Vec<Option<Arc<[u8; BLOCK_BYTES]>>>);

impl Blocks {
    /// A disk of zeros.
    pub(crate) fn zeros(size_bytes: usize) -> Self {
        Self(vec![None; size_bytes.div_ceil(BLOCK_BYTES)])
    }

    /// Its size in bytes.
    pub(crate) fn size(&self) -> usize {
        self.0.len() * BLOCK_BYTES
    }

    /// The bytes from `offset` on, as many as there are and not more than `length`.
    pub(crate) fn read(&self, offset: usize, length: usize) -> Vec<u8> {
        let end = offset.saturating_add(length).min(self.size());
        let mut bytes = Vec::with_capacity(end.saturating_sub(offset));
        for (block, within) in ranges(offset, end) {
            match self.0.get(block) {
                Some(Some(block)) => bytes.extend_from_slice(block.get(within).unwrap_or_default()),
                _ => bytes.resize(bytes.len() + within.len(), 0),
            }
        }
        bytes
    }

    /// Writes; what lies beyond the end is not there to be written.
    pub(crate) fn write(&mut self, offset: usize, mut bytes: &[u8]) {
        for (block, within) in ranges(offset, offset + bytes.len()) {
            let (now, rest) = bytes.split_at(within.len());
            bytes = rest;
            let Some(block) = self.0.get_mut(block) else { return };
            let block = block.get_or_insert_with(|| Arc::new([0; BLOCK_BYTES]));
            let place = Arc::make_mut(block).get_mut(within).expect("it is within a block");
            place.copy_from_slice(now);
        }
    }

    /// Writes them to a file; where there are zeros, it has holes.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let file = File::create(path)?;
        file.set_len(self.size() as u64)?;
        for (number, block) in self.0.iter().enumerate() {
            if let Some(block) = block {
                file.write_all_at(&**block, (number * BLOCK_BYTES) as u64)?;
            }
        }
        Ok(())
    }
}

/// The blocks from `start` to `end`, and which bytes of each.
fn ranges(start: usize, end: usize) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> {
    let mut at = start;
    std::iter::from_fn(move || {
        let (block, from) = (at / BLOCK_BYTES, at % BLOCK_BYTES);
        let to = BLOCK_BYTES.min(from + end.saturating_sub(at));
        at += to - from;
        (from < to).then_some((block, from..to))
    })
}

/// Something that was done to a disk.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// Bytes were written at an offset.
    Write(usize, Arc<[u8]>),
    /// All that was written before is to be safe.
    Flush,
}

/// What a disk was at first, and all that was done to it since.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    /// The disk at position 0.
    pub(crate) start: Blocks,
    /// What was done.
    pub(crate) operations: Vec<Operation>,
}

/// A disk that is in use.
#[derive(Debug)]
pub(crate) struct Disk {
    state: Mutex<(Blocks, Recording)>,
    position: Arc<AtomicU64>,
    size: usize,
}

impl Disk {
    /// A disk with these bytes.
    pub(crate) fn new(start: Blocks) -> Arc<Self> {
        let size = start.size();
        let recording = Recording { start: start.clone(), operations: Vec::new() };
        let state = Mutex::new((start, recording));
        Arc::new(Self { state, position: Arc::default(), size })
    }

    /// Its size in bytes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// How many operations have been done: whoever reads it knows that all he waited for is
    /// before it.
    pub(crate) fn position(&self) -> u64 {
        self.position.load(Ordering::SeqCst)
    }

    /// The same, for others to read.
    pub(crate) fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.position)
    }

    /// Reads.
    pub(crate) fn read(&self, offset: usize, length: usize) -> Vec<u8> {
        self.lock().0.read(offset, length)
    }

    /// Writes.
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
        let mut state = self.lock();
        state.0.write(offset, bytes);
        self.record(&mut state.1, Operation::Write(offset, bytes.into()));
    }

    /// Makes what was written safe.
    pub(crate) fn flush(&self) {
        self.record(&mut self.lock().1, Operation::Flush);
    }

    /// All that has happened so far.
    pub(crate) fn recording(&self) -> Recording {
        self.lock().1.clone()
    }

    fn record(&self, recording: &mut Recording, operation: Operation) {
        recording.operations.push(operation);
        self.position.fetch_add(1, Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, (Blocks, Recording)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_wherever_it_lies() {
        let mut blocks = Blocks::zeros(3 * BLOCK_BYTES);
        let before = blocks.clone();
        let bytes: Vec<u8> = (0..5000_u32).map(|number| number.to_be_bytes()[3]).collect();
        blocks.write(1000, &bytes);
        assert_eq!(blocks.read(1000, 5000), bytes);
        assert_eq!(blocks.read(999, 2), [0, bytes[0]]);
        assert_eq!(blocks.read(3 * BLOCK_BYTES - 1, 9), [0]);
        assert_eq!(before.read(0, before.size()), vec![0; before.size()]);
    }
}
