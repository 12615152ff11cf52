//! What a journal keeps across torn ends, damage and the move of its part.

use super::*;

fn delivered() -> Outcome {
    let etag = Some("\"e\"".to_owned());
    let checksum = "crc32:AAAAAA==".to_owned();
    Outcome::Delivered(Receipt { at_ms: 5, etag, checksum, already_there: false })
}

fn failure() -> Failure {
    Failure { at_ms: 4, error: "bucket b: 503".to_owned() }
}

#[test]
fn golden_deliveries_01() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = DeliveryJournal::open(dir.path()).unwrap();
    journal.append(300, &delivered()).unwrap();
    journal.sync().unwrap();
    let bytes = std::fs::read(dir.path().join(DELIVERIES_FILE)).unwrap();
    assert_eq!(bytes[..12], *b"MLdeli01\x1a\0\0\0");
    assert_eq!(bytes[20..], *b"\xfb\x2c\x01\x00\x05\x01\x03\"e\"\x0ecrc32:AAAAAA==\x00");
}

#[test]
fn a_torn_end_is_cut_off_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DELIVERIES_FILE);
    let mut journal = DeliveryJournal::open(dir.path()).unwrap();
    journal.append(0, &delivered()).unwrap();
    let whole = std::fs::metadata(&path).unwrap().len();
    journal.append(1, &delivered()).unwrap();
    drop(journal);
    let bytes = std::fs::read(&path).unwrap();
    for length in 0..bytes.len() {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let mut journal = DeliveryJournal::open(dir.path()).unwrap();
        let first_is_whole = length as u64 >= whole;
        assert_eq!(journal.is_settled(0), first_is_whole, "{length}");
        assert!(!journal.is_settled(1));
        journal.append(2, &delivered()).unwrap();
        let settled: Vec<u32> = read_deliveries(dir.path()).unwrap().into_keys().collect();
        assert_eq!(settled, if first_is_whole { vec![0, 2] } else { vec![2] });
    }
}

#[test]
fn the_journal_of_another_part_says_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let part = |name: &str| dir.path().join(name);
    for name in ["one", "other"] {
        fs::create_dir(part(name)).unwrap();
        DeliveryJournal::open(&part(name)).unwrap();
    }
    DeliveryJournal::open(&part("one")).unwrap().append(0, &delivered()).unwrap();
    let journal = part("one").join(DELIVERIES_FILE);
    fs::copy(&journal, part("other").join(DELIVERIES_FILE)).unwrap();
    assert_eq!(read_deliveries(&part("one")).unwrap().len(), 1);
    assert_eq!(read_deliveries(&part("other")).unwrap().len(), 0);
    assert!(!DeliveryJournal::open(&part("other")).unwrap().is_settled(0));
    // A part that moves on keeps its name.
    fs::create_dir(part("receipts")).unwrap();
    fs::rename(part("one"), part("receipts").join("one")).unwrap();
    assert_eq!(read_deliveries(&part("receipts").join("one")).unwrap().len(), 1);
}

#[test]
fn a_damaged_journal_is_kept_and_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DELIVERIES_FILE);
    let mut journal = DeliveryJournal::open(dir.path()).unwrap();
    for object in 0..3 {
        journal.append(object, &delivered()).unwrap();
    }
    drop(journal);
    let whole = fs::read(&path).unwrap();
    let frame = (whole.len() - 8) / 3;
    for (kept, at) in [0, 8 + 4, 8 + frame + 4, whole.len() - 1].into_iter().enumerate() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&path, &damaged).unwrap();
        let journal = DeliveryJournal::open(dir.path()).unwrap();
        let settled = u32::try_from(at.saturating_sub(8) / frame).unwrap();
        assert_eq!(journal.settled(), settled, "byte {at}");
        let kept = path.with_extension(format!("damaged.{kept}"));
        assert_eq!(fs::read(kept).unwrap(), damaged);
    }
}

#[test]
fn a_word_that_changes_nothing_is_not_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = DeliveryJournal::open(dir.path()).unwrap();
    let length = || std::fs::metadata(dir.path().join(DELIVERIES_FILE)).unwrap().len();
    journal.append(7, &Outcome::Failed(failure())).unwrap();
    let after_one = length();
    journal.append(7, &Outcome::Failed(Failure { at_ms: 9, ..failure() })).unwrap();
    assert_eq!(length(), after_one);
    journal.append(7, &Outcome::Parked(failure())).unwrap();
    assert_eq!((journal.parked(), journal.settled()), (1, 0));
    journal.append(7, &delivered()).unwrap();
    journal.append(7, &Outcome::Failed(failure())).unwrap();
    assert_eq!((journal.parked(), journal.settled()), (0, 1));
    assert_eq!(read_deliveries(dir.path()).unwrap(), BTreeMap::from([(7, delivered())]));
}
