//! Files of frames: each kind from frames with any bodies, whose checksums are right, and from
//! bytes that were changed after they were written.

use std::fs;
use std::path::Path;

use model::{Interval, Minute, RunId, UnixMillis};
use tempfile::TempDir;

use crate::closing::{self, Closed};
use crate::deliveries::{
    self, DeliveryJournal, Failure, Outcome, end_of_deliveries, read_deliveries,
};
use crate::error::{Error, Result};
use crate::frame::{FileKind, FramePosition, frame_checksum};
use crate::fuzzing::{take, take_byte, take_index};
use crate::identities::{self, HeldEvents, IdentitiesReader, IdentitiesWriter};
use crate::index::{self, IndexReader, IndexedLine};
use crate::layout::{
    CLOSED_FILE, DELIVERIES_FILE, IDENTITIES_FILE, INDEX_FILE, MANIFEST_FILE, PartName,
};
use crate::manifest::{
    self, IndexPosition, ManifestEnd, ManifestHead, ManifestReader, ManifestWriter, SealedObject,
};

/// So many lines of an index are looked at: a few bytes can stand for 2^32.
const MAX_LINES: usize = 200;

/// The directory that files are read in: some are nobody's but its own.
const PART: &str = "part";

/// An input as a file of frames.
struct Input {
    file: Vec<u8>,
    /// Where the file is changed, and by what.
    at: usize,
    flip: u8,
}

impl Input {
    /// A file of `owner`'s; of nobody's where that is empty.
    fn of(kind: FileKind, owner: &str, mut data: &[u8]) -> Self {
        let at = take_index(&mut data, 1 << 16);
        let flip = take_byte(&mut data).max(1);
        let mut file = kind.0.to_vec();
        let mut number: u64 = 0;
        while !data.is_empty() {
            let length = usize::from(take_byte(&mut data));
            let body = take(&mut data, length);
            let length = u32::try_from(body.len()).expect("it was a byte");
            file.extend(length.to_le_bytes());
            file.extend(frame_checksum(kind, owner.as_bytes(), number, body));
            file.extend(body);
            number += 1;
        }
        Self { file, at, flip }
    }

    /// The file with a byte changed among its first `length`.
    fn changed(&self, length: usize) -> Vec<u8> {
        let mut file = self.file.clone();
        let at = self.at % length;
        *file.get_mut(at).expect("it is below the length") ^= self.flip;
        file
    }
}

/// Runs `work` in an empty directory, in memory where the machine has one there.
pub(super) fn in_directory<T>(work: impl FnOnce(&Path) -> T) -> T {
    let dir = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new());
    let dir = dir.expect("there is a temporary directory");
    work(dir.path())
}

fn with_file<T>(name: &str, bytes: &[u8], read: impl FnOnce(&Path) -> T) -> T {
    in_directory(|dir| {
        let dir = dir.join(PART);
        fs::create_dir(&dir).expect("its name is free");
        fs::write(dir.join(name), bytes).expect("the file system takes it");
        read(&dir)
    })
}

/// Whatever is wrong with a file is damage, and no error of the disk.
fn sound<T>(read: Result<T>) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err(Error::Damaged { .. }) => None,
        Err(other) => panic!("{other}"),
    }
}

/// A closing record that is accepted is written as something that is read as the same; a changed
/// byte is noticed.
pub fn closed(data: &[u8]) {
    let input = Input::of(closing::KIND, "", data);
    let read =
        |bytes: &[u8]| with_file(CLOSED_FILE, bytes, |dir| sound(Closed::read(dir)).flatten());
    let Some(record) = read(&input.file) else { return };
    let written = in_directory(|dir| {
        record.write(dir).expect("the file system takes it");
        fs::read(dir.join(CLOSED_FILE)).expect("it was just written")
    });
    assert_eq!(read(&written), Some(record));
    assert_eq!(read(&input.changed(input.file.len())), None);
}

/// A manifest that is accepted is written as something that is read as the same; a changed byte is
/// noticed.
pub fn manifest(data: &[u8]) {
    let input = Input::of(manifest::KIND, "", data);
    let Some((head, objects, end)) = with_file(MANIFEST_FILE, &input.file, whole_manifest) else {
        return;
    };
    assert_eq!(u32::try_from(objects.len()), Ok(end.objects));
    let again = in_directory(|dir| {
        let mut writer = ManifestWriter::create(dir, &head).expect("the directory is empty");
        for object in &objects {
            writer.write(object).expect("the file system takes it");
        }
        let ended = writer.finish(end.segments_bytes, end.runs.clone(), end.identities.clone());
        ended.expect("the file system takes it");
        whole_manifest(dir)
    });
    assert_eq!(again, Some((head, objects, end)));
    let length = manifest_length(&input.file);
    assert_eq!(with_file(MANIFEST_FILE, &input.changed(length), whole_manifest), None);
}

fn whole_manifest(dir: &Path) -> Option<(ManifestHead, Vec<SealedObject>, ManifestEnd)> {
    let mut reader = sound(ManifestReader::open(dir))?;
    let head = reader.head().clone();
    let mut objects = Vec::new();
    while let Some((number, object)) = sound(reader.next_object())? {
        assert_eq!(usize::try_from(number), Ok(objects.len()));
        objects.push(object);
    }
    Some((head, objects, sound(reader.end())?))
}

