//! The objects of a part, for many looks: which ids are in which chunks of the index, so that a
//! look reads the chunks that it needs and no others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use model::{Destination, EventId, ObjectKey};

use crate::error::Result;
use crate::frame::FramePosition;
use crate::index::IndexReader;
use crate::manifest::{IndexPosition, ManifestHead, ManifestReader, SealedObject};
use crate::reader::DestinationId;

/// About how many bytes one object takes in memory.
const OBJECT_BYTES: usize = 512;

/// What never changes of a part.
#[derive(Debug)]
pub(crate) struct PartTable {
    pub(crate) head: ManifestHead,
    pub(crate) objects: Vec<TableObject>,
    pub(crate) events: u64,
    /// What is wrong with a run that it was made from.
    pub(crate) damage: Option<String>,
    /// Where the chunks of objects begin, as far as it was asked.
    chunks: Mutex<HashMap<usize, Arc<[FramePosition]>>>,
}

/// What is known of an object.
#[derive(Debug)]
pub(crate) struct TableObject {
    pub(crate) destination: Destination,
    pub(crate) destination_id: DestinationId,
    pub(crate) key: ObjectKey,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) lines_bytes: u64,
    pub(crate) first: EventId,
    pub(crate) last: EventId,
    index: IndexPosition,
}

impl TableObject {
    fn new(object: SealedObject) -> Self {
        Self {
            destination_id: DestinationId::of(&object.destination),
            destination: object.destination,
            key: object.key,
            events: object.events,
            bytes: object.extents.length(),
            lines_bytes: object.lines_bytes,
            first: object.first,
            last: object.last,
            index: object.index,
        }
    }

    /// The bytes of a payload, in the mean; exact where there is one.
    pub(crate) fn mean_bytes(&self) -> u64 {
        // Each line ends in a newline.
        self.lines_bytes.saturating_sub(self.events).checked_div(self.events).unwrap_or(0)
    }
}

impl PartTable {
    /// Reads the manifest to its end; returns the table and about how many bytes it takes.
    pub(crate) fn read(mut manifest: ManifestReader) -> Result<(Self, usize)> {
        let head = manifest.head().clone();
        let mut objects = Vec::new();
        while let Some((_, object)) = manifest.next_object()? {
            objects.push(TableObject::new(object));
        }
        let end = manifest.end()?;
        let damage = end.runs.into_iter().find_map(|run| run.damage);
        let weight = 1024 + objects.len() * OBJECT_BYTES;
        Ok((Self { head, objects, events: end.events, damage, chunks: Mutex::default() }, weight))
    }

    /// Where the chunks of an object begin.
    pub(crate) fn chunks_of(
        &self,
        object: usize,
        index: &mut IndexReader,
    ) -> Result<Arc<[FramePosition]>> {
        let Some(of) = self.objects.get(object) else { return Ok(Arc::default()) };
        let next = self.objects.get(object + 1).map(|next| next.index.0.number);
        if next == Some(of.index.0.number + 1) {
            return Ok(Arc::from([of.index.0]));
        }
        let known = || self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(chunks) = known().get(&object) {
            return Ok(Arc::clone(chunks));
        }
        let chunks = Arc::<[FramePosition]>::from(index.chunks_of(of.index, next)?);
        known().insert(object, Arc::clone(&chunks));
        Ok(chunks)
    }
}
