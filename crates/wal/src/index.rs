//! The index of a sealed part: the id and the name of each line of each object.
//!
//! It stays with the receipts when the log and the segments are gone, and answers where an event
//! is. Events that were committed together take one span, whatever their number.
//!
//! ```text
//! for each object, one chunk or several:   first line | spans (run, time, first seq, count) | names
//! ```

mod chunks;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use model::{EventId, EventName, RunId, Seq, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::error::{Error, Result};
use crate::frame::{FileKind, FrameReader, FrameWriter};
use crate::layout::INDEX_FILE;
use crate::manifest::{IndexPosition, ManifestHead};
use crate::reader::EventRef;

pub(crate) use chunks::IndexChunk;

pub(crate) const KIND: FileKind = FileKind(*b"MLindx01");

/// At most so many spans and names are in one chunk.
const CHUNK_ENTRIES: usize = 8192;

/// Events of one run with one time and positions without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Span {
    /// The number of the run in the manifest's head.
    run: u32,
    /// Milliseconds since the minute began.
    time_offset_ms: u32,
    first: u32,
    events: u32,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Chunk {
    first_line: u64,
    spans: Vec<Span>,
    /// Lines counted from `first_line`, in order, with the callers' names.
    names: Vec<(u32, String)>,
    /// Whether it is the object's last one.
    last: bool,
}

/// Writes the index of one part.
#[derive(Debug)]
pub struct IndexWriter {
    path: PathBuf,
    frames: FrameWriter<BufWriter<File>>,
    head: ManifestHead,
    chunk: Chunk,
    lines: u64,
}

impl IndexWriter {
    /// Begins the index of the part in `dir`.
    pub fn create(dir: &Path, head: &ManifestHead) -> Result<Self> {
        let path = dir.join(INDEX_FILE);
        let frames = durable::create_file(&path)
            .and_then(|file| FrameWriter::begin(BufWriter::new(file), KIND))
            .map_err(Error::io(&path))?;
        Ok(Self { path, frames, head: head.clone(), chunk: Chunk::default(), lines: 0 })
    }

    /// Makes one more run known, after those of the head.
    pub fn add_run(&mut self, run: RunId) {
        self.head.runs.push(run);
    }

    /// Begins an object; its lines follow.
    pub fn begin_object(&mut self) -> IndexPosition {
        self.chunk = Chunk::default();
        self.lines = 0;
        IndexPosition(self.frames.position())
    }

    /// Adds the object's next line.
    pub fn push(&mut self, event: &EventRef<'_>) -> Result<()> {
        let run = self.number_of(event.id.run());
        let offset = event.id.time().since(self.head.name.minute.start()).as_millis();
        let time_offset_ms = u32::try_from(offset).unwrap_or(u32::MAX);
        let seq = event.id.seq().get();
        match self.chunk.spans.last_mut() {
            Some(span)
                if (span.run, span.time_offset_ms) == (run, time_offset_ms)
                    && span.first + span.events == seq =>
            {
                span.events += 1;
            }
            _ => self.chunk.spans.push(Span { run, time_offset_ms, first: seq, events: 1 }),
        }
        if !event.name.is_empty() {
            let line = u32::try_from(self.lines - self.chunk.first_line).unwrap_or(u32::MAX);
            self.chunk.names.push((line, event.name.to_owned()));
        }
        self.lines += 1;
        self.write_chunk_if_full()
    }

    fn write_chunk_if_full(&mut self) -> Result<()> {
        if self.chunk.spans.len() + self.chunk.names.len() >= CHUNK_ENTRIES {
            self.write_chunk(false)?;
        }
        Ok(())
    }

    /// Adds the lines that `from` has at `position`; its runs are known here, if under other numbers.
    /// `each` is told of which run they are, by its number here, and their positions in it.
    pub fn copy(
        &mut self,
        from: &mut IndexReader,
        position: IndexPosition,
        mut each: impl FnMut(usize, Range<u32>),
    ) -> Result<()> {
        let numbers: Vec<u32> = from.head.runs.iter().map(|run| self.number_of(*run)).collect();
        let mut written = Ok(());
        from.chunks(position, |_, chunk| {
            let before = self.lines - self.chunk.first_line;
            let line = |line: u32| u32::try_from(before + u64::from(line)).unwrap_or(u32::MAX);
            let names = chunk.names.iter().map(|(at, name)| (line(*at), name.clone()));
            self.chunk.names.extend(names);
            for span in &chunk.spans {
                let number = usize::try_from(span.run).ok().and_then(|run| numbers.get(run));
                let run = number.copied().unwrap_or(0);
                self.chunk.spans.push(Span { run, ..*span });
                self.lines += u64::from(span.events);
                let run = usize::try_from(run).unwrap_or(usize::MAX);
                each(run, span.first..span.first.saturating_add(span.events));
            }
            written = self.write_chunk_if_full();
            written.is_ok()
        })?;
        written
    }

