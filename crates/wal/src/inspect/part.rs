//! Opening a sealed part, wherever it has moved to.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::deliveries::{Outcome, read_deliveries};
use crate::error::{Error, Result};
use crate::index::IndexReader;
use crate::inspect::row::DeliveryState;
use crate::layout::{DataDir, INDEX_FILE, MANIFEST_FILE, PartName, SEGMENTS_FILE, Stage};
use crate::manifest::ManifestReader;
use crate::regular::{is_there, open_file};

/// How often a part that has just moved is looked for again.
const ATTEMPTS: u32 = 8;
const PAUSE: Duration = Duration::from_millis(10);

/// Where a part lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shelf {
    /// On its way, waiting, or delivered.
    Stage(Stage),
    /// Damaged.
    Quarantine,
}

/// A part, open: what was opened stays readable when the part moves on.
#[derive(Debug)]
pub(crate) struct PartView {
    pub(crate) shelf: Shelf,
    pub(crate) name: PartName,
    pub(crate) dir: PathBuf,
    /// The sealed bytes; they go when all objects are in S3.
    pub(crate) segments: Option<File>,
    pub(crate) manifest: ManifestReader,
    /// The index, or what is wrong with it.
    pub(crate) index: PartIndex,
    /// What the journal tells; nothing where it cannot be read.
    pub(crate) outcomes: BTreeMap<u32, Outcome>,
}

/// The index of a part, or what is wrong with it: that costs no event.
#[derive(Debug)]
pub(crate) struct PartIndex(Result<IndexReader, Box<Error>>);

impl PartIndex {
    /// The index, if it can be read.
    pub(crate) fn reader(&mut self) -> Result<&mut IndexReader> {
        self.0.as_mut().map_err(|error| match &**error {
            Error::Damaged { path, what } => Error::damaged(path, what.clone()),
            error => Error::damaged(Path::new(INDEX_FILE), error.to_string()),
        })
    }
}

impl PartView {
    /// Opens a part; `None` where it is nowhere any more.
    pub(crate) fn open(data: &DataDir, name: PartName) -> Result<Option<Self>> {
        Self::open_with(data, name, read_deliveries)
    }

    /// The same, also where its journal is damaged: that costs no event, and the part is read as one
    /// of which nothing is known.
    pub(crate) fn open_whatever_journal(data: &DataDir, name: PartName) -> Result<Option<Self>> {
        Self::open_with(data, name, |dir| match read_deliveries(dir) {
            Err(Error::Damaged { .. }) => Ok(BTreeMap::new()),
            outcomes => outcomes,
        })
    }

    fn open_with(
        data: &DataDir,
        name: PartName,
        read_journal: impl Fn(&Path) -> Result<BTreeMap<u32, Outcome>>,
    ) -> Result<Option<Self>> {
        follow(data, name, |shelf, dir| {
            let manifest = ManifestReader::open(&dir)?;
            let index = PartIndex(match IndexReader::open(&dir, manifest.head()) {
                // Nobody moves the manifest away from it.
                Err(error) if error.is_not_found() && dir.join(MANIFEST_FILE).exists() => {
                    Err(Box::new(Error::damaged(&dir.join(INDEX_FILE), "is missing")))
                }
                Err(error @ Error::Damaged { .. }) => Err(Box::new(error)),
                index => Ok(index?),
            });
            // Before the journal: what it calls delivered may be gone, and nothing else.
            let segments = open_segments(&dir)?;
            let outcomes = read_journal(&dir)?;
            Ok(Self { shelf, name, dir, segments, manifest, index, outcomes })
        })
    }

    /// Whether an object is in S3, or was when the part was opened.
    pub(crate) fn is_delivered(&self, object: u32) -> bool {
        self.state_of(object).0 == DeliveryState::Delivered
    }

    /// Whether there is a receipt for an object.
    pub(crate) fn has_receipt(&self, object: u32) -> bool {
        matches!(self.outcomes.get(&object), Some(Outcome::Delivered(_)))
    }

    /// Whether an object is in S3 by now.
    pub(crate) fn is_delivered_now(&self, data: &DataDir, object: u32) -> bool {
        let outcome = follow(data, self.name, |_, dir| Ok(read_deliveries(&dir)?.remove(&object)));
        matches!(outcome, Ok(Some(Some(Outcome::Delivered(_)))))
    }

    /// How far an object has come, and what its last error was.
    pub(crate) fn state_of(&self, object: u32) -> (DeliveryState, Option<&str>) {
        state(self.shelf, self.outcomes.get(&object))
    }
}

/// Opens the sealed bytes; `None` where they are gone from a part that is still there.
fn open_segments(dir: &Path) -> Result<Option<File>> {
    let path = dir.join(SEGMENTS_FILE);
    match open_file(&path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.is_not_found() && dir.exists() => Ok(None),
        // What is no file holds no bytes either.
        Err(Error::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Calls `open` with the directory of a part, and again where the part has moved in between.
pub(crate) fn follow<T>(
    data: &DataDir,
    name: PartName,
    mut open: impl FnMut(Shelf, PathBuf) -> Result<T>,
) -> Result<Option<T>> {
    let mut last = None;
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            thread::sleep(PAUSE);
        }
        let Some((shelf, dir)) = locate(data, name) else {
            last = None;
            continue;
        };
        match open(shelf, dir) {
            Err(error) if error.is_not_found() => last = Some(error),
            other => return other.map(Some),
        }
    }
    match last {
        // The directory stays where it is, and a file in it is missing.
        Some(Error::Io { path, .. }) => Err(Error::damaged(&path, "is missing")),
        _ => Ok(None),
    }
}

fn locate(data: &DataDir, name: PartName) -> Option<(Shelf, PathBuf)> {
    if let Some(stage) = data.find_part(name) {
        return Some((Shelf::Stage(stage), data.part_dir(stage, name)));
    }
    let dir = data.quarantine_dir().join(name.to_string());
    is_there(&dir).then_some((Shelf::Quarantine, dir))
}

/// How far an object has come by the last word on it, and its last error.
pub(crate) fn state(shelf: Shelf, outcome: Option<&Outcome>) -> (DeliveryState, Option<&str>) {
    match outcome {
        Some(Outcome::Delivered(_)) => (DeliveryState::Delivered, None),
        Some(Outcome::Quarantined(why)) => (DeliveryState::Quarantined, Some(&why.error)),
        Some(Outcome::Parked(why)) if shelf != Shelf::Quarantine => {
            (DeliveryState::Parked, Some(&why.error))
        }
        waiting => {
            let error = match waiting {
                Some(Outcome::Failed(why) | Outcome::Parked(why)) => Some(&*why.error),
                _ => None,
            };
            match shelf {
                Shelf::Stage(Stage::Sealed | Stage::Parked) => (DeliveryState::Sealed, error),
                // Only a part of which everything is settled moves there.
                Shelf::Stage(Stage::Receipts) => (DeliveryState::Delivered, None),
                Shelf::Quarantine => (DeliveryState::Quarantined, error),
            }
        }
    }
}
