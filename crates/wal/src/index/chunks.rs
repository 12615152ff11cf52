//! Single chunks of an index, to read it from its end: an object's chunks follow each other, and
//! its lines sort by their ids.

use model::{EventId, EventName};

use super::{Chunk, IndexReader, IndexedLine, Span};
use crate::error::Result;
use crate::frame::FramePosition;
use crate::manifest::{IndexPosition, ManifestHead};

/// Some lines of an object that follow each other.
#[derive(Debug)]
pub(crate) struct IndexChunk(Chunk);

impl IndexReader {
    /// Where the chunks of the object begin whose ids begin at `position`. `end` is the number of
    /// the chunk that follows them; the index ends with them where there is none.
    pub(crate) fn chunks_of(
        &mut self,
        position: IndexPosition,
        end: Option<u64>,
    ) -> Result<Vec<FramePosition>> {
        self.frames.seek(position.0)?;
        let mut found = Vec::new();
        let is_before_end = |at: FramePosition| end.is_none_or(|end| at.number < end);
        while is_before_end(self.frames.position()) {
            let position = self.frames.position();
            if !self.frames.skip()? {
                break;
            }
            found.push(position);
        }
        Ok(found)
    }

    /// Reads the chunk at `position`; `None` where its bytes are not `wanted`.
    pub(crate) fn chunk(
        &mut self,
        position: FramePosition,
        wanted: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Option<IndexChunk>> {
        self.frames.seek(position)?;
        Ok(self.frames.read_where(wanted)?.map(IndexChunk))
    }
}

impl IndexChunk {
    /// About how many bytes it takes in memory.
    pub(crate) fn weight(&self) -> usize {
        let names = self.0.names.iter().map(|(_, name)| name.len() + 48).sum::<usize>();
        64 + names + self.0.spans.len() * size_of::<Span>()
    }

    /// The id of its first line; `None` where it has none.
    pub(crate) fn first_id(&self, head: &ManifestHead) -> Option<EventId> {
        self.0.spans.first().map(|span| span.id(head, 0))
    }

    /// Calls `each` with its lines, the last one first, until it answers `false`. Those above `top`
    /// are passed over at no cost.
    pub(crate) fn lines_down(
        &self,
        head: &ManifestHead,
        top: EventId,
        mut each: impl FnMut(IndexedLine) -> bool,
    ) {
        let mut end = self.0.lines().unwrap_or(0);
        let mut names = self.0.names.iter().rev().peekable();
        for span in self.0.spans.iter().rev() {
            let begin = end.saturating_sub(span.events);
            let mut left = span.events;
            if span.id(head, 0) > top {
                left = 0;
            } else if span.id(head, span.events.saturating_sub(1)) > top {
                // Within a span only the position grows.
                left = left.min(top.seq().get().saturating_sub(span.first).saturating_add(1));
            }
            while left > 0 {
                left -= 1;
                let at = begin + left;
                while names.next_if(|(line, _)| *line > at).is_some() {}
                let name = names.next_if(|(line, _)| *line == at);
                let name = name.and_then(|(_, name)| EventName::new(name).ok());
                let line = self.0.first_line + u64::from(at) + 1;
                if !each(IndexedLine { id: span.id(head, left), name, line }) {
                    return;
                }
            }
            end = begin;
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{Seq, UnixMillis};

    use super::super::{CHUNK_ENTRIES, IndexWriter};
    use super::*;
    use crate::manifest::tests::head;
    use crate::reader::EventRef;

    #[test]
    fn an_object_is_read_from_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let head = head();
        let start = head.name.minute.start().as_millis();
        let id = |seq: u32| {
            let time = UnixMillis::new(start + u64::from(seq / 3));
            EventId::new(time, head.runs[0], Seq::new(seq))
        };
        let mut writer = IndexWriter::create(dir.path(), &head).unwrap();
        let events = u32::try_from(CHUNK_ENTRIES).unwrap() * 2;
        let mut positions = Vec::new();
        for object in 0..2 {
            positions.push(writer.begin_object());
            for seq in 0..events {
                let name = if seq % 2 == object { format!("n{seq}") } else { String::new() };
                writer.push(&EventRef { id: id(seq), name: &name, payload: b"" }).unwrap();
            }
            writer.end_object().unwrap();
        }
        writer.finish().unwrap();
        let mut reader = IndexReader::open(dir.path(), &head).unwrap();
        let chunks = reader.chunks_of(positions[0], Some(positions[1].0.number)).unwrap();
        assert!(chunks.len() > 1, "{chunks:?}");
        assert_eq!(reader.chunks_of(positions[1], None).unwrap().len(), chunks.len());
        let (mut up, mut down) = (Vec::new(), Vec::new());
        reader
            .lines(positions[0], |line| {
                up.push(line);
                true
            })
            .unwrap();
        for position in chunks.iter().rev() {
            let chunk = reader.chunk(*position, |_| true).unwrap().unwrap();
            assert!(chunk.weight() > 0);
            let last = id(events);
            chunk.lines_down(&head, last, |line| {
                down.push(line);
                true
            });
            assert_eq!(chunk.first_id(&head), down.last().map(|line| line.id));
        }
        down.reverse();
        assert_eq!(up, down);
        // From any id down, that one first.
        let chunk = reader.chunk(chunks[0], |_| true).unwrap().unwrap();
        for top in [0, 1, 2, 3, 4, 100] {
            let mut first = None;
            chunk.lines_down(&head, id(top), |line| {
                first = Some(line);
                false
            });
            assert_eq!(first.as_ref(), up.iter().find(|line| line.id == id(top)));
        }
        assert!(reader.chunk(chunks[0], <[u8]>::is_empty).unwrap().is_none());
    }
}
