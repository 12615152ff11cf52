//! The checksums of an object's bytes as they pass: of the whole, and of each block of it.

use std::io::{self, Write};

/// The blocks of an object whose checksums are kept, so that the parts of an upload can be checked.
pub(crate) const BLOCK_BYTES: u64 = store::BLOCK_BYTES;

/// Counts and checks what passes through: as a whole, and block by block.
pub(crate) struct Blocks<W> {
    inner: W,
    /// How many bytes have passed, of all objects.
    position: u64,
    checksums: Checksums,
}

/// What is known of an object as far as it has passed.
#[derive(Default)]
pub(crate) struct Checksums {
    whole: crc32fast::Hasher,
    block: crc32fast::Hasher,
    in_block: u64,
    ended: Vec<u32>,
}

impl Checksums {
    fn end_block(&mut self) {
        let block = std::mem::take(&mut self.block);
        self.whole.combine(&block);
        self.ended.push(block.finalize());
        self.in_block = 0;
    }

    /// That of the whole object, and those of its blocks.
    pub(crate) fn finish(mut self) -> (u32, Vec<u32>) {
        if self.in_block > 0 {
            self.end_block();
        }
        (self.whole.finalize(), self.ended)
    }
}

impl<W: Write> Blocks<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, position: 0, checksums: Checksums::default() }
    }

    /// What is written to.
    pub(crate) fn inner_mut(&mut self) -> &mut W {
        &mut self.inner
    }

    /// How many bytes have passed, of all objects.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Takes what is known of the object that has passed; another one follows.
    pub(crate) fn take(&mut self) -> Checksums {
        std::mem::take(&mut self.checksums)
    }

    /// Goes on with an object that has passed in part.
    pub(crate) fn restore(&mut self, checksums: Checksums) {
        self.checksums = checksums;
    }
}

impl<W: Write> Write for Blocks<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sums = &mut self.checksums;
        let room = usize::try_from(BLOCK_BYTES - sums.in_block).unwrap_or(usize::MAX);
        let written = self.inner.write(bytes.get(..room).unwrap_or(bytes))?;
        let bytes = bytes.get(..written).unwrap_or_default();
        sums.block.update(bytes);
        sums.in_block += bytes.len() as u64;
        self.position += bytes.len() as u64;
        if sums.in_block == BLOCK_BYTES {
            sums.end_block();
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
