//! What was sealed, object by object, and whether its bytes are kept.

use std::collections::BTreeSet;
use std::path::Path;

use model::UnixMillis;
use wal::{
    DataDir, ManifestReader, Outcome, PartName, SEGMENTS_FILE, Stage, is_there, read_deliveries,
};

use crate::replay::ReplayQuery;

/// How often a part is looked for that the flusher moves meanwhile.
const TRIES: u32 = 5;

/// How an object stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Delivered, and its bytes should be there.
    Kept,
    /// Delivered, and its bytes are gone.
    Gone,
    /// Not delivered yet.
    Waits,
}

/// An object that was sealed.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// As it was sealed.
    pub(crate) object: store::Object,
    pub(crate) sealed_at: UnixMillis,
    pub(crate) standing: Standing,
}

/// Calls `found` with each object that the query wants, minute by minute, until it says no. Returns what
/// could not be read.
pub(crate) fn each(
    data_dir: &Path,
    query: &ReplayQuery,
    mut found: impl FnMut(Kept) -> bool,
) -> wal::Result<Vec<String>> {
    let data = DataDir::at(data_dir);
    let mut names = BTreeSet::new();
    // A part goes from one to the next.
    for stage in [Stage::Sealed, Stage::Parked, Stage::Receipts] {
        names.extend(data.parts(stage)?.into_iter().filter(|name| query.wants(name.minute)));
    }
    let mut unread = Vec::new();
    for name in names {
        match each_of(&data, name, query, &mut found) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => unread.push(error.to_string()),
        }
    }
    Ok(unread)
}

fn each_of(
    data: &DataDir,
    name: PartName,
    query: &ReplayQuery,
    found: &mut impl FnMut(Kept) -> bool,
) -> wal::Result<bool> {
    let mut tried = 1;
    // The number of the next object: one that was found is not found again.
    let mut next = 0;
    loop {
        let Some(stage) = data.find_part(name) else { return Ok(true) };
        match each_in(data, name, stage, query, &mut next, found) {
            Err(error) if error.is_not_found() && tried < TRIES => tried += 1,
            other => return other,
        }
    }
}

fn each_in(
    data: &DataDir,
    name: PartName,
    stage: Stage,
    query: &ReplayQuery,
    next: &mut u32,
    found: &mut impl FnMut(Kept) -> bool,
) -> wal::Result<bool> {
    let dir = data.part_dir(stage, name);
    let mut manifest = ManifestReader::open(&dir)?;
    let sealed_at = manifest.head().sealed_at;
    let path = dir.join(SEGMENTS_FILE);
    let delivered = if stage == Stage::Receipts { None } else { Some(read_deliveries(&dir)?) };
    while let Some((number, object)) = manifest.next_object()? {
        if number < *next || !query.destinations.contain(&object.destination) {
            continue;
        }
        let is_delivered = delivered
            .as_ref()
            .is_none_or(|known| matches!(known.get(&number), Some(Outcome::Delivered(_))));
        let standing = match (is_delivered, is_there(&path)) {
            (false, _) => Standing::Waits,
            (true, true) => Standing::Kept,
            (true, false) => Standing::Gone,
        };
        let object = store::Object {
            destination: object.destination,
            key: object.key,
            minute: name.minute,
            events: object.events,
            lines_digest: object.lines_digest,
            length: object.extents.length(),
            crc32: object.crc32,
            block_crc32: object.block_crc32,
            path: path.clone(),
            extents: object.extents,
        };
        *next = number + 1;
        if !found(Kept { object, sealed_at, standing }) {
            return Ok(false);
        }
    }
    Ok(true)
}
