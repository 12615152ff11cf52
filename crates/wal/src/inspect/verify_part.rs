//! Reading a sealed part back: every frame of its files, and the bytes of every object that is not
//! in S3 yet.

use std::fs;
use std::path::Path;

use model::EventId;

use crate::deliveries::{Outcome, end_of_deliveries, is_torn, read_deliveries};
use crate::error::{Error, Result};
use crate::identities::IdentitiesReader;
use crate::index::IndexReader;
use crate::inspect::part::{PartView, Shelf, follow};
use crate::inspect::segment;
use crate::inspect::verify::Verify;
use crate::layout::{
    DELIVERIES_FILE, DataDir, IDENTITIES_FILE, INDEX_FILE, MANIFEST_FILE, PartName, RunName,
    SEGMENTS_FILE, Stage,
};
use crate::manifest::{ManifestReader, SealedObject, SealedRun};

/// Verifies one part, wherever it is by now.
pub(crate) fn verify(verify: &mut Verify<'_>, name: PartName) {
    let view = match PartView::open_whatever_journal(verify.data, name) {
        Ok(Some(view)) => view,
        Ok(None) => return,
        Err(error) => {
            let missing = unread(verify.data, name);
            return verify.failed(error, missing);
        }
    };
    verify.report.checked.parts += 1;
    let journal = journal(verify.data, name);
    let journal_is_whole = journal.is_ok();
    if let Err(error) = journal {
        verify.failed(error, 0);
    }
    if let Err(error) = objects(verify, view, journal_is_whole) {
        let missing = unread(verify.data, name);
        verify.failed(error, missing);
    }
}

/// How many events are missing with a part that cannot be read: none where all of it is in S3,
/// and nobody knows how many where it is not.
fn unread(data: &DataDir, name: PartName) -> Option<u64> {
    (data.find_part(name) == Some(Stage::Receipts)).then_some(0)
}

fn objects(verify: &mut Verify<'_>, mut view: PartView, journal_is_whole: bool) -> Result<()> {
    let mut end_of_segments = 0;
    let (mut without_receipt, mut without_word) = (0, 0);
    let mut index_is_whole = true;
    if let Err(error) = view.index.reader() {
        index_is_whole = false;
        verify.failed(error, 0);
    }
    while let Some((number, object)) = view.manifest.next_object()? {
        end_of_segments = end_of_segments.max(object.extents.end());
        // A damaged index loses no event: the lines are in the object.
        if index_is_whole && let Err(error) = index(&mut view, &object) {
            index_is_whole = false;
            verify.failed(error, 0);
        }
        without_receipt += u32::from(!view.has_receipt(number));
        without_word += u32::from(!view.outcomes.contains_key(&number));
        verify.report.checked.lines += object.events;
        if !view.is_delivered(number) {
            bytes(verify, &view, number, &object)?;
        }
    }
    if index_is_whole && let Err(error) = view.index.reader().and_then(IndexReader::read_rest) {
        verify.failed(error, 0);
    }
    if !view.manifest.is_at_end() {
        verify.damaged(&view.dir.join(MANIFEST_FILE), "goes on after its end", 0);
    }
    // Only a part of which every object has its receipt moves there.
    let is_delivered = view.shelf == Shelf::Stage(Stage::Receipts);
    if is_delivered && journal_is_whole && without_receipt > 0 {
        let what = format!("{without_receipt} receipts are missing");
        verify.damaged(&view.dir.join(DELIVERIES_FILE), what, 0);
    }
    // Of every object of a part there something was said before it was moved.
    if view.shelf == Shelf::Stage(Stage::Parked) && journal_is_whole && without_word > 0 {
        let what = format!("says nothing of {without_word} objects any more");
        verify.damaged(&view.dir.join(DELIVERIES_FILE), what, 0);
    }
    let path = view.dir.join(SEGMENTS_FILE);
    let manifest = view.manifest.end()?;
    if end_of_segments > manifest.segments_bytes {
        return Err(Error::damaged(&path, "is shorter than the objects of its manifest"));
    }
    // Damage to it loses no event: a repeat may be delivered.
    let expected = manifest.identities.map_or(0, |identities| identities.entries);
    if let Err(error) = identities(verify.data, view.name, expected) {
        verify.failed(error, 0);
    }
    Ok(())
}

