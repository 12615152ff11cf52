//! Segments: the lines of one object become one gzip member in the segments file.

use std::collections::VecDeque;
use std::io::{self, Write};

use model::Digest;

use crate::blocks::Blocks;
use crate::deflate::{Compressors, Done, Job, Line, Piece};

/// Lines are handed to the compressors in jobs of this size. Each piece of an object costs about a
/// hundredth of it again: the dictionary, and a block that is ended early.
const JOB_BYTES: usize = 512 * 1024;

/// However small they are, so many objects at most end in one job.
const JOB_PIECES: usize = 4096;

/// What an object turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) crc32: u32,
    pub(crate) block_crc32: Vec<u32>,
    pub(crate) lines: u64,
    pub(crate) lines_bytes: u64,
    pub(crate) lines_digest: Digest,
}

/// Writes the objects of a part, one after the other, and compresses them on several cores: large ones
/// piece by piece, and many small ones at a time.
pub(crate) struct SegmentsWriter<W: Write> {
    line: Line,
    /// What is handed in next.
    job: Job,
    /// The memory of jobs that are done.
    spare: Vec<Done>,
    level: u32,
    /// Whether the compressors have a piece of the object at hand.
    is_begun: bool,
    lines: Lines,
    digest: blake3::Hasher,
    ended: VecDeque<(Lines, Digest)>,
    writing: Writing<W>,
    written: VecDeque<Segment>,
}

/// How many lines an object has, and how many bytes, with their newlines.
#[derive(Clone, Copy, Default)]
struct Lines {
    count: u64,
    bytes: u64,
}

impl<W: Write> SegmentsWriter<W> {
    /// Writes to `inner` at `level`, 1 to 9. The gzip headers hold no time: the same lines give the
    /// same bytes.
    pub(crate) fn new(inner: W, level: u32, compressors: &Compressors) -> Self {
        Self {
            line: compressors.line(level),
            job: Job::default(),
            spare: Vec::new(),
            level,
            is_begun: false,
            lines: Lines::default(),
            digest: blake3::Hasher::new(),
            ended: VecDeque::new(),
            writing: Writing {
                blocks: Blocks::new(inner),
                crc32: crc32fast::Hasher::new(),
                offset: 0,
            },
            written: VecDeque::new(),
        }
    }

    /// Appends a line and its newline to the object.
    pub(crate) fn line(&mut self, line: &[u8]) -> io::Result<()> {
        self.lines.count += 1;
        self.push(line)?;
        self.push(b"\n")
    }

    fn push(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        loop {
            let room = JOB_BYTES - self.job.bytes.len();
            let Some((fits, rest)) = bytes.split_at_checked(room) else {
                self.job.bytes.extend_from_slice(bytes);
                return Ok(());
            };
            self.job.bytes.extend_from_slice(fits);
            self.cut(false);
            self.hand_in()?;
            bytes = rest;
        }
    }

    /// Ends the object; the next line begins another one. What it turned out to be comes out of
    /// [`SegmentsWriter::next_written`], object by object.
    pub(crate) fn end_object(&mut self) -> io::Result<()> {
        self.cut(true);
        self.is_begun = false;
        self.ended.push_back((std::mem::take(&mut self.lines), self.digest.finalize().into()));
        self.digest.reset();
        let is_full = self.job.bytes.len() == JOB_BYTES || self.job.pieces.len() == JOB_PIECES;
        if is_full { self.hand_in() } else { Ok(()) }
    }

    /// What the next object turned out to be, once it is written.
    pub(crate) fn next_written(&mut self) -> Option<Segment> {
        self.written.pop_front()
    }

