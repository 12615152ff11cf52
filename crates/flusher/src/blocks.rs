//! The checksums of an object's bytes as they pass: of the whole, and of each block of it.

use std::io::{self, Write};

/// The blocks of an object whose checksums are kept, so that the parts of an upload can be checked.
pub(crate) const BLOCK_BYTES: u64 = store::BLOCK_BYTES;

/// Counts and checks what passes through: as a whole, and block by block.
pub(crate) struct Blocks<W> {
    inner: W,
    length: u64,
    whole: crc32fast::Hasher,
    block: crc32fast::Hasher,
    in_block: u64,
    ended: Vec<u32>,
}

impl<W: Write> Blocks<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self {
            inner,
            length: 0,
            whole: crc32fast::Hasher::new(),
            block: crc32fast::Hasher::new(),
            in_block: 0,
            ended: Vec::new(),
        }
    }

    /// What is written to.
    pub(crate) fn inner_mut(&mut self) -> &mut W {
        &mut self.inner
    }

    fn end_block(&mut self) {
        let block = std::mem::take(&mut self.block);
        self.whole.combine(&block);
        self.ended.push(block.finalize());
        self.in_block = 0;
    }

    /// The length and the checksums of what has passed through since the last object.
    pub(crate) fn end_object(&mut self) -> (u64, u32, Vec<u32>) {
        if self.in_block > 0 {
            self.end_block();
        }
        let whole = std::mem::take(&mut self.whole).finalize();
        (std::mem::take(&mut self.length), whole, std::mem::take(&mut self.ended))
    }
}

impl<W: Write> Write for Blocks<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = usize::try_from(BLOCK_BYTES - self.in_block).unwrap_or(usize::MAX);
        let written = self.inner.write(bytes.get(..room).unwrap_or(bytes))?;
        let bytes = bytes.get(..written).unwrap_or_default();
        self.block.update(bytes);
        self.length += bytes.len() as u64;
        self.in_block += bytes.len() as u64;
        if self.in_block == BLOCK_BYTES {
            self.end_block();
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
