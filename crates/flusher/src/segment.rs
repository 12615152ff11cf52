//! Segments: the lines of one object become one gzip member in the segments file.

use std::collections::VecDeque;
use std::io::{self, Write};

use model::{Digest, Extents};

use crate::deflate::{Compressors, Done, End, Job, Line, Piece, Start};
use crate::writing::{Writing, WrittenPart};

/// Lines are handed to the compressors in jobs of this size. Each piece of an object costs about a
/// hundredth of it again: the dictionary, and a block that is ended early.
const JOB_BYTES: usize = 512 * 1024;

/// However small they are, so many objects at most end in one job.
const JOB_PIECES: usize = 4096;

/// What an object turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) extents: Extents,
    pub(crate) crc32: u32,
    pub(crate) block_crc32: Vec<u32>,
    pub(crate) lines: u64,
    pub(crate) lines_bytes: u64,
    pub(crate) lines_digest: Digest,
}

/// An object that was set aside before its end.
pub(crate) struct SetAside {
    part: LinesPart,
    written: WrittenPart,
}

/// What has become of an object.
pub(crate) enum Written {
    /// It is there whole.
    Whole(Segment),
    /// It is there as far as it was handed in.
    SetAside(Box<SetAside>),
}

/// Writes the objects of a part, one after the other, and compresses them on several cores: large ones
/// piece by piece, and many small ones at a time. An object may be set aside, and gone on with after
/// others.
pub(crate) struct SegmentsWriter<W: Write> {
    line: Line,
    /// What is handed in next.
    job: Job,
    /// The memory of jobs that are done.
    spare: Vec<Done>,
    level: u32,
    /// What the next piece of the object at hand begins with.
    from: Start,
    lines: Lines,
    digest: blake3::Hasher,
    /// Objects whose ends are under way.
    ended: VecDeque<Ended>,
    /// Objects gone on with whose next pieces are under way.
    gone_on: VecDeque<WrittenPart>,
    writing: Writing<W>,
    written: VecDeque<Written>,
}

/// How many lines an object has, and how many bytes, with their newlines.
#[derive(Clone, Copy, Default)]
pub(crate) struct Lines {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
}

/// What is known of the lines of an object that was set aside.
struct LinesPart {
    lines: Lines,
    digest: blake3::Hasher,
    window: Vec<u8>,
}

enum Ended {
    Whole(Lines, Digest),
    SetAside(Box<LinesPart>),
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
            from: Start::Object,
            lines: Lines::default(),
            digest: blake3::Hasher::new(),
            ended: VecDeque::new(),
            gone_on: VecDeque::new(),
            writing: Writing::new(inner),
            written: VecDeque::new(),
        }
    }

    /// Compresses what follows at another level.
    pub(crate) fn set_level(&mut self, level: u32) -> io::Result<()> {
        self.drain()?;
        self.level = level;
        self.line.set_level(level);
        Ok(())
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
            self.cut(End::Within);
            self.hand_in()?;
            bytes = rest;
        }
    }

    /// Ends the object; the next line begins another one. What it turned out to be comes out of
    /// [`SegmentsWriter::next_written`], object by object.
    pub(crate) fn end_object(&mut self) -> io::Result<()> {
        self.cut(End::Object);
        let digest = self.digest.finalize().into();
        self.digest.reset();
        self.ended.push_back(Ended::Whole(std::mem::take(&mut self.lines), digest));
        self.hand_in_if_full()
    }

    /// Sets the object aside; the next line begins another one. What it is to be gone on with comes out
    /// of [`SegmentsWriter::next_written`].
    pub(crate) fn set_aside(&mut self) -> io::Result<()> {
        self.cut(End::SetAside);
        let lines = std::mem::take(&mut self.lines);
        let digest = std::mem::take(&mut self.digest);
        let part = LinesPart { lines, digest, window: self.job.window() };
        self.ended.push_back(Ended::SetAside(Box::new(part)));
        self.hand_in_if_full()
    }

    /// Goes on with an object, between others.
    pub(crate) fn go_on(&mut self, object: SetAside) -> io::Result<()> {
        if !self.job.pieces.is_empty() {
            self.hand_in()?;
        }
        let SetAside { part: LinesPart { lines, digest, window }, written } = object;
        (self.lines, self.digest, self.job.dictionary) = (lines, digest, window);
        self.gone_on.push_back(written);
        self.from = Start::SetAside;
        Ok(())
    }

    /// What has become of the next object, once it is written.
    pub(crate) fn next_written(&mut self) -> Option<Written> {
        self.written.pop_front()
    }

    /// Writes all that is under way. Every object must have ended, or be set aside.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        if !self.job.pieces.is_empty() {
            self.hand_in()?;
        }
        while self.write_next()? {}
        Ok(())
    }

    /// How many bytes are written.
    pub(crate) fn position(&self) -> u64 {
        self.writing.position()
    }

    /// What is written to.
    pub(crate) fn inner_mut(&mut self) -> &mut W {
        self.writing.inner_mut()
    }

    /// Makes what follows the last piece one more.
    fn cut(&mut self, to: End) {
        let piece = self.job.bytes.get(self.job.cut_end()..).unwrap_or_default();
        self.digest.update(piece);
        self.lines.bytes += piece.len() as u64;
        self.job.pieces.push(Piece { end: self.job.bytes.len(), from: self.from, to });
        self.from = if to == End::Within { Start::Within } else { Start::Object };
    }

    fn hand_in_if_full(&mut self) -> io::Result<()> {
        let is_full = self.job.bytes.len() == JOB_BYTES || self.job.pieces.len() == JOB_PIECES;
        if is_full { self.hand_in() } else { Ok(()) }
    }

    fn hand_in(&mut self) -> io::Result<()> {
        while self.line.is_full() {
            self.write_next()?;
        }
        let mut work = self.spare.pop().unwrap_or_default();
        work.job.clear();
        if self.from == Start::Within {
            work.job.dictionary = self.job.window();
        }
        std::mem::swap(&mut work.job, &mut self.job);
        self.line.hand_in(work)
    }

    /// Writes what the next job came to; says whether there was one.
    fn write_next(&mut self) -> io::Result<bool> {
        let Some(done) = self.line.next()? else { return Ok(false) };
        let mut start = 0;
        for (piece, (end, crc32)) in done.job.pieces.iter().zip(&done.ends) {
            match piece.from {
                Start::Object => self.writing.begin(self.level)?,
                Start::Within => {}
                Start::SetAside => {
                    let part = self.gone_on.pop_front().expect("an object that is gone on with");
                    self.writing.go_on(part);
                }
            }
            self.writing.piece(done.made.get(start..*end).unwrap_or_default(), crc32)?;
            start = *end;
            if piece.to != End::Within {
                let ended = self.ended.pop_front().expect("a piece that ends an object");
                self.written.push_back(match ended {
                    Ended::Whole(lines, digest) => Written::Whole(self.writing.end(lines, digest)?),
                    Ended::SetAside(part) => {
                        let written = self.writing.set_aside();
                        Written::SetAside(Box::new(SetAside { part: *part, written }))
                    }
                });
            }
        }
        self.spare.push(done);
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
