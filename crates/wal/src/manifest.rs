//! The manifest of a sealed part: which events are in which objects, under which keys, for ever.
//!
//! ```text
//! head     the part, when it was sealed, the runs it was made from
//! object   destination, key, where its bytes lie in `segments`, counts, digests, checksums …
//! end      how many objects and events there were; what was damaged
//! ```
//! It is written once and never changed; a manifest without an end is damaged. Objects are read
//! one after the other, so that memory does not grow with their number.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use model::{Destination, Digest, EventId, ObjectKey, RunId, Seq, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::frame::{FileKind, FramePosition, FrameReader, FrameWriter};
use crate::layout::{MANIFEST_FILE, PartName};

const KIND: FileKind = FileKind(*b"MLmani01");

/// What a seal was made from, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestHead {
    /// The part.
    pub name: PartName,
    /// The time in the keys of its objects.
    pub sealed_at: UnixMillis,
    /// The runs whose events it holds.
    pub runs: Vec<RunId>,
}

/// One object, as it was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedObject {
    /// Where it goes.
    pub destination: Destination,
    /// Its key in S3.
    pub key: ObjectKey,
    /// Where its bytes begin in `segments`.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
    /// CRC-32 of its bytes.
    pub crc32: u32,
    /// CRC-32 of each block of its bytes, for uploads in parts.
    pub block_crc32: Vec<u32>,
    /// How many events, each one line.
    pub events: u64,
    /// The bytes of its lines, uncompressed, with their newlines.
    pub lines_bytes: u64,
    /// BLAKE3 of its lines, uncompressed.
    pub lines_digest: Digest,
    /// The id of its first line.
    pub first: EventId,
    /// The id of its last line.
    pub last: EventId,
    /// Where its ids begin in `index`.
    pub index: IndexPosition,
}

/// Where the ids of an object begin in the index of its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexPosition(pub(crate) FramePosition);

/// What became of a run in a seal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedRun {
    /// How many of its events are in the part.
    pub events: u64,
    /// How many of its events are missing, as far as that is known.
    pub missing: u64,
    /// What is wrong with it; `None` where it was read back whole.
    pub damage: Option<String>,
}

/// What stands at the end of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestEnd {
    /// How many objects there are.
    pub objects: u32,
    /// How many events are in them.
    pub events: u64,
    /// The length of `segments`, in bytes.
    pub segments_bytes: u64,
    /// What became of each run, in the order of the head.
    pub runs: Vec<SealedRun>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Frame {
    Head { minute: String, part: u32, sealed_at_ms: u64, runs: Vec<u64> },
    Object(Box<ObjectFrame>),
    End(ManifestEnd),
}

#[derive(Debug, Serialize, Deserialize)]
struct ObjectFrame {
    destination: Destination,
    key: ObjectKey,
    offset: u64,
    length: u64,
    crc32: u32,
    block_crc32: Vec<u32>,
    events: u64,
    lines_bytes: u64,
    lines_digest: [u8; 32],
    first: (u64, u64, u32),
    last: (u64, u64, u32),
    index: (u64, u64),
}

fn id_to_parts(id: EventId) -> (u64, u64, u32) {
    (id.time().as_millis(), id.run().as_bits(), id.seq().get())
}

fn id_from_parts((time, run, seq): (u64, u64, u32)) -> EventId {
    EventId::new(UnixMillis::new(time), RunId::from_bits(run), Seq::new(seq))
}

impl From<&SealedObject> for ObjectFrame {
    fn from(object: &SealedObject) -> Self {
        Self {
            destination: object.destination.clone(),
            key: object.key.clone(),
            offset: object.offset,
            length: object.length,
            crc32: object.crc32,
            block_crc32: object.block_crc32.clone(),
            events: object.events,
            lines_bytes: object.lines_bytes,
            lines_digest: *object.lines_digest.as_bytes(),
            first: id_to_parts(object.first),
            last: id_to_parts(object.last),
            index: (object.index.0.offset, object.index.0.number),
        }
    }
}

impl From<ObjectFrame> for SealedObject {
    fn from(frame: ObjectFrame) -> Self {
        let (offset, number) = frame.index;
        Self {
            destination: frame.destination,
            key: frame.key,
            offset: frame.offset,
            length: frame.length,
            crc32: frame.crc32,
            block_crc32: frame.block_crc32,
            events: frame.events,
            lines_bytes: frame.lines_bytes,
            lines_digest: Digest::from_bytes(frame.lines_digest),
            first: id_from_parts(frame.first),
            last: id_from_parts(frame.last),
            index: IndexPosition(FramePosition { offset, number }),
        }
    }
}

/// Writes a manifest.
#[derive(Debug)]
pub struct ManifestWriter {
    path: PathBuf,
    frames: FrameWriter<BufWriter<File>>,
    objects: u32,
    events: u64,
}

impl ManifestWriter {
    /// Begins the manifest of the part in `dir`.
    pub fn create(dir: &Path, head: &ManifestHead) -> Result<Self> {
        let path = dir.join(MANIFEST_FILE);
        let begin = || {
            let mut frames = FrameWriter::begin(BufWriter::new(File::create_new(&path)?), KIND)?;
            frames.write(&Frame::Head {
                minute: head.name.minute.to_name(),
                part: head.name.part,
                sealed_at_ms: head.sealed_at.as_millis(),
                runs: head.runs.iter().map(|run| run.as_bits()).collect(),
            })?;
            Ok(frames)
        };
        let frames = begin().map_err(Error::io(&path))?;
        Ok(Self { path, frames, objects: 0, events: 0 })
    }

    /// Appends an object.
    pub fn write(&mut self, object: &SealedObject) -> Result<()> {
        self.objects += 1;
        self.events += object.events;
        let frame = Frame::Object(Box::new(object.into()));
        self.frames.write(&frame).map_err(Error::io(&self.path))
    }

