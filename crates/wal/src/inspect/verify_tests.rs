//! What is whole verifies, and a flipped byte anywhere is found.

use std::path::{Path, PathBuf};

use super::fixture::{Fixture, delivered, failure};
use super::{BLOCK_BYTES, VerifyReport};
use crate::{Outcome, Stage};

fn verify(fixture: &Fixture) -> VerifyReport {
    let mut done = 0;
    let report = fixture
        .inspector
        .verify(None, |progress| {
            assert!(progress.done_bytes >= done);
            done = progress.done_bytes;
        })
        .unwrap();
    assert_eq!(report.checked.bytes, done);
    assert_eq!(report.warnings, Vec::<String>::new());
    report
}

/// Flips a byte of a file, calls `look`, and flips it back.
fn flipped<T>(path: &Path, at: usize, look: impl FnOnce() -> T) -> T {
    let whole = std::fs::read(path).unwrap();
    let mut bytes = whole.clone();
    bytes[at] ^= 0x40;
    std::fs::write(path, &bytes).unwrap();
    let seen = look();
    std::fs::write(path, &whole).unwrap();
    seen
}

fn length(path: &Path) -> usize {
    usize::try_from(std::fs::metadata(path).unwrap().len()).unwrap()
}

#[test]
fn what_is_whole_is_not_damaged_in_any_state() {
    let fixture = Fixture::new();
    assert_eq!(verify(&fixture), VerifyReport::default());
    let (minute, _) = fixture.finished(&[("a", "", "1"), ("b", "n", "2")]);
    let (late, _) = fixture.finished(&[("a", "", "1")]);
    let ingest = fixture.ingest();
    fixture.append(&ingest, &[("a", "", "1")]);
    let report = verify(&fixture);
    assert_eq!(report.damaged, []);
    assert_eq!((report.checked.runs, report.checked.events), (3, 4));
    let part = fixture.seal(minute);
    fixture.deliver(late);
    let report = verify(&fixture);
    assert_eq!(report.damaged, []);
    let checked = report.checked;
    assert_eq!((checked.runs, checked.parts, checked.objects, checked.lines), (2, 2, 2, 3));
    fixture.journal(part, &[(0, delivered(1)), (1, Outcome::Parked(failure("403")))]);
    fixture.remove_runs(minute);
    fixture.move_part(part, Stage::Parked);
    let report = verify(&fixture);
    assert_eq!((report.damaged, report.checked.objects), (vec![], 1));
    let only = fixture.inspector.verify(Some(late.start()), |_| ()).unwrap();
    assert_eq!((only.checked.parts, only.checked.runs), (1, 0));
    fixture.close(ingest);
}

#[test]
fn a_flipped_byte_in_any_file_of_a_part_is_found() {
    let fixture = Fixture::new();
    let (minute, _) = fixture.finished(&[("a", "", "1"), ("b", "n", "2"), ("b", "", "3")]);
    let part = fixture.seal(minute);
    fixture.remove_runs(minute);
    fixture
        .journal(part, &[(0, Outcome::Failed(failure("503"))), (1, Outcome::Failed(failure("5")))]);
    for file in ["manifest", "index", "segments"] {
        let path = fixture.part_file(part, file);
        for at in 0..length(&path) {
            let damaged = flipped(&path, at, || verify(&fixture)).damaged;
            assert!(!damaged.is_empty(), "byte {at} of {file}");
            assert!(damaged.iter().all(|damaged| damaged.path == path));
            if file == "segments" {
                assert!(matches!(damaged[0].missing, Some(1 | 2)));
            }
        }
    }
    // The length of the last frame apart: with it the end is as one that a crash has torn.
    let path = fixture.part_file(part, "deliveries");
    for at in (0..8).chain(12..20) {
        assert_eq!(flipped(&path, at, || verify(&fixture)).damaged.len(), 1, "byte {at}");
    }
    let last = length(&path) - 1;
    assert_eq!(flipped(&path, last, || verify(&fixture)).damaged.len(), 1);
    assert_eq!(verify(&fixture).damaged, []);
}