/// The identities of a part: as many as its manifest says.
fn identities(data: &DataDir, name: PartName, expected: u64) -> Result<()> {
    follow(data, name, |_, dir| {
        let Some(mut reader) = IdentitiesReader::open(&dir)? else {
            let what = format!("is missing, with {expected} entries");
            return if expected == 0 {
                Ok(())
            } else {
                Err(Error::damaged(&dir.join(IDENTITIES_FILE), what))
            };
        };
        let mut entries = 0;
        while reader.next_entry()?.is_some() {
            entries += 1;
        }
        let what = format!("has {entries} entries where its manifest says {expected}");
        if entries == expected {
            Ok(())
        } else {
            Err(Error::damaged(&dir.join(IDENTITIES_FILE), what))
        }
    })
    .map(|_| ())
}

/// The ids of an object: as many as it has lines, from its first to its last.
fn index(view: &mut PartView, object: &SealedObject) -> Result<()> {
    let (mut lines, mut first, mut last) = (0, None, None::<EventId>);
    view.index.reader()?.lines(object.index, |line| {
        lines += 1;
        first.get_or_insert(line.id);
        last = Some(line.id);
        true
    })?;
    if (lines, first, last) == (object.events, Some(object.first), Some(object.last)) {
        Ok(())
    } else {
        let what = format!("does not have the ids of object {}", object.key);
        Err(Error::damaged(&view.dir.join(INDEX_FILE), what))
    }
}

/// The sealed bytes of an object that is not in S3.
fn bytes(
    verify: &mut Verify<'_>,
    view: &PartView,
    number: u32,
    object: &SealedObject,
) -> Result<()> {
    let path = view.dir.join(SEGMENTS_FILE);
    let what = match &view.segments {
        None => Some("is missing"),
        Some(file) => {
            segment::check(file, object, |bytes| verify.done(bytes)).map_err(Error::io(&path))?
        }
    };
    verify.report.checked.objects += 1;
    // Delivered in the meantime, its bytes may have been given back.
    if let Some(what) = what
        && !view.is_delivered_now(verify.data, number)
    {
        verify.damaged(&path, format!("object {}: {what}", object.key), object.events);
    }
    Ok(())
}

/// The journal: no frame is changed. A torn end is what a crash leaves, and no damage, until the
/// part has its receipts.
fn journal(data: &DataDir, name: PartName) -> Result<()> {
    follow(data, name, |shelf, dir| {
        let path = dir.join(DELIVERIES_FILE);
        let Some(end) = end_of_deliveries(&dir)? else { return Ok(()) };
        let length = fs::metadata(&path).map_err(Error::io(&path))?.len();
        let left = length.saturating_sub(end);
        if left == 0 {
            return Ok(());
        }
        let is_torn = is_torn(&path, end)?;
        // A flusher that is writing right now has ended the frame when one looks again.
        let has_grown = fs::metadata(&path).is_ok_and(|metadata| metadata.len() != length)
            || end_of_deliveries(&dir)? != Some(end);
        if (is_torn && shelf != Shelf::Stage(Stage::Receipts)) || has_grown {
            return Ok(());
        }
        Err(Error::damaged(&path, format!("{left} bytes at its end cannot be read")))
    })
    .map(|_| ())
}

/// How many events of the part in `dir` are in objects that are not in S3; `None` where its
/// manifest cannot be read whole.
pub(crate) fn undelivered(dir: &Path) -> Option<u64> {
    let outcomes = read_deliveries(dir).unwrap_or_default();
    let mut manifest = ManifestReader::open(dir).ok()?;
    let mut events = 0;
    while let Some((number, object)) = manifest.next_object().ok()? {
        if !matches!(outcomes.get(&number), Some(Outcome::Delivered(_))) {
            events += object.events;
        }
    }
    Some(events)
}

/// What became of a run in the seal of a part, if it is in it.
pub(crate) fn sealed_run(data: &DataDir, part: PartName, run: RunName) -> Option<SealedRun> {
    let found = follow(data, part, |_, dir| {
        let manifest = ManifestReader::open(&dir)?;
        let number = manifest.head().runs.iter().position(|known| *known == run.run);
        Ok((number, manifest.end()?))
    });
    let (number, end) = found.ok().flatten()?;
    end.runs.into_iter().nth(number?)
}
