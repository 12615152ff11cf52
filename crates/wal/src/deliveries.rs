//! The journal of a part's deliveries: a receipt for each object that S3 has confirmed, and why
//! the others wait.
//!
//! It is appended to. A crash can leave a torn frame at its end, which the next flusher cuts off:
//! what was not synced is tried again, and S3 answers that the object is there already. So does damage
//! cost nothing: a copy of the damaged journal is kept beside it, and what it said is found out anew.
//!
//! The journal of another part would say that objects are in S3 which are not: the checksums of its
//! frames cover the name of the part.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::durable;
use crate::error::{Error, Result};
use crate::frame::{FileKind, FramePosition, FrameReader, FrameWriter};
use crate::layout::DELIVERIES_FILE;
use crate::regular::{is_there, open_file};

pub(crate) const KIND: FileKind = FileKind(*b"MLdeli01");

/// A frame's length and checksum.
const FRAME_HEAD_BYTES: u64 = 12;

/// Proof that S3 holds an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// When S3 confirmed it, in milliseconds since the epoch.
    pub at_ms: u64,
    /// The `ETag` that S3 gave, if it told one.
    pub etag: Option<String>,
    /// The checksum of the object, as `crc32:<base64>`. S3 has verified it unless `s3.checksums` is
    /// switched off.
    pub checksum: String,
    /// Whether S3 said that it was there already: an answer had been lost.
    pub already_there: bool,
}

/// Why an object is not in S3 yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When it was last tried, in milliseconds since the epoch.
    pub at_ms: u64,
    /// What S3 said, and what to do.
    pub error: String,
}

/// The last word on an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// In S3.
    Delivered(Receipt),
    /// Tried again soon.
    Failed(Failure),
    /// Refused for a reason that only a person can mend; tried again slowly.
    Parked(Failure),
    /// Its sealed bytes are damaged: kept, never sent.
    Quarantined(Failure),
}

impl Outcome {
    /// Whether nothing more is to be done for the object.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Delivered(_) | Self::Quarantined(_))
    }
}

/// Reads the last word on each object of the part in `dir`, as far as there is one.
pub fn read_deliveries(dir: &Path) -> Result<BTreeMap<u32, Outcome>> {
    let mut last = BTreeMap::new();
    scan(dir, |object, outcome| {
        last.insert(object, outcome);
    })?;
    Ok(last)
}

/// Calls `each` with every word on an object of the part in `dir`, the last one last; keeps none.
pub fn each_delivery(dir: &Path, each: impl FnMut(u32, Outcome)) -> Result<()> {
    scan(dir, each).map(drop)
}

/// Where the whole frames of the journal of the part in `dir` end, in bytes; `None` where there is
/// no journal.
pub(crate) fn end_of_deliveries(dir: &Path) -> Result<Option<u64>> {
    Ok(scan(dir, |_, _| {})?.map(|end| end.offset))
}

/// Whether what follows the whole frames, which end at `end`, is what a crash in mid-write leaves:
/// the beginning of a frame and no more.
pub(crate) fn is_torn(path: &Path, end: u64) -> Result<bool> {
    let mut file = open_file(path)?;
    let left = file.metadata().map_err(Error::io(path))?.len().saturating_sub(end);
    let mut length = [0; 4];
    file.seek(SeekFrom::Start(end))
        .and_then(|_| file.read(&mut length))
        .map_err(Error::io(path))?;
    let body = u64::from(u32::from_le_bytes(length));
    Ok(left < FRAME_HEAD_BYTES || left - FRAME_HEAD_BYTES < body)
}

/// Whose journal the one in `dir` is.
fn owner(dir: &Path) -> &str {
    dir.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// Reads what is whole; returns where a writer goes on, `None` where there is no file.
fn scan(dir: &Path, mut each: impl FnMut(u32, Outcome)) -> Result<Option<FramePosition>> {
    let path = &dir.join(DELIVERIES_FILE);
    let mut frames = match FrameReader::open(path, KIND) {
        Ok(frames) => frames.of(owner(dir)),
        Err(error) if error.is_not_found() => return Ok(None),
        Err(Error::Damaged { .. }) if shorter_than_its_kind(path) => return Ok(None),
        Err(error) => return Err(error),
    };
    loop {
        match frames.read::<(u32, Outcome)>() {
            Ok(Some((object, outcome))) => each(object, outcome),
            Ok(None) | Err(Error::Damaged { .. }) => return Ok(Some(frames.position())),
            Err(error) => return Err(error),
        }
    }
}

fn shorter_than_its_kind(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() < 8)
}

/// Keeps a journal that is not what was written, whole, under another name.
fn keep_damage(dir: &Path, path: &Path) -> Result<()> {
    let is_whole = match scan(dir, |_, _| {}) {
        Ok(Some(end)) => is_torn(path, end.offset)?,
        Ok(None) => true,
        Err(Error::Damaged { .. }) => false,
        Err(error) => return Err(error),
    };
    if is_whole {
        return Ok(());
    }
    let kept = (0_u32..).map(|number| path.with_extension(format!("damaged.{number}")));
    let kept = kept.into_iter().find(|kept| !is_there(kept)).unwrap_or_default();
    tracing::error!(path = %path.display(), kept = %kept.display(), "a damaged journal: begun anew");
    if scan(dir, |_, _| {}).is_err() {
        return durable::rename(path, &kept);
    }
    fs::copy(path, &kept).map_err(Error::io(&kept))?;
    durable::sync_file(&kept)?;
    durable::sync_dir(dir)
}

