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
    let id = EventId::new(UnixMillis::new(1_795_342_517_999), RunId::from_bits(0xab), Seq::new(3));
    SealedObject {
        key: ObjectKey::new(destination.prefix(), head().sealed_at, &identifier),
        destination,
        extents: Extents::one(10, 23),
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
    written_with(objects, None)
}

fn written_with(
    objects: &[SealedObject],
    identities: Option<SealedIdentities>,
) -> (tempfile::TempDir, ManifestEnd) {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = ManifestWriter::create(dir.path(), &head()).unwrap();
    for object in objects {
        writer.write(object).unwrap();
    }
    let run = SealedRun { events: 2, missing: 0, damage: None };
    let end = writer.finish(33, vec![run], identities).unwrap();
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
fn golden_manifest_02() {
    let (dir, _) = written(&[object("a")]);
    let bytes = std::fs::read(dir.path().join(MANIFEST_FILE)).unwrap();
    assert_eq!(Digest::of(&bytes).to_string(), GOLDEN);
}

const GOLDEN: &str = "55589fd691f0a751327c1effd34ee18fa3ca9750e5dda092f92e37327081bbac";

#[test]
fn golden_manifest_02_with_identities() {
    let identities = SealedIdentities { entries: 300, repeats: vec![7] };
    let (dir, end) = written_with(&[object("a")], Some(identities.clone()));
    assert_eq!(end.identities, Some(identities));
    assert_eq!(ManifestReader::open(dir.path()).unwrap().end().unwrap(), end);
    let (plain, _) = written(&[object("a")]);
    let [with, without] =
        [&dir, &plain].map(|dir| std::fs::read(dir.path().join(MANIFEST_FILE)).unwrap());
    let at = without.len() - 12 - 8;
    assert_eq!(with[..at], without[..at]);
    assert_eq!(with[at..at + 4], [6, 0, 0, 0]);
    assert_eq!(with[at + 12..at + 18], [3, 0xfb, 44, 1, 1, 7]);
    assert_eq!(with[at + 18 + 12..], without[at + 12..]);
}

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

#[test]
fn counts_that_do_not_add_up_are_damage() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = ManifestWriter::create(dir.path(), &head()).unwrap();
    for prefix in ["a", "b"] {
        writer
            .frames
            .write(&Frame::Object(Box::new(ObjectFrame::from(&SealedObject {
                events: u64::MAX,
                ..object(prefix)
            }))))
            .unwrap();
    }
    writer.finish(33, Vec::new(), None).unwrap();
    let end = ManifestReader::open(dir.path()).and_then(ManifestReader::end);
    assert!(matches!(end, Err(Error::Damaged { .. })), "{end:?}");
}
