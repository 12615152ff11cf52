//! Minutes, their events, and receipts, in every state.

use model::{Bucket, Prefix, UnixMillis};

use super::fixture::{Fixture, delivered, failure};
use super::{Destinations, MinuteRow, MinuteState, ReceiptQuery, ShowQuery};
use crate::{Outcome, Stage};

fn minutes(fixture: &Fixture) -> Vec<MinuteRow> {
    use model::Clock;
    let found = fixture.inspector.minutes(fixture.clock.now()).unwrap();
    assert_eq!(found.warnings, Vec::<String>::new());
    found.rows
}

/// The one row there is, without its bytes, which are counted.
fn only(fixture: &Fixture) -> (MinuteState, u64, u64, u64, u64, Option<String>) {
    let mut rows = minutes(fixture);
    assert_eq!(rows.len(), 1);
    let row = rows.remove(0);
    assert!(row.bytes > 0);
    assert!(row.age_seconds < 120);
    (row.state, row.runs, row.destinations, row.events, row.delivered, row.error)
}

fn shown(fixture: &Fixture, query: &ShowQuery) -> (Vec<String>, Vec<String>) {
    let mut lines = Vec::new();
    let shown = fixture
        .inspector
        .show(query, |event| {
            let payload = String::from_utf8_lossy(event.payload).into_owned();
            let name = event.event.map(|name| format!("{name}:")).unwrap_or_default();
            lines.push(format!("{}{name}{payload}", event.destination));
            true
        })
        .unwrap();
    assert_eq!(shown.events, lines.len() as u64);
    let damaged = shown.damaged.into_iter().map(|damaged| damaged.what);
    (lines, shown.warnings.into_iter().chain(damaged).collect())
}

fn query(time: UnixMillis) -> ShowQuery {
    ShowQuery { time, destinations: Destinations::default(), limit: None }
}

#[test]
fn a_minute_has_one_row_in_each_state_of_its_life() {
    let fixture = Fixture::new();
    assert_eq!(minutes(&fixture), []);
    let ingest = fixture.ingest();
    fixture.append(&ingest, &[("a", "", "1"), ("b", "", "2"), ("a", "", "3")]);
    let minute = fixture.minute();
    assert_eq!(only(&fixture), (MinuteState::Open, 1, 2, 3, 0, None));
    fixture.close(ingest);
    assert_eq!(only(&fixture), (MinuteState::Finished, 1, 2, 3, 0, None));
    let run = fixture.data.run_dir(fixture.data.runs().unwrap()[0]);
    std::fs::remove_file(run.join("closed")).unwrap();
    assert_eq!(only(&fixture), (MinuteState::Finished, 1, 2, 3, 0, None));
    let part = fixture.seal(minute);
    assert_eq!(only(&fixture), (MinuteState::Sealed, 1, 2, 3, 0, None));
    fixture.journal(part, &[(0, Outcome::Failed(failure("503"))), (1, delivered(5))]);
    assert_eq!(only(&fixture), (MinuteState::Sealed, 1, 2, 3, 1, Some("503".to_owned())));
    let with_runs = minutes(&fixture)[0].bytes;
    fixture.remove_runs(minute);
    assert!(minutes(&fixture)[0].bytes < with_runs);
    fixture.journal(part, &[(0, Outcome::Parked(failure("403")))]);
    fixture.move_part(part, Stage::Parked);
    assert_eq!(only(&fixture), (MinuteState::Parked, 1, 2, 3, 1, Some("403".to_owned())));
    fixture.journal(part, &[(0, delivered(6))]);
    fixture.move_part(part, Stage::Receipts);
    assert_eq!(minutes(&fixture), []);
}

#[test]
fn damage_is_a_row() {
    let fixture = Fixture::new();
    let (minute, _) = fixture.finished(&[("a", "", "1")]);
    let part = fixture.seal(minute);
    fixture.quarantine_part(part);
    fixture.remove_runs(minute);
    assert_eq!(only(&fixture).0, MinuteState::Quarantined);
    let manifest = fixture.data.quarantine_dir().join(part.to_string()).join("manifest");
    std::fs::remove_file(manifest).unwrap();
    let row = minutes(&fixture).remove(0);
    assert_eq!(row.state, MinuteState::Quarantined);
    assert!(row.error.unwrap().contains("is missing"));
    let (_, warnings) = shown(&fixture, &query(minute.start()));
    assert_eq!(warnings.len(), 1);
}

#[test]
fn rows_read_in_json_as_the_contract_says() {
    let fixture = Fixture::new();
    fixture.finished(&[("a", "", "1")]);
    let json = serde_json::to_value(minutes(&fixture).remove(0)).unwrap();
    assert_eq!(json["minute"], "2026-11-22T10:15:00Z");
    assert_eq!((&json["state"], &json["runs"]), (&"finished".into(), &1.into()));
    for key in ["destinations", "events", "bytes", "age_seconds", "error"] {
        assert!(json.get(key).is_some(), "{key}");
    }
}