#[test]
fn a_torn_journal_is_damage_only_where_nobody_goes_on_with_it() {
    let fixture = Fixture::new();
    let (minute, _) = fixture.finished(&[("a", "", "1")]);
    let part = fixture.seal(minute);
    fixture.journal(part, &[(0, Outcome::Failed(failure("503"))), (0, delivered(7))]);
    let path = fixture.part_file(part, "deliveries");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
    assert_eq!(verify(&fixture).damaged, []);
    fixture.remove_runs(minute);
    fixture.move_part(part, Stage::Receipts);
    assert_eq!(verify(&fixture).damaged.len(), 1);
}

#[test]
fn what_lies_behind_the_end_is_found() {
    let fixture = Fixture::new();
    let (minute, _) = fixture.finished(&[("a", "", "1"), ("b", "", "2")]);
    let part = fixture.seal(minute);
    fixture.journal(part, &[(0, delivered(1)), (1, delivered(2))]);
    fixture.remove_runs(minute);
    fixture.move_part(part, Stage::Receipts);
    std::fs::remove_file(fixture.part_file(part, "segments")).unwrap();
    assert_eq!(verify(&fixture).damaged, []);
    for file in ["manifest", "index", "deliveries"] {
        let path = fixture.part_file(part, file);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], b"more"].concat()).unwrap();
        let damaged = verify(&fixture).damaged;
        assert_eq!(damaged.len(), 1, "{file}: {damaged:?}");
        assert_eq!((&damaged[0].path, damaged[0].missing), (&path, Some(0)));
        std::fs::write(&path, &whole).unwrap();
    }
}

#[test]
fn receipts_that_are_missing_are_found() {
    let fixture = Fixture::new();
    let (minute, _) = fixture.finished(&[("a", "", "1"), ("b", "", "2")]);
    let part = fixture.seal(minute);
    fixture.journal(part, &[(0, delivered(1))]);
    fixture.remove_runs(minute);
    fixture.move_part(part, Stage::Receipts);
    let path = fixture.part_file(part, "deliveries");
    for _ in 0..2 {
        let damaged = verify(&fixture).damaged;
        assert_eq!(damaged.len(), 1, "{damaged:?}");
        assert_eq!((&damaged[0].path, damaged[0].missing), (&path, Some(0)));
        std::fs::remove_file(&path).unwrap_or_default();
    }
}

