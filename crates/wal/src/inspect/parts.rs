//! Parts, and what is kept of them from one look to the next.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::EventId;

use crate::deliveries::{Outcome, read_deliveries};
use crate::error::{Error, Result};
use crate::frame::FramePosition;
use crate::index::{IndexChunk, IndexReader};
use crate::inspect::keep::Keep;
use crate::inspect::part::{Shelf, follow, state};
use crate::inspect::row::DeliveryState;
use crate::inspect::table::PartTable;
use crate::layout::{DELIVERIES_FILE, DataDir, MANIFEST_FILE, PartName};
use crate::manifest::ManifestReader;

/// So many bytes of tables are kept: that of a minute with as many destinations as it may have finds
/// room, unless more of them are configured.
const TABLES_BYTES: usize = 64 * 1024 * 1024;

/// So many bytes of journals are kept, and as many of chunks.
const KEPT_BYTES: usize = 32 * 1024 * 1024;

/// About how many bytes the last word on an object takes.
const OUTCOME_BYTES: usize = 256;

/// A file that was written once: another one in its place has another number.
type FileId = (u64, u64);

type Outcomes = BTreeMap<u32, Outcome>;

/// What is kept.
#[derive(Debug)]
pub(crate) struct Parts {
    tables: Keep<(PartName, FileId), PartTable>,
    journals: Keep<(PartName, FileId, u64), Outcomes>,
    chunks: Keep<(PartName, FileId, u64), IndexChunk>,
}

/// A part, as it was when it was looked at.
#[derive(Debug)]
pub(crate) struct PartLook {
    pub(crate) shelf: Shelf,
    pub(crate) name: PartName,
    pub(crate) dir: PathBuf,
    pub(crate) table: Arc<PartTable>,
    pub(crate) outcomes: Arc<Outcomes>,
    file: FileId,
}

impl PartLook {
    /// How far an object has come, and what its last error was.
    pub(crate) fn state_of(&self, object: usize) -> (DeliveryState, Option<&str>) {
        state(self.shelf, self.outcome(object))
    }

    /// The last word on an object.
    pub(crate) fn outcome(&self, object: usize) -> Option<&Outcome> {
        self.outcomes.get(&u32::try_from(object).ok()?)
    }
}

impl Parts {
    /// Nothing is kept yet.
    pub(crate) fn new() -> Self {
        let (tables, journals) = (Keep::new(TABLES_BYTES), Keep::new(KEPT_BYTES));
        Self { tables, journals, chunks: Keep::new(KEPT_BYTES) }
    }

    /// Looks at a part; `None` where it is nowhere any more.
    pub(crate) fn look(&self, data: &DataDir, name: PartName) -> Result<Option<PartLook>> {
        follow(data, name, |shelf, dir| self.look_at(shelf, dir, name))
    }

    /// The same, with its index open.
    pub(crate) fn open(
        &self,
        data: &DataDir,
        name: PartName,
    ) -> Result<Option<(PartLook, IndexReader)>> {
        follow(data, name, |shelf, dir| {
            let look = self.look_at(shelf, dir, name)?;
            let index = IndexReader::open(&look.dir, &look.table.head)?;
            Ok((look, index))
        })
    }

    fn look_at(&self, shelf: Shelf, dir: PathBuf, name: PartName) -> Result<PartLook> {
        let manifest = dir.join(MANIFEST_FILE);
        let (file, _) = file_id(&manifest)?;
        let table =
            self.tables.get_or(&(name, file), || PartTable::read(ManifestReader::open(&dir)?))?;
        let outcomes = match file_id(&dir.join(DELIVERIES_FILE)) {
            Ok((journal, length)) => self.journals.get_or(&(name, journal, length), || {
                let outcomes = read_deliveries(&dir)?;
                let weight = outcomes.len() * OUTCOME_BYTES;
                Ok::<_, Error>((outcomes, weight))
            })?,
            Err(error) if error.is_not_found() && manifest.exists() => Arc::default(),
            Err(error) => return Err(error),
        };
        Ok(PartLook { shelf, name, dir, table, outcomes, file })
    }

    /// A chunk of the index of a part.
    pub(crate) fn chunk(
        &self,
        part: &PartLook,
        index: &mut IndexReader,
        at: FramePosition,
    ) -> Result<Arc<IndexChunk>> {
        self.chunks.get_or(&(part.name, part.file, at.number), || {
            let chunk = index.chunk(at, |_| true)?.expect("every chunk is wanted");
            let weight = chunk.weight();
            Ok((chunk, weight))
        })
    }

    /// How many of an object's chunks begin at `top` or before it.
    pub(crate) fn chunks_up_to(
        &self,
        part: &PartLook,
        index: &mut IndexReader,
        chunks: &[FramePosition],
        top: EventId,
    ) -> Result<usize> {
        let (mut low, mut high) = (0, chunks.len());
        while low < high {
            let middle = low.midpoint(high);
            let Some(at) = chunks.get(middle) else { break };
            let chunk = self.chunk(part, index, *at)?;
            if chunk.first_id(&part.table.head).is_some_and(|first| first <= top) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}

/// Which file it is, and how long.
fn file_id(path: &Path) -> Result<(FileId, u64)> {
    let metadata = fs::metadata(path).map_err(Error::io(path))?;
    Ok(((metadata.dev(), metadata.ino()), metadata.len()))
}