#[test]
fn lines_are_shown_as_they_will_be_delivered() {
    let fixture = Fixture::new();
    let ingest = fixture.ingest();
    fixture.append(&ingest, &[("a", "n", "1"), ("b", "", "\"☃\""), ("a", "", "3")]);
    let minute = fixture.minute();
    let check = |expected: &[&str], query: &ShowQuery| {
        let (mut lines, warnings) = shown(&fixture, query);
        // Destinations come in the order of their keys in the log.
        lines.sort_by_key(|line| line.split(':').next().map(|line| line[..9].to_owned()));
        assert_eq!(lines, expected);
        assert_eq!(warnings, Vec::<String>::new());
    };
    let all = ["bucket/a/n:1", "bucket/a/3", "bucket/b/\"☃\""];
    let only_a = ShowQuery {
        destinations: Destinations {
            bucket: Bucket::new("bucket").ok(),
            prefix: Prefix::new("a/").ok(),
        },
        ..query(minute.start())
    };
    let check_all = || {
        check(&all, &query(UnixMillis::new(minute.end().as_millis() - 1)));
        check(&all[..2], &only_a);
        check(&all[..1], &ShowQuery { limit: Some(1), ..only_a.clone() });
        assert_eq!(
            shown(&fixture, &ShowQuery { limit: Some(2), ..query(minute.start()) }).0.len(),
            2
        );
    };
    check_all();
    fixture.close(ingest);
    check_all();
    let part = fixture.seal(minute);
    check_all();
    fixture.remove_runs(minute);
    check_all();
    fixture.move_part(part, Stage::Parked);
    check_all();
    let unknown = fixture.inspector.show(&query(minute.end()), |_| true).unwrap();
    assert_eq!(unknown.minute, None);
    // Whichever object is delivered is no longer in the log.
    fixture.journal(part, &[(0, delivered(5))]);
    let left = shown(&fixture, &query(minute.start())).0.len();
    assert!(left == 1 || left == 2);
    fixture.journal(part, &[(1, delivered(5))]);
    fixture.move_part(part, Stage::Receipts);
    check(&[], &query(minute.start()));
}

#[test]
fn runs_of_one_minute_are_shown_in_the_order_of_their_events() {
    let fixture = Fixture::new();
    let minute = fixture.minute();
    for lines in [["1", "2"], ["3", "4"]] {
        let ingest = fixture.ingest();
        for line in lines {
            fixture.append(&ingest, &[("a", "", line)]);
        }
        fixture.close(ingest);
    }
    let ingest = fixture.ingest();
    fixture.append(&ingest, &[("a", "", "5")]);
    let expected: Vec<String> = (1..=5).map(|line| format!("bucket/a/{line}")).collect();
    assert_eq!(shown(&fixture, &query(minute.start())), (expected, vec![]));
    fixture.close(ingest);
}

#[test]
fn receipts_are_those_of_delivered_objects() {
    let fixture = Fixture::new();
    let (early, _) = fixture.finished(&[("a", "", "1"), ("b", "", "2")]);
    let (late, _) = fixture.finished(&[("a", "", "3"), ("a", "", "4")]);
    fixture.deliver(early);
    let part = fixture.seal(late);
    let list = |query: &ReceiptQuery| {
        let mut rows = Vec::new();
        let warnings = fixture.inspector.receipts(query, |row| {
            rows.push((row.minute, row.prefix.to_string(), row.events));
            true
        });
        assert_eq!(warnings.unwrap(), Vec::<String>::new());
        rows
    };
    assert_eq!(list(&ReceiptQuery::default()).len(), 2);
    fixture.journal(part, &[(0, delivered(9))]);
    let all = list(&ReceiptQuery::default());
    assert_eq!((all.len(), &all[0]), (3, &(late, "a".to_owned(), 2)));
    let since = ReceiptQuery { since: Some(UnixMillis::new(6)), ..ReceiptQuery::default() };
    assert_eq!(list(&since), all[..1]);
    let destinations = Destinations { prefix: Prefix::new("b").ok(), ..Destinations::default() };
    let only_b = list(&ReceiptQuery { destinations, ..ReceiptQuery::default() });
    assert_eq!(only_b, [(early, "b".to_owned(), 1)]);
}