#[test]
fn a_manifest_and_a_run_of_another_minute_are_found() {
    let fixture = Fixture::new();
    let parts = ["a", "b"].map(|prefix| {
        let (minute, _) = fixture.finished(&[(prefix, "", "1")]);
        let part = fixture.seal(minute);
        fixture.remove_runs(minute);
        fixture.part_file(part, "manifest")
    });
    let runs = ["c", "d"].map(|prefix| {
        fixture.finished(&[(prefix, "", "1")]);
        fixture.data.run_dir(*fixture.data.runs().unwrap().last().unwrap())
    });
    assert_eq!(verify(&fixture).damaged, []);
    let swap = |one: &Path, other: &Path| {
        let aside = one.with_extension("aside");
        std::fs::rename(one, &aside).unwrap();
        std::fs::rename(other, one).unwrap();
        std::fs::rename(&aside, other).unwrap();
    };
    swap(&parts[0], &parts[1]);
    for name in ["db", "conf"] {
        swap(&runs[0].join(name), &runs[1].join(name));
    }
    for run in &runs {
        for entry in std::fs::read_dir(run).unwrap().map(Result::unwrap) {
            if entry.file_name().to_string_lossy().starts_with("snap.") {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
    }
    let damaged = verify(&fixture).damaged;
    assert_eq!(damaged.len(), 4, "{damaged:?}");
    for path in parts.iter().chain(&runs) {
        assert!(damaged.iter().any(|damaged| damaged.path == *path), "{damaged:?}");
    }
}

#[test]
fn a_flipped_byte_in_a_run_is_found() {
    let fixture = Fixture::new();
    let payload = format!("\"{}\"", "needle ".repeat(400));
    fixture.finished(&[("a", "", &payload), ("b", "", "2")]);
    let run = fixture.data.run_dir(fixture.data.runs().unwrap()[0]);
    let db = run.join("db");
    let bytes = std::fs::read(&db).unwrap();
    let at = bytes.windows(7).position(|window| window == b"needle ").unwrap();
    let damaged = flipped(&db, at + 1000, || verify(&fixture)).damaged;
    assert_eq!(damaged.len(), 1);
    assert_eq!(damaged[0].path, run);
    assert!(damaged[0].missing >= Some(1), "{damaged:?}");
    let closed = run.join("closed");
    for at in 0..length(&closed) {
        assert_eq!(flipped(&closed, at, || verify(&fixture)).damaged.len(), 1, "byte {at}");
    }
    assert_eq!(verify(&fixture).damaged, []);
}

#[test]
fn quarantine_and_missing_files_are_damage() {
    let fixture = Fixture::new();
    let (minute, _) = fixture.finished(&[("a", "", "1"), ("b", "", "2")]);
    let part = fixture.seal(minute);
    let run = fixture.data.runs().unwrap()[0];
    let kept = fixture.data.quarantine_dir().join(run.to_string());
    std::fs::rename(fixture.data.run_dir(run), &kept).unwrap();
    let segments = fixture.part_file(part, "segments");
    std::fs::remove_file(&segments).unwrap();
    fixture.journal(part, &[(0, delivered(1)), (1, Outcome::Quarantined(failure("damaged")))]);
    let paths = |fixture: &Fixture| -> Vec<(PathBuf, Option<u64>)> {
        let damaged = verify(fixture).damaged;
        damaged.into_iter().map(|damaged| (damaged.path, damaged.missing)).collect()
    };
    assert_eq!(paths(&fixture), [(segments, Some(1)), (kept.clone(), Some(0))]);
    fixture.quarantine_part(part);
    let part = fixture.data.quarantine_dir().join(part.to_string());
    assert_eq!(paths(&fixture), [(part, Some(1)), (kept, Some(0))]);
}

/// Puts something that is no file in a file's place, calls `look`, and puts the file back.
fn replaced<T>(path: &Path, with: &str, look: impl FnOnce() -> T) -> T {
    let aside = path.with_extension("aside");
    std::fs::rename(path, &aside).unwrap();
    match with {
        "a link" => std::os::unix::fs::symlink(&aside, path).unwrap(),
        "a directory" => std::fs::create_dir(path).unwrap(),
        _ => {}
    }
    let seen = look();
    std::fs::remove_file(path).or_else(|_| std::fs::remove_dir(path)).unwrap_or_default();
    std::fs::rename(&aside, path).unwrap();
    seen
}

#[test]
fn damage_that_costs_nothing_is_told_with_no_event_missing() {
    let fixture = Fixture::new();
    fixture.finished(&[("a", "", "1"), ("b", "", "2")]);
    let run = fixture.data.run_dir(fixture.data.runs().unwrap()[0]);
    let told = |what: &str| {
        let report = verify(&fixture);
        assert_eq!((report.checked.runs, report.checked.events), (1, 2), "{what}");
        report.damaged
    };
    for (file, ways) in [
        ("lock", &["nothing", "a link", "a directory"][..]),
        ("conf", &["a link", "a directory"]),
        ("closed", &["a link", "a directory"]),
    ] {
        for with in ways {
            let damaged = replaced(&run.join(file), with, || told(file));
            assert_eq!(damaged.len(), 1, "{file}, {with}: {damaged:?}");
            assert_eq!((&damaged[0].path, damaged[0].missing), (&run, Some(0)));
            assert!(damaged[0].what.starts_with(file), "{file}, {with}: {damaged:?}");
        }
    }
    let blobs = run.join("blobs");
    std::fs::remove_dir_all(&blobs).unwrap();
    std::fs::write(&blobs, "").unwrap();
    let half = run.join("snap.0000000000001234.generating");
    std::fs::write(&half, "half of a").unwrap();
    let damaged = replaced(&run.join("lock"), "nothing", || told("blobs"));
    assert_eq!(damaged[0].what, "lock: is missing; blobs is not what was written");
    assert!(half.exists() && blobs.is_file(), "verify writes nothing to the log");
}

#[test]
fn a_writer_whose_lock_is_gone_is_left_alone() {
    let fixture = Fixture::new();
    let ingest = fixture.ingest();
    fixture.append(&ingest, &[("a", "", "1")]);
    let run = fixture.data.run_dir(fixture.data.runs().unwrap()[0]);
    std::fs::remove_file(run.join("lock")).unwrap();
    let report = verify(&fixture);
    assert_eq!((report.damaged, report.checked.events), (vec![], 1));
    fixture.append(&ingest, &[("a", "", "2")]);
    fixture.close(ingest);
    let report = verify(&fixture);
    assert_eq!((report.damaged[0].missing, report.checked.events), (Some(0), 2));
}

#[test]
fn a_journal_that_is_none_costs_only_what_it_told() {
    let fixture = Fixture::new();
    let (minute, _) = fixture.finished(&[("a", "", "1"), ("b", "", "2")]);
    let part = fixture.seal(minute);
    fixture.remove_runs(minute);
    let refused = || Outcome::Parked(failure("403"));
    fixture.journal(part, &[(0, refused()), (1, refused())]);
    fixture.move_part(part, Stage::Parked);
    let path = fixture.part_file(part, "deliveries");
    for with in ["nothing", "a link", "a directory"] {
        let report = replaced(&path, with, || verify(&fixture));
        assert_eq!((report.checked.objects, report.checked.lines), (2, 2), "{with}");
        assert_eq!(report.damaged.len(), 1, "{with}: {:?}", report.damaged);
        assert_eq!((&report.damaged[0].path, report.damaged[0].missing), (&path, Some(0)));
    }
    let whole = std::fs::read(&path).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let damaged = verify(&fixture).damaged;
        assert_eq!(damaged.len(), 1, "cut to {length}: {damaged:?}");
        assert_eq!((&damaged[0].path, damaged[0].missing), (&path, Some(0)));
    }
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(verify(&fixture).damaged, []);
}

#[test]
fn how_much_a_torn_manifest_loses_is_unknown() {
    let fixture = Fixture::new();
    let (minute, _) = fixture.finished(&[("a", "", "1"), ("b", "", "2")]);
    let part = fixture.seal(minute);
    fixture.remove_runs(minute);
    let path = fixture.part_file(part, "manifest");
    let whole = std::fs::read(&path).unwrap();
    let missing = || -> Vec<Option<u64>> {
        verify(&fixture).damaged.into_iter().map(|damaged| damaged.missing).collect()
    };
    for length in [10, whole.len() / 2, whole.len() - 3] {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(missing(), [None], "{length}");
    }
    fixture.quarantine_part(part);
    assert_eq!(missing(), [None]);
}

#[test]
fn an_object_is_checked_block_by_block() {
    let fixture = Fixture::new();
    let (minute, _) = fixture.finished(&[("a", "", "1")]);
    let part = fixture.seal(minute);
    let dir = fixture.part_file(part, "");
    let mut object = crate::ManifestReader::open(&dir).unwrap().next_object().unwrap().unwrap().1;
    let (path, mut bytes) = (dir.join("large"), vec![7; usize::try_from(BLOCK_BYTES).unwrap() + 9]);
    bytes[3] = 1;
    std::fs::write(&path, &bytes).unwrap();
    object.extents = model::Extents::one(0, bytes.len() as u64);
    object.crc32 = crc32fast::hash(&bytes);
    let check = |object: &crate::SealedObject| {
        let file = std::fs::File::open(&path).unwrap();
        super::segment::check(&file, object, |_| ()).unwrap()
    };
    let blocks = |size: u64| -> Vec<u32> {
        bytes.chunks(usize::try_from(size).unwrap()).map(crc32fast::hash).collect()
    };
    object.block_crc32 = blocks(BLOCK_BYTES);
    assert_eq!(check(&object), Some("the sealed bytes are not gzip"));
    object.block_crc32 = blocks(BLOCK_BYTES / 2);
    assert_eq!(check(&object), Some("the sealed bytes do not match their checksums"));
}