    fn number_of(&self, run: RunId) -> u32 {
        let number = self.head.runs.iter().position(|known| *known == run).unwrap_or(0);
        u32::try_from(number).unwrap_or(0)
    }

    /// Ends the object.
    pub fn end_object(&mut self) -> Result<()> {
        self.write_chunk(true)
    }

    fn write_chunk(&mut self, last: bool) -> Result<()> {
        self.chunk.last = last;
        self.frames.write(&self.chunk).map_err(Error::io(&self.path))?;
        self.chunk = Chunk { first_line: self.lines, ..Chunk::default() };
        Ok(())
    }

    /// Lets a reader see all that was written so far.
    pub fn flush(&mut self) -> Result<()> {
        self.frames.inner_mut().flush().map_err(Error::io(&self.path))
    }

    /// Ends the index and syncs it.
    pub fn finish(mut self) -> Result<()> {
        let buffer = self.frames.inner_mut();
        buffer.flush().and_then(|()| buffer.get_ref().sync_all()).map_err(Error::io(&self.path))
    }
}

/// One line of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexedLine {
    /// The id of its event.
    pub id: EventId,
    /// The name that the caller gave it.
    pub name: Option<EventName>,
    /// Its number in the object, from 1.
    pub line: u64,
}

/// Reads the index of one part.
#[derive(Debug)]
pub struct IndexReader {
    path: PathBuf,
    frames: FrameReader,
    head: ManifestHead,
}

impl IndexReader {
    /// Opens the index of the part in `dir`.
    pub fn open(dir: &Path, head: &ManifestHead) -> Result<Self> {
        let path = dir.join(INDEX_FILE);
        let frames = FrameReader::open(&path, KIND)?;
        Ok(Self { path, frames, head: head.clone() })
    }

    /// Reads what follows what was read last: objects of which nothing was left, and nothing else.
    pub(crate) fn read_rest(&mut self) -> Result<()> {
        while self.frames.read::<Chunk>()?.is_some() {}
        Ok(())
    }

    /// Calls `each` with every line of the object whose ids begin at `position`, in order, until
    /// it answers `false`.
    pub fn lines(
        &mut self,
        position: IndexPosition,
        mut each: impl FnMut(IndexedLine) -> bool,
    ) -> Result<()> {
        self.chunks(position, |head, chunk| {
            let mut names = chunk.names.iter().peekable();
            let mut line = 0;
            for span in &chunk.spans {
                for number in 0..span.events {
                    let name = names
                        .next_if(|(at, _)| *at == line)
                        .and_then(|(_, name)| EventName::new(name).ok());
                    let id = span.id(head, number);
                    let number = chunk.first_line + u64::from(line) + 1;
                    if !each(IndexedLine { id, name, line: number }) {
                        return false;
                    }
                    line += 1;
                }
            }
            true
        })
    }

    /// The line of an event in the object whose ids begin at `position`.
    pub fn find(
        &mut self,
        position: IndexPosition,
        wanted: EventId,
    ) -> Result<Option<IndexedLine>> {
        let mut found = None;
        self.chunks(position, |head, chunk| {
            let mut before = 0;
            for span in &chunk.spans {
                let first = span.id(head, 0);
                let number = wanted.seq().get().wrapping_sub(span.first);
                let same = (first.run(), first.time()) == (wanted.run(), wanted.time());
                if same && number < span.events {
                    let at = before + number;
                    let name = chunk.names.iter().find(|(line, _)| *line == at);
                    let name = name.and_then(|(_, name)| EventName::new(name).ok());
                    let line = chunk.first_line + u64::from(at) + 1;
                    found = Some(IndexedLine { id: wanted, name, line });
                    return false;
                }
                before += span.events;
            }
            true
        })?;
        Ok(found)
    }

    fn chunks(
        &mut self,
        position: IndexPosition,
        mut each: impl FnMut(&ManifestHead, &Chunk) -> bool,
    ) -> Result<()> {
        self.frames.seek(position.0)?;
        let mut before = 0;
        while let Some(chunk) = self.frames.read::<Chunk>()? {
            let lines = chunk.lines().filter(|_| chunk.first_line == before);
            let lines = lines.ok_or_else(|| {
                let what = format!("its lines do not go on after line {before} as they should");
                Error::damaged(&self.path, what)
            })?;
            before += u64::from(lines);
            if !each(&self.head, &chunk) || chunk.last {
                break;
            }
        }
        Ok(())
    }
}

