//! Compressing: the lines of one object become one gzip member in the segments file.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use model::Digest;

/// The blocks of an object whose checksums are kept, so that the parts of an upload can be checked.
const BLOCK_BYTES: u64 = store::BLOCK_BYTES;

/// Lines are handed to the compressor in pieces of about this size.
const PIECE_BYTES: usize = 128 * 1024;

/// What an object turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) length: u64,
    pub(crate) crc32: u32,
    pub(crate) block_crc32: Vec<u32>,
    pub(crate) lines: u64,
    pub(crate) lines_bytes: u64,
    pub(crate) lines_digest: Digest,
}

/// Writes one object.
pub(crate) struct SegmentWriter<W: Write> {
    gzip: GzEncoder<Blocks<W>>,
    digest: blake3::Hasher,
    piece: Vec<u8>,
    lines: u64,
    lines_bytes: u64,
}

impl<W: Write> SegmentWriter<W> {
    /// Begins an object at `level`, 1 to 9. The gzip header holds no time: the same lines give the
    /// same bytes.
    pub(crate) fn begin(inner: W, level: u32) -> Self {
        Self {
            gzip: GzEncoder::new(Blocks::new(inner), Compression::new(level)),
            digest: blake3::Hasher::new(),
            piece: Vec::with_capacity(4096),
            lines: 0,
            lines_bytes: 0,
        }
    }

    /// Appends a line and its newline.
    pub(crate) fn line(&mut self, line: &[u8]) -> io::Result<()> {
        self.piece.extend_from_slice(line);
        self.piece.push(b'\n');
        self.lines += 1;
        if self.piece.len() >= PIECE_BYTES { self.flush_piece() } else { Ok(()) }
    }

    fn flush_piece(&mut self) -> io::Result<()> {
        self.digest.update(&self.piece);
        self.lines_bytes += self.piece.len() as u64;
        self.gzip.write_all(&self.piece)?;
        self.piece.clear();
        Ok(())
    }

    /// Ends the object.
    pub(crate) fn finish(mut self) -> io::Result<Segment> {
        self.flush_piece()?;
        let blocks = self.gzip.finish()?;
        let (length, crc32, block_crc32) = blocks.finish();
        let lines_digest = self.digest.finalize().into();
        let (lines, lines_bytes) = (self.lines, self.lines_bytes);
        Ok(Segment { length, crc32, block_crc32, lines, lines_bytes, lines_digest })
    }
}

/// Counts and checks what passes through: as a whole, and block by block.
struct Blocks<W> {
    inner: W,
    length: u64,
    whole: crc32fast::Hasher,
    block: crc32fast::Hasher,
    in_block: u64,
    ended: Vec<u32>,
}

impl<W: Write> Blocks<W> {
    fn new(inner: W) -> Self {
        Self {
            inner,
            length: 0,
            whole: crc32fast::Hasher::new(),
            block: crc32fast::Hasher::new(),
            in_block: 0,
            ended: Vec::new(),
        }
    }

    fn end_block(&mut self) {
        let block = std::mem::take(&mut self.block);
        self.whole.combine(&block);
        self.ended.push(block.finalize());
        self.in_block = 0;
    }

    fn finish(mut self) -> (u64, u32, Vec<u32>) {
        if self.in_block > 0 {
            self.end_block();
        }
        (self.length, self.whole.finalize(), self.ended)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes.iter_mut().filter(|b| **b == b'\n').for_each(|b| *b = b' ');
        bytes
    }

    #[test]
    fn an_object_is_one_member_of_its_lines() {
        let mut bytes = Vec::new();
        let mut writer = SegmentWriter::begin(&mut bytes, 1);
        let lines = [noise(20_000_000), b"{}".to_vec(), Vec::new()];
        for line in &lines {
            writer.line(line).unwrap();
        }
        let segment = writer.finish().unwrap();
        let mut read = Vec::new();
        flate2::bufread::GzDecoder::new(&*bytes).read_to_end(&mut read).unwrap();
        let expected = [&*lines.join(&b'\n'), b"\n"].concat();
        assert!(read == expected);
        assert_eq!(segment.lines, 3);
        assert_eq!(segment.lines_bytes, expected.len() as u64);
        assert_eq!(segment.lines_digest, Digest::of(&expected));
        assert_eq!(segment.length, bytes.len() as u64);
        assert_eq!(segment.crc32, crc32fast::hash(&bytes));
        let block = usize::try_from(BLOCK_BYTES).unwrap();
        let blocks: Vec<u32> = bytes.chunks(block).map(crc32fast::hash).collect();
        assert_eq!(segment.block_crc32, blocks);
        assert_eq!(blocks.len(), 3);
    }
}
