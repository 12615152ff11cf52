//! Compressing: the lines of one object become one gzip member in the segments file.

use std::io::{self, Write};

use flate2::{Compress, Compression, FlushCompress, Status};
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

/// Writes the objects of a part, one after the other.
///
/// All of them share one compressor: its memory, a quarter of a megabyte and more, is asked for once.
/// With one for each object, glibc, which hardly uses again what it gave with an alignment, took 14 KB
/// of resident memory an object, and never gave them back.
pub(crate) struct SegmentsWriter<W: Write> {
    blocks: Blocks<W>,
    level: u32,
    deflate: Compress,
    /// What the compressor has made and `blocks` has not got.
    made: Vec<u8>,
    is_begun: bool,
    crc32: crc32fast::Hasher,
    digest: blake3::Hasher,
    piece: Vec<u8>,
    lines: u64,
    lines_bytes: u64,
}

impl<W: Write> SegmentsWriter<W> {
    /// Writes to `inner` at `level`, 1 to 9. The gzip headers hold no time: the same lines give the
    /// same bytes.
    pub(crate) fn new(inner: W, level: u32) -> Self {
        Self {
            blocks: Blocks::new(inner),
            level,
            deflate: Compress::new(Compression::new(level), false),
            made: Vec::with_capacity(PIECE_BYTES),
            is_begun: false,
            crc32: crc32fast::Hasher::new(),
            digest: blake3::Hasher::new(),
            piece: Vec::with_capacity(PIECE_BYTES),
            lines: 0,
            lines_bytes: 0,
        }
    }

    /// Appends a line and its newline to the object.
    pub(crate) fn line(&mut self, line: &[u8]) -> io::Result<()> {
        self.piece.extend_from_slice(line);
        self.piece.push(b'\n');
        self.lines += 1;
        if self.piece.len() >= PIECE_BYTES { self.flush_piece() } else { Ok(()) }
    }

    fn flush_piece(&mut self) -> io::Result<()> {
        if !self.is_begun {
            self.blocks.write_all(&header(self.level))?;
            self.is_begun = true;
        }
        let piece = std::mem::take(&mut self.piece);
        self.digest.update(&piece);
        self.crc32.update(&piece);
        self.lines_bytes += piece.len() as u64;
        self.compress(&piece, FlushCompress::None)?;
        self.piece = piece;
        self.piece.clear();
        // A large line leaves no large buffer behind.
        self.piece.shrink_to(2 * PIECE_BYTES);
        Ok(())
    }

    fn compress(&mut self, mut bytes: &[u8], flush: FlushCompress) -> io::Result<()> {
        let is_end = matches!(flush, FlushCompress::Finish);
        loop {
            let before = self.deflate.total_in();
            let status = self.deflate.compress_vec(bytes, &mut self.made, flush)?;
            let taken = usize::try_from(self.deflate.total_in() - before).unwrap_or(usize::MAX);
            bytes = bytes.get(taken..).unwrap_or_default();
            self.blocks.write_all(&self.made)?;
            self.made.clear();
            if status == Status::StreamEnd || (!is_end && bytes.is_empty()) {
                return Ok(());
            }
        }
    }

    /// Ends the object; the next line begins another one.
    pub(crate) fn end_object(&mut self) -> io::Result<Segment> {
        self.flush_piece()?;
        self.compress(&[], FlushCompress::Finish)?;
        self.deflate.reset();
        self.is_begun = false;
        let crc32 = std::mem::take(&mut self.crc32).finalize();
        self.blocks.write_all(&crc32.to_le_bytes())?;
        // RFC 1952: the length modulo 2^32.
        let [length @ .., _, _, _, _] = self.lines_bytes.to_le_bytes();
        self.blocks.write_all(&length)?;
        let lines_digest = self.digest.finalize().into();
        self.digest.reset();
        let lines = std::mem::take(&mut self.lines);
        let lines_bytes = std::mem::take(&mut self.lines_bytes);
        let (length, crc32, block_crc32) = self.blocks.end_object();
        Ok(Segment { length, crc32, block_crc32, lines, lines_bytes, lines_digest })
    }

    /// What is written to.
    pub(crate) fn inner_mut(&mut self) -> &mut W {
        &mut self.blocks.inner
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

    /// The length and the checksums of what has passed through since the last object.
    fn end_object(&mut self) -> (u64, u32, Vec<u32>) {
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
    fn each_object_is_one_member_of_its_lines() {
        let objects = [
            vec![noise(20_000_000), b"{}".to_vec(), Vec::new()],
            vec![b"small".to_vec()],
            vec![vec![b'x'; 3_000_000]; 3],
            Vec::new(),
        ];
        let mut writer = SegmentsWriter::new(Vec::new(), 1);
        let mut segments = Vec::new();
        for lines in &objects {
            for line in lines {
                writer.line(line).unwrap();
            }
            segments.push(writer.end_object().unwrap());
        }
        let mut bytes = &**writer.inner_mut();
        for (lines, segment) in objects.iter().zip(segments) {
            let (object, rest) = bytes.split_at(usize::try_from(segment.length).unwrap());
            bytes = rest;
            let mut decoder = flate2::bufread::GzDecoder::new(object);
            let mut read = Vec::new();
            decoder.read_to_end(&mut read).unwrap();
            assert!(decoder.into_inner().is_empty(), "one member, and no more");
            let expected = lines.iter().flat_map(|line| [&**line, b"\n"]).collect::<Vec<_>>();
            let expected = expected.concat();
            assert!(read == expected);
            assert_eq!(segment.lines, lines.len() as u64);
            assert_eq!(segment.lines_bytes, expected.len() as u64);
            assert_eq!(segment.lines_digest, Digest::of(&expected));
            assert_eq!(segment.crc32, crc32fast::hash(object));
            let block = usize::try_from(BLOCK_BYTES).unwrap();
            let blocks: Vec<u32> = object.chunks(block).map(crc32fast::hash).collect();
            assert_eq!(segment.block_crc32, blocks);
        }
        assert!(bytes.is_empty());
    }

    /// By what flate2 itself writes.
    #[test]
    fn the_header_is_that_of_the_field() {
        for level in 1..=9 {
            let gzip = flate2::write::GzEncoder::new(Vec::new(), Compression::new(level));
            assert_eq!(gzip.finish().unwrap()[..10], header(level), "level {level}");
        }
    }
}