/// Appends to the journal of one part.
#[derive(Debug)]
pub struct DeliveryJournal {
    path: PathBuf,
    frames: FrameWriter<File>,
    settled: Bits,
    /// The last word on each object that is not settled.
    last: BTreeMap<u32, Word>,
}

/// What was said of an object: enough to tell whether something else is said now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    is_parked: bool,
    error: u64,
}

impl Word {
    /// `None` for what is settled.
    fn of(outcome: &Outcome) -> Option<Self> {
        let (failure, is_parked) = match outcome {
            Outcome::Failed(failure) => (failure, false),
            Outcome::Parked(failure) => (failure, true),
            Outcome::Delivered(_) | Outcome::Quarantined(_) => return None,
        };
        let mut hasher = DefaultHasher::new();
        failure.error.hash(&mut hasher);
        Some(Self { is_parked, error: hasher.finish() })
    }
}

impl DeliveryJournal {
    /// Opens the journal of the part in `dir`; makes it, or cuts a torn end off. Of a damaged one a
    /// copy is kept.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(DELIVERIES_FILE);
        if is_there(dir) && (dir.is_symlink() || !dir.is_dir()) {
            return Err(Error::damaged(dir, "is no directory"));
        }
        keep_damage(dir, &path)?;
        let mut settled = Bits::default();
        let mut last = BTreeMap::new();
        let position = scan(dir, |object, outcome| {
            if let Some(word) = Word::of(&outcome) {
                last.insert(object, word);
            } else {
                settled.set(object);
                last.remove(&object);
            }
        })?;
        let open = || {
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(durable::FILE_MODE)
                .open(&path)?;
            file.set_len(position.map_or(0, |position| position.offset))?;
            file.seek(SeekFrom::End(0))?;
            let frames = match position {
                Some(position) => FrameWriter::resume(file, KIND, position),
                None => FrameWriter::begin(file, KIND)?,
            };
            Ok(frames.of(owner(dir)))
        };
        let mut frames = open().map_err(Error::io(&path))?;
        frames.inner_mut().sync_all().map_err(Error::io(&path))?;
        durable::sync_dir(dir)?;
        Ok(Self { path, frames, settled, last })
    }

    /// Whether nothing more is to be done for an object.
    pub fn is_settled(&self, object: u32) -> bool {
        self.settled.get(object)
    }

    /// The objects that are settled now.
    pub fn settled_objects(&self) -> SettledObjects {
        SettledObjects(self.settled.clone())
    }

    /// How many objects are settled.
    pub fn settled(&self) -> u32 {
        self.settled.count
    }

    /// Appends the last word on an object; says whether it did. A word that changes nothing is not
    /// written again.
    pub fn append(&mut self, object: u32, outcome: &Outcome) -> Result<bool> {
        let word = Word::of(outcome);
        let is_known = word.is_some() && self.last.get(&object) == word.as_ref();
        if self.is_settled(object) || is_known {
            return Ok(false);
        }
        self.frames.write(&(object, outcome)).map_err(Error::io(&self.path))?;
        if let Some(word) = word {
            self.last.insert(object, word);
        } else {
            self.settled.set(object);
            self.last.remove(&object);
        }
        Ok(true)
    }

    /// Makes durable what was appended: receipts are worth something only after it.
    pub fn sync(&mut self) -> Result<()> {
        let file = self.frames.inner_mut();
        file.flush().and_then(|()| file.sync_data()).map_err(Error::io(&self.path))
    }

    /// How many objects wait for a person.
    pub fn parked(&self) -> usize {
        self.last.values().filter(|word| word.is_parked).count()
    }
}

/// Objects for which nothing more was to be done at a moment.
#[derive(Clone, Debug)]
pub struct SettledObjects(Bits);

impl SettledObjects {
    /// Whether an object is one of them.
    pub fn contains(&self, object: u32) -> bool {
        self.0.get(object)
    }

    /// Adds an object that was settled since.
    pub fn insert(&mut self, object: u32) {
        self.0.set(object);
    }
}

/// One bit an object.
#[derive(Clone, Debug, Default)]
struct Bits {
    words: Vec<u64>,
    count: u32,
}

impl Bits {
    fn place(object: u32) -> (usize, u64) {
        (usize::try_from(object / 64).unwrap_or(usize::MAX), 1 << (object % 64))
    }

    fn get(&self, object: u32) -> bool {
        let (word, bit) = Self::place(object);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    fn set(&mut self, object: u32) {
        let (word, bit) = Self::place(object);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        if let Some(word) = self.words.get_mut(word)
            && *word & bit == 0
        {
            *word |= bit;
            self.count += 1;
        }
    }
}

#[cfg(test)]
mod tests;