    /// Ends the manifest and syncs it.
    pub fn finish(mut self, segments_bytes: u64, runs: Vec<SealedRun>) -> Result<ManifestEnd> {
        let (objects, events) = (self.objects, self.events);
        let end = ManifestEnd { objects, events, segments_bytes, runs };
        let mut finish = || {
            self.frames.write(&Frame::End(end.clone()))?;
            let buffer = self.frames.inner_mut();
            buffer.flush()?;
            buffer.get_ref().sync_all()
        };
        finish().map_err(Error::io(&self.path))?;
        Ok(end)
    }
}

/// Reads a manifest: the head at once, then object by object, then the end.
#[derive(Debug)]
pub struct ManifestReader {
    path: PathBuf,
    frames: FrameReader,
    head: ManifestHead,
    objects: u32,
    events: u64,
    end: Option<ManifestEnd>,
}

impl ManifestReader {
    /// Opens the manifest of the part in `dir`.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(MANIFEST_FILE);
        let mut frames = FrameReader::open(&path, KIND)?;
        let head = match frames.read()? {
            Some(Frame::Head { minute, part, sealed_at_ms, runs }) => ManifestHead {
                name: PartName::parse(&format!("{minute}.{part}"))
                    .ok_or_else(|| Error::damaged(&path, "names no part"))?,
                sealed_at: UnixMillis::new(sealed_at_ms),
                runs: runs.into_iter().map(RunId::from_bits).collect(),
            },
            _ => return Err(Error::damaged(&path, "has no head")),
        };
        Ok(Self { path, frames, head, objects: 0, events: 0, end: None })
    }

    /// What the seal was made from.
    pub fn head(&self) -> &ManifestHead {
        &self.head
    }

    /// The next object with its number; `None` after the last one.
    pub fn next_object(&mut self) -> Result<Option<(u32, SealedObject)>> {
        if self.end.is_some() {
            return Ok(None);
        }
        match self.frames.read()? {
            Some(Frame::Object(frame)) => {
                let object = SealedObject::from(*frame);
                let number = self.objects;
                self.objects += 1;
                self.events += object.events;
                Ok(Some((number, object)))
            }
            Some(Frame::End(end)) if (end.objects, end.events) == (self.objects, self.events) => {
                self.end = Some(end);
                Ok(None)
            }
            _ => Err(Error::damaged(&self.path, "has no end, or not the one of its objects")),
        }
    }

    /// Reads on to the end.
    pub fn end(mut self) -> Result<ManifestEnd> {
        while self.next_object()?.is_some() {}
        self.end.ok_or_else(|| Error::damaged(&self.path, "has no end"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use model::{Interval, Minute};

    pub(crate) fn head() -> ManifestHead {
        let minute = Minute::containing(UnixMillis::new(1_795_342_517_999), Interval::default());
        ManifestHead {
            name: PartName { minute, part: 0 },
            sealed_at: UnixMillis::from_seconds(1_795_342_561),
            runs: vec![RunId::from_bits(0xab)],
        }
    }

    pub(crate) fn object(prefix: &str) -> SealedObject {
        let destination = Destination::parse("bucket", prefix).unwrap();
        let lines_digest = Digest::of(b"{}\n");
        let identifier = model::Identifier::derive(&destination, &lines_digest, &[7; 32]);
        let id =
            EventId::new(UnixMillis::new(1_795_342_517_999), RunId::from_bits(0xab), Seq::new(3));
        SealedObject {
            key: ObjectKey::new(destination.prefix(), head().sealed_at, &identifier),
            destination,
            offset: 10,
            length: 23,
            crc32: 0xdead_beef,
            block_crc32: vec![0xdead_beef],
            events: 1,
            lines_bytes: 3,
            lines_digest,
            first: id,
            last: id,
            index: IndexPosition(FramePosition { offset: 8, number: 0 }),
        }
    }

    fn written(objects: &[SealedObject]) -> (tempfile::TempDir, ManifestEnd) {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = ManifestWriter::create(dir.path(), &head()).unwrap();
        for object in objects {
            writer.write(object).unwrap();
        }
        let run = SealedRun { events: 2, missing: 0, damage: None };
        let end = writer.finish(33, vec![run]).unwrap();
        (dir, end)
    }

    #[test]
    fn reads_as_it_was_written() {
        let objects = [object("a"), object("b")];
        let (dir, end) = written(&objects);
        let mut reader = ManifestReader::open(dir.path()).unwrap();
        assert_eq!(*reader.head(), head());
        for (number, object) in (0..).zip(&objects) {
            assert_eq!(reader.next_object().unwrap(), Some((number, object.clone())));
        }
        assert_eq!(reader.next_object().unwrap(), None);
        assert_eq!(reader.end().unwrap(), end);
        assert_eq!((end.objects, end.events), (2, 2));
    }

    #[test]
    fn golden_manifest_01() {
        let (dir, _) = written(&[object("a")]);
        let bytes = std::fs::read(dir.path().join(MANIFEST_FILE)).unwrap();
        assert_eq!(Digest::of(&bytes).to_string(), GOLDEN);
    }

    const GOLDEN: &str = "bd0c57feb53bfa1c4d4ae84d81a1a03c44f4196e3b0ffc51c85d4c61f3e7e4b8";

    #[test]
    fn a_manifest_without_its_end_is_damaged() {
        let (dir, _) = written(&[object("a")]);
        let path = dir.path().join(MANIFEST_FILE);
        let bytes = std::fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let end = ManifestReader::open(dir.path()).and_then(ManifestReader::end);
            assert!(matches!(end, Err(Error::Damaged { .. })), "{length}");
        }
    }
}