/// Up to the end of the first end: what follows it is not looked at.
fn manifest_length(file: &[u8]) -> usize {
    const END: u8 = 2;
    let mut at = 8;
    while let Some(length) = file.get(at) {
        let is_end = file.get(at + 12) == Some(&END);
        at += 12 + usize::from(*length);
        if is_end {
            break;
        }
    }
    at
}

fn head() -> ManifestHead {
    let time = UnixMillis::new(1_795_342_517_999);
    let minute = Minute::containing(time, Interval::default());
    let runs = vec![RunId::from_bits(0xab), RunId::from_bits(0xcd)];
    ManifestHead { name: PartName { minute, part: 0 }, sealed_at: time, runs }
}

/// The lines that an index tells are numbered without a gap, and found by their ids; a changed byte is noticed by whoever reads as
/// far.
pub fn index(data: &[u8]) {
    let input = Input::of(index::KIND, "", data);
    let first = IndexPosition(FramePosition { offset: 8, number: 0 });
    let read = |dir: &Path| {
        let mut reader = sound(IndexReader::open(dir, &head()))?;
        let mut lines: Vec<IndexedLine> = Vec::new();
        let each = |line| {
            lines.push(line);
            lines.len() < MAX_LINES
        };
        let whole = sound(reader.lines(first, each)).is_some();
        for (number, line) in (1..).zip(&lines) {
            assert_eq!(line.line, number, "lines are told one after the other");
        }
        for line in lines.iter().step_by(17) {
            // One id on several lines is the writer's to rule out.
            let found = sound(reader.find(first, line.id)).flatten();
            assert_eq!(found.map(|found| found.id), Some(line.id));
        }
        Some((lines, whole))
    };
    let Some((lines, whole)) = with_file(INDEX_FILE, &input.file, read) else { return };
    let changed = input.changed(input.file.len());
    if let Some((of_changed, still_whole)) = with_file(INDEX_FILE, &changed, read) {
        let same = lines.starts_with(&of_changed);
        assert!(same, "a changed byte made {of_changed:?} of {lines:?}");
        assert!(whole || !still_whole, "a changed byte made a damaged index whole");
    }
}

/// Identities that are accepted are written as something that is read as the same; a changed byte is
/// noticed by whoever reads as far.
pub fn identities(data: &[u8]) {
    let input = Input::of(identities::KIND, "", data);
    let read = |bytes: &[u8]| with_file(IDENTITIES_FILE, bytes, all_identities);
    let (entries, whole) = read(&input.file);
    let (of_changed, still_whole) = read(&input.changed(input.file.len()));
    assert!(entries.starts_with(&of_changed), "a changed byte made {of_changed:?} of {entries:?}");
    assert!(whole || !still_whole, "a changed byte made damaged identities whole");
    if !whole {
        return;
    }
    let again = in_directory(|dir| {
        let mut writer = IdentitiesWriter::create(dir).expect("the directory is empty");
        for entry in &entries {
            writer.push(entry).expect("the file system takes it");
        }
        assert_eq!(writer.finish().expect("the file system takes it"), entries.len() as u64);
        all_identities(dir)
    });
    assert_eq!(again, (entries, true));
}

/// The entries up to the first damage, and whether there was none.
fn all_identities(dir: &Path) -> (Vec<HeldEvents>, bool) {
    let mut entries = Vec::new();
    let Some(reader) = sound(IdentitiesReader::open(dir)) else { return (entries, false) };
    let mut reader = reader.expect("the file is there");
    loop {
        match sound(reader.next_entry()) {
            Some(Some(entry)) => entries.push(entry),
            Some(None) => return (entries, true),
            None => return (entries, false),
        }
    }
}

/// A journal is read up to its last whole frame, and goes on there; a changed byte is noticed.
pub fn deliveries(data: &[u8]) {
    const OBJECT: u32 = 7;
    let input = Input::of(deliveries::KIND, PART, data);
    let (before, end) = with_file(DELIVERIES_FILE, &input.file, |dir| {
        let before = sound(read_deliveries(dir)).expect("a torn journal is read up to its end");
        let end = end_of_deliveries(dir).expect("it is readable");
        let mut journal = DeliveryJournal::open(dir).expect("it is writable");
        let length = fs::metadata(dir.join(DELIVERIES_FILE)).expect("it is there").len();
        assert_eq!(Some(length), end, "what is torn is cut off, and nothing else");
        assert_eq!(sound(read_deliveries(dir)).as_ref(), Some(&before));
        let was_settled = journal.is_settled(OBJECT);
        let outcome = Outcome::Quarantined(Failure { at_ms: 1, error: "e".to_owned() });
        let appended = journal.append(OBJECT, &outcome).expect("it is writable");
        assert_ne!(appended, was_settled, "an object is settled once");
        journal.sync().expect("it is writable");
        let after = sound(read_deliveries(dir)).expect("it was just written");
        assert!(was_settled || after.get(&OBJECT) == Some(&outcome));
        let again = DeliveryJournal::open(dir).expect("it is writable");
        assert_eq!((again.settled(), again.parked()), (journal.settled(), journal.parked()));
        (before, end)
    });
    let length = end.and_then(|end| usize::try_from(end).ok()).unwrap_or(8);
    let changed = with_file(DELIVERIES_FILE, &input.changed(length), |dir| {
        sound(end_of_deliveries(dir)).flatten()
    });
    assert!(changed < end, "a changed byte went unnoticed among {before:?}");
}
