//! The manifest of a sealed part: which events are in which objects, under which keys, for ever.
//!
//! ```text
//! head     the part, when it was sealed, the runs it was made from
//! object   destination, key, where its bytes lie in `segments`, counts, digests, checksums …
//! repeats  where events came with an identity: how many were left out, as repeats
//! end      how many objects and events there were; what was damaged
//! ```
//! It is written once and never changed; a manifest without an end is damaged. Objects are read
//! one after the other, so that memory does not grow with their number.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use model::{Destination, Digest, EventId, Extents, ObjectKey, RunId, Seq, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::error::{Error, Result};
use crate::frame::{FileKind, FramePosition, FrameReader, FrameWriter};
use crate::layout::{MANIFEST_FILE, PartName};

pub(crate) const KIND: FileKind = FileKind(*b"MLmani02");

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
    /// Where its bytes lie in `segments`.
    pub extents: Extents,
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

/// What a seal found of events that came with an identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedIdentities {
    /// How many entries the file `identities` has; 0 where it is not there.
    pub entries: u64,
    /// How many events of each run were left out as repeats, in the order of the head.
    pub repeats: Vec<u64>,
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
    /// What there was of identities; a frame of its own before the end, where there was any.
    #[serde(skip)]
    pub identities: Option<SealedIdentities>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Frame {
    Head { minute: String, part: u32, sealed_at_ms: u64, runs: Vec<u64> },
    Object(Box<ObjectFrame>),
    End(ManifestEnd),
    Identities(SealedIdentities),
}

#[derive(Debug, Serialize, Deserialize)]
struct ObjectFrame {
    destination: Destination,
    key: ObjectKey,
    extents: Extents,
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
            extents: object.extents.clone(),
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
            extents: frame.extents,
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
            let mut frames =
                FrameWriter::begin(BufWriter::new(durable::create_file(&path)?), KIND)?;
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

    /// Ends the manifest and syncs it. `identities` are for a part that has any, or has left out
    /// a repeat.
    pub fn finish(
        mut self,
        segments_bytes: u64,
        runs: Vec<SealedRun>,
        identities: Option<SealedIdentities>,
    ) -> Result<ManifestEnd> {
        let (objects, events) = (self.objects, self.events);
        let end = ManifestEnd { objects, events, segments_bytes, runs, identities };
        let mut finish = || {
            if let Some(identities) = &end.identities {
                self.frames.write(&Frame::Identities(identities.clone()))?;
            }
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
    identities: Option<SealedIdentities>,
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
        let of_dir = dir.file_name().and_then(|name| PartName::parse(name.to_str()?));
        if of_dir.is_some_and(|name| name != head.name) {
            return Err(Error::damaged(&path, format!("is that of {}", head.name)));
        }
        Ok(Self { path, frames, head, objects: 0, events: 0, identities: None, end: None })
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
                // A sum that does not fit is none that an end could tell.
                self.events = self.events.saturating_add(object.events);
                Ok(Some((number, object)))
            }
            Some(Frame::Identities(identities)) if self.identities.is_none() => {
                self.identities = Some(identities);
                self.next_object()
            }
            Some(Frame::End(end)) if (end.objects, end.events) == (self.objects, self.events) => {
                self.end = Some(ManifestEnd { identities: self.identities.take(), ..end });
                Ok(None)
            }
            _ => Err(Error::damaged(&self.path, "has no end, or not the one of its objects")),
        }
    }

    /// Whether nothing follows what was read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.frames.is_at_end()
    }

    /// Reads on to the end.
    pub fn end(mut self) -> Result<ManifestEnd> {
        while self.next_object()?.is_some() {}
        self.end.ok_or_else(|| Error::damaged(&self.path, "has no end"))
    }
}

#[cfg(test)]
pub(crate) mod tests;