impl Chunk {
    /// How many lines it tells of; `None` where it is more than could be counted within it.
    fn lines(&self) -> Option<u32> {
        self.spans.iter().try_fold(0_u32, |lines, span| lines.checked_add(span.events))
    }
}

impl Span {
    fn id(&self, head: &ManifestHead, number: u32) -> EventId {
        let run = usize::try_from(self.run).ok().and_then(|run| head.runs.get(run).copied());
        let start = head.name.minute.start().as_millis();
        let time = UnixMillis::new(start + u64::from(self.time_offset_ms));
        let seq = Seq::new(self.first.saturating_add(number));
        EventId::new(time, run.unwrap_or(RunId::from_bits(0)), seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::tests::head;
    use proptest::prelude::*;

    fn id(head: &ManifestHead, offset_ms: u64, seq: u32) -> EventId {
        let start = head.name.minute.start().as_millis();
        EventId::new(UnixMillis::new(start + offset_ms), head.runs[0], Seq::new(seq))
    }

    #[test]
    fn golden_index_01() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = IndexWriter::create(dir.path(), &head()).unwrap();
        writer.begin_object();
        for (seq, name) in [(4, ""), (5, "n")] {
            writer.push(&EventRef { id: id(&head(), 300, seq), name, payload: b"" }).unwrap();
        }
        writer.end_object().unwrap();
        writer.finish().unwrap();
        let bytes = std::fs::read(dir.path().join(INDEX_FILE)).unwrap();
        assert_eq!(bytes[..12], *b"MLindx01\x0d\0\0\0");
        assert_eq!(bytes[20..], [0, 1, 0, 0xfb, 44, 1, 4, 2, 1, 1, 1, b'n', 1]);
    }

    proptest! {
        #[test]
        fn every_line_is_found(objects in prop::collection::vec(prop::collection::vec((0_u64..3, 1_u32..4, "[ab]{0,2}"), 1..40), 1..4)) {
            let dir = tempfile::tempdir().unwrap();
            let mut writer = IndexWriter::create(dir.path(), &head()).unwrap();
            let mut written = Vec::new();
            let mut seq = 0;
            for object in &objects {
                let position = writer.begin_object();
                let mut lines = Vec::new();
                for (offset_ms, step, name) in object {
                    seq += step;
                    let id = id(&head(), *offset_ms, seq);
                    writer.push(&EventRef { id, name, payload: b"" }).unwrap();
                    let line = lines.len() as u64 + 1;
                    lines.push(IndexedLine { id, name: EventName::new(name).ok(), line });
                }
                writer.end_object().unwrap();
                written.push((position, lines));
            }
            writer.finish().unwrap();
            let mut reader = IndexReader::open(dir.path(), &head()).unwrap();
            for (position, lines) in written.iter().rev() {
                let mut read = Vec::new();
                reader.lines(*position, |line| { read.push(line); true }).unwrap();
                prop_assert_eq!(&read, lines);
                for line in lines {
                    let found = reader.find(*position, line.id).unwrap();
                    prop_assert_eq!(found.as_ref(), Some(line));
                }
                prop_assert_eq!(reader.find(*position, id(&head(), 9, 1)).unwrap(), None);
            }
        }
    }

    #[test]
    fn chunks_that_do_not_follow_each_other_are_damage() {
        let span = Span { run: 0, time_offset_ms: 0, first: 0, events: u32::MAX };
        let chunk = |first_line, spans: &[Span]| Chunk {
            first_line,
            spans: spans.to_vec(),
            ..Chunk::default()
        };
        let few = Span { events: 2, ..span };
        for (chunks, sound) in [
            (vec![chunk(0, &[few]), chunk(2, &[few])], true),
            (vec![chunk(1, &[few])], false),
            (vec![chunk(0, &[few]), chunk(3, &[few])], false),
            (vec![chunk(u64::MAX, &[few])], false),
            (vec![chunk(0, &[span, span])], false),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let file = File::create(dir.path().join(INDEX_FILE)).unwrap();
            let mut frames = FrameWriter::begin(file, KIND).unwrap();
            for chunk in &chunks {
                frames.write(chunk).unwrap();
            }
            let head = crate::manifest::tests::head();
            let position = IndexPosition(crate::frame::FramePosition { offset: 8, number: 0 });
            let mut reader = IndexReader::open(dir.path(), &head).unwrap();
            let read = reader.lines(position, |_| true);
            assert_eq!(read.is_ok(), sound, "{read:?} of {chunks:?}");
            let missing = EventId::new(UnixMillis::new(0), RunId::from_bits(0), Seq::new(0));
            assert_eq!(reader.find(position, missing).is_ok(), sound, "{chunks:?}");
        }
    }
}