#[test]
fn parked_objects_are_delivered_by_their_receipts_only() {
    let fixture = Fixture::new();
    let (early, _) = fixture.finished(&[("a", "", "1"), ("a", "", "2")]);
    let (late, _) = fixture.finished(&[("a", "", "3")]);
    let (early_part, late_part) = (fixture.seal(early), fixture.seal(late));
    let parked = |prefix: &str| {
        let wanted = Destinations { prefix: Prefix::new(prefix).ok(), ..Destinations::default() };
        fixture.inspector.parked(&wanted).unwrap()
    };
    assert!(parked("a").is_empty());
    for part in [early_part, late_part] {
        fixture.journal(part, &[(0, Outcome::Parked(failure("403")))]);
    }
    assert!(parked("b").is_empty());
    let before = parked("a");
    let became = || {
        let found = fixture.inspector.became(&before);
        let row = &found.rows[0];
        assert_eq!((found.rows.len(), row.objects), (1, 2));
        let error = row.error.clone().unwrap_or_default();
        (row.delivered, row.quarantined, row.quarantined_events, row.waits(), error)
    };
    assert_eq!(became(), (0, 0, 0, true, "403".to_owned()));
    fixture.journal(late_part, &[(0, Outcome::Failed(failure("503")))]);
    assert_eq!(became(), (0, 0, 0, true, "503".to_owned()));
    fixture.journal(late_part, &[(0, delivered(5))]);
    fixture.move_part(late_part, Stage::Receipts);
    assert_eq!(became(), (1, 0, 0, true, "403".to_owned()));
    fixture.quarantine_part(early_part);
    let (delivered, quarantined, events, waits, _) = became();
    assert_eq!((delivered, quarantined, events, waits), (1, 1, 2, false));
    std::fs::remove_dir_all(fixture.part_file(late_part, "")).unwrap();
    assert_eq!(became().0, 0);
}

/// Flips a byte and gives what is shown, and what is damaged by how many events are missing.
fn shown_damaged(
    fixture: &Fixture,
    query: &ShowQuery,
    path: &std::path::Path,
    at: usize,
) -> (Vec<String>, Vec<(String, Option<u64>)>) {
    let whole = std::fs::read(path).unwrap();
    let mut bytes = whole.clone();
    bytes[at] ^= 0x40;
    std::fs::write(path, &bytes).unwrap();
    let mut lines = Vec::new();
    let shown = fixture.inspector.show(query, |event| {
        lines.push(String::from_utf8_lossy(event.payload).into_owned());
        true
    });
    std::fs::write(path, &whole).unwrap();
    let damaged = shown.unwrap().damaged.into_iter().map(|it| (it.what, it.missing));
    (lines, damaged.collect())
}

#[test]
fn nothing_of_a_damaged_object_is_shown_and_the_rest_is() {
    let fixture = Fixture::new();
    let (minute, _) = fixture.finished(&[("a", "", "1"), ("a", "", "1"), ("b", "", "2")]);
    let part = fixture.seal(minute);
    fixture.remove_runs(minute);
    let path = fixture.part_file(part, "segments");
    let length = std::fs::read(&path).unwrap().len();
    for at in 0..length {
        let (lines, damaged) = shown_damaged(&fixture, &query(minute.start()), &path, at);
        let (rest, missing) = if lines == ["2"] { (1, 2) } else { (2, 1) };
        assert_eq!(lines.len(), rest, "byte {at}: {lines:?}");
        let [(what, number)] = &damaged[..] else { panic!("byte {at}: {damaged:?}") };
        assert!(what.contains("object ") && what.contains(".gz"), "{what}");
        assert_eq!(*number, Some(missing), "byte {at}");
    }
    assert_eq!(shown(&fixture, &query(minute.start())).1, Vec::<String>::new());
}

#[test]
fn what_a_run_has_lost_is_counted() {
    let fixture = Fixture::new();
    let ingest = fixture.ingest();
    let payload = format!("\"{}\"", "needle ".repeat(400));
    for payload in ["1", &payload, "3"] {
        fixture.append(&ingest, &[("a", "", payload)]);
    }
    let minute = fixture.minute();
    fixture.close(ingest);
    let db = fixture.data.run_dir(fixture.data.runs().unwrap()[0]).join("db");
    let bytes = std::fs::read(&db).unwrap();
    let at = bytes.windows(7).position(|window| window == b"needle ").unwrap();
    let all = query(minute.start());
    let (lines, damaged) = shown_damaged(&fixture, &all, &db, at + 1000);
    assert!(lines.len() < 3 && !lines.contains(&payload));
    assert_eq!(damaged.len(), 1, "{damaged:?}");
    assert_eq!(damaged[0].1, Some(3 - lines.len() as u64), "{damaged:?}");
    // Whatever is shown of it: the run is damaged.
    let limited = ShowQuery { limit: Some(1), ..all };
    assert_eq!(shown_damaged(&fixture, &limited, &db, at + 1000).1, damaged);
}
