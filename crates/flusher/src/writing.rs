//! Compressed pieces on their way to the segments file: they become gzip members, which may lie in
//! several extents.

use std::io::{self, Write};

use model::{Digest, Extent, Extents};

use crate::blocks::{Blocks, Checksums};
use crate::segment::{Lines, Segment};

/// The object that is being written.
pub(crate) struct Writing<W> {
    blocks: Blocks<W>,
    /// Of the lines.
    crc32: crc32fast::Hasher,
    extents: Extents,
    /// Where the last of them begins.
    from: u64,
}

/// What is written of an object that was set aside.
pub(crate) struct WrittenPart {
    checksums: Checksums,
    crc32: crc32fast::Hasher,
    extents: Extents,
}

impl<W: Write> Writing<W> {
    pub(crate) fn new(inner: W) -> Self {
        let (crc32, extents) = (crc32fast::Hasher::new(), Extents::default());
        Self { blocks: Blocks::new(inner), crc32, extents, from: 0 }
    }

    /// What is written to.
    pub(crate) fn inner_mut(&mut self) -> &mut W {
        self.blocks.inner_mut()
    }

    /// How many bytes are written, of all objects.
    pub(crate) fn position(&self) -> u64 {
        self.blocks.position()
    }

    pub(crate) fn begin(&mut self, level: u32) -> io::Result<()> {
        self.from = self.blocks.position();
        self.blocks.write_all(&header(level))
    }

    /// Goes on with an object that was set aside.
    pub(crate) fn go_on(&mut self, part: WrittenPart) {
        self.from = self.blocks.position();
        self.blocks.restore(part.checksums);
        (self.crc32, self.extents) = (part.crc32, part.extents);
    }

    /// A compressed piece; `crc32` is that of its lines.
    pub(crate) fn piece(&mut self, made: &[u8], crc32: &crc32fast::Hasher) -> io::Result<()> {
        self.crc32.combine(crc32);
        self.blocks.write_all(made)
    }

    pub(crate) fn set_aside(&mut self) -> WrittenPart {
        WrittenPart {
            extents: self.take_extents(),
            checksums: self.blocks.take(),
            crc32: std::mem::take(&mut self.crc32),
        }
    }

    pub(crate) fn end(&mut self, lines: Lines, lines_digest: Digest) -> io::Result<Segment> {
        let crc32 = std::mem::take(&mut self.crc32).finalize();
        self.blocks.write_all(&crc32.to_le_bytes())?;
        // RFC 1952: the length modulo 2^32.
        let [length @ .., _, _, _, _] = lines.bytes.to_le_bytes();
        self.blocks.write_all(&length)?;
        let extents = self.take_extents();
        let (crc32, block_crc32) = self.blocks.take().finish();
        let Lines { count, bytes } = lines;
        Ok(Segment { extents, crc32, block_crc32, lines: count, lines_bytes: bytes, lines_digest })
    }

    fn take_extents(&mut self) -> Extents {
        let length = self.blocks.position() - self.from;
        self.extents.push(Extent { offset: self.from, length });
        std::mem::take(&mut self.extents)
    }
}

/// The header of a gzip member (RFC 1952) of no name, no time and no operating system.
fn header(level: u32) -> [u8; 10] {
    let effort = match level {
        9.. => 2,
        0 | 1 => 4,
        _ => 0,
    };
    [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, effort, 255]
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;

    /// By what flate2 itself writes.
    #[test]
    fn the_header_is_that_of_the_field() {
        for level in 1..=9 {
            let gzip = flate2::write::GzEncoder::new(Vec::new(), Compression::new(level));
            assert_eq!(gzip.finish().unwrap()[..10], header(level), "level {level}");
        }
    }
}