    /// Writes all that is under way. Every object must have ended.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        if !self.job.pieces.is_empty() {
            self.hand_in()?;
        }
        while self.write_next()? {}
        Ok(())
    }

    /// Makes what follows the last piece one more.
    fn cut(&mut self, ends: bool) {
        let piece = self.job.bytes.get(self.job.cut_end()..).unwrap_or_default();
        self.digest.update(piece);
        self.lines.bytes += piece.len() as u64;
        let end = self.job.bytes.len();
        self.job.pieces.push(Piece { end, begins: !self.is_begun, ends });
        self.is_begun = true;
    }

    fn hand_in(&mut self) -> io::Result<()> {
        while self.line.is_full() {
            self.write_next()?;
        }
        let mut work = self.spare.pop().unwrap_or_default();
        work.job.clear();
        if self.is_begun {
            work.job.dictionary.extend_from_slice(self.job.window());
        }
        std::mem::swap(&mut work.job, &mut self.job);
        self.line.hand_in(work)
    }

    /// Writes what the next job came to; says whether there was one.
    fn write_next(&mut self) -> io::Result<bool> {
        let Some(done) = self.line.next()? else { return Ok(false) };
        let mut start = 0;
        for (piece, (end, crc32)) in done.job.pieces.iter().zip(&done.ends) {
            if piece.begins {
                self.writing.blocks.write_all(&header(self.level))?;
            }
            self.writing.blocks.write_all(done.made.get(start..*end).unwrap_or_default())?;
            self.writing.crc32.combine(crc32);
            start = *end;
            if piece.ends {
                let (lines, digest) = self.ended.pop_front().expect("a piece that ends an object");
                self.written.push_back(self.writing.end_object(lines, digest)?);
            }
        }
        self.spare.push(done);
        Ok(true)
    }

    /// What is written to.
    pub(crate) fn inner_mut(&mut self) -> &mut W {
        self.writing.blocks.inner_mut()
    }
}

/// The object that is being written.
struct Writing<W> {
    blocks: Blocks<W>,
    crc32: crc32fast::Hasher,
    /// Where it begins.
    offset: u64,
}

impl<W: Write> Writing<W> {
    fn end_object(&mut self, lines: Lines, lines_digest: Digest) -> io::Result<Segment> {
        let crc32 = std::mem::take(&mut self.crc32).finalize();
        self.blocks.write_all(&crc32.to_le_bytes())?;
        // RFC 1952: the length modulo 2^32.
        let [length @ .., _, _, _, _] = lines.bytes.to_le_bytes();
        self.blocks.write_all(&length)?;
        let offset = self.offset;
        let (length, crc32, block_crc32) = self.blocks.end_object();
        self.offset += length;
        Ok(Segment {
            offset,
            length,
            crc32,
            block_crc32,
            lines: lines.count,
            lines_bytes: lines.bytes,
            lines_digest,
        })
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
    use crate::blocks::BLOCK_BYTES;
    use flate2::Compression;
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
            vec![vec![b'y'; JOB_BYTES - 1 - "small\n".len()]],
            vec![vec![b'z'; JOB_BYTES - 1], vec![b'z'; JOB_BYTES - 1]],
            vec![b"last".to_vec()],
        ]
        .into_iter()
        .chain((0..2 * JOB_PIECES).map(|number| vec![number.to_string().into_bytes()]))
        .collect::<Vec<_>>();
        let compressors = Compressors::with_threads(2).unwrap();
        let mut writer = SegmentsWriter::new(Vec::new(), 1, &compressors);
        let mut segments = Vec::new();
        for lines in &objects {
            for line in lines {
                writer.line(line).unwrap();
            }
            writer.end_object().unwrap();
            segments.extend(std::iter::from_fn(|| writer.next_written()));
        }
        writer.finish().unwrap();
        segments.extend(std::iter::from_fn(|| writer.next_written()));
        assert_eq!(segments.len(), objects.len());
        let mut bytes = &**writer.inner_mut();
        let mut offset = 0;
        for (lines, segment) in objects.iter().zip(segments) {
            assert_eq!(segment.offset, offset);
            offset += segment.length;
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
