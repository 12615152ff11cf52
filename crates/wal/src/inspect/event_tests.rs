//! Events in every state of their life, and on the move.

use std::sync::atomic::{AtomicBool, Ordering};

use model::{EventId, EventName};

use super::fixture::{Fixture, delivered, failure};
use super::{DeliveryState, EventQuery, EventRow};
use crate::{Outcome, Stage};

fn states(row: &EventRow) -> Vec<DeliveryState> {
    row.deliveries.iter().map(|delivery| delivery.state).collect()
}

fn ids(rows: &[EventRow]) -> Vec<EventId> {
    rows.iter().map(|row| row.id).collect()
}

#[test]
fn nothing_is_found_where_there_is_nothing() {
    let inspector = super::Inspector::new("/nonexistent/data".into());
    let query = EventQuery { limit: 10, ..EventQuery::default() };
    assert_eq!(inspector.events(&query).unwrap().rows, []);
    let fixture = Fixture::new();
    assert_eq!(fixture.events(10), []);
}

#[test]
fn an_event_is_found_from_its_acknowledgement_to_its_receipt() {
    use DeliveryState::{Delivered, Logged, Parked, Quarantined, Sealed};
    let fixture = Fixture::new();
    let ingest = fixture.ingest();
    let sent = fixture.append(&ingest, &[("a", "", "{}"), ("b", "n", "1"), ("a", "", "2")]);
    let minute = fixture.minute();
    let check = |state: DeliveryState, error: Option<&str>| {
        let rows = fixture.events(10);
        assert_eq!(rows.len(), 3, "{state:?}");
        let mut sorted = sent.clone();
        sorted.sort_by(|a, b| b.cmp(a));
        assert_eq!(ids(&rows), sorted);
        for id in &sent {
            let row = fixture.inspector.event_by_id(*id).unwrap().unwrap();
            assert!(rows.contains(&row));
            assert_eq!((row.id, states(&row)), (*id, vec![state]));
            assert_eq!(row.dest.delivered, u32::from(state == Delivered));
            let delivery = &row.deliveries[0];
            assert_eq!(delivery.error.as_deref(), error);
            assert_eq!(delivery.key.is_some(), state != Logged);
            let line = if *id == sent[2] { 2 } else { 1 };
            assert_eq!(delivery.line, (state != Logged).then_some(line));
        }
        let name = EventName::new("n").unwrap();
        let named = fixture.inspector.event_by_name(&name).unwrap().unwrap();
        assert_eq!((named.id, named.event), (sent[1], Some(name)));
        assert_eq!(named.deliveries[0].prefix.as_str(), "b");
    };
    check(Logged, None);
    fixture.close(ingest);
    check(Logged, None);
    let part = fixture.seal(minute);
    check(Sealed, None);
    let outcome = |outcome: fn(crate::Failure) -> Outcome, error| {
        fixture.journal(part, &[(0, outcome(failure(error))), (1, outcome(failure(error)))]);
    };
    outcome(Outcome::Failed, "503");
    check(Sealed, Some("503"));
    fixture.remove_runs(minute);
    outcome(Outcome::Parked, "403");
    check(Parked, Some("403"));
    fixture.move_part(part, Stage::Parked);
    check(Parked, Some("403"));
    fixture.quarantine_part(part);
    check(Quarantined, Some("403"));
    let back = fixture.data.quarantine_dir().join(part.to_string());
    std::fs::rename(back, fixture.data.part_dir(Stage::Parked, part)).unwrap();
    fixture.journal(part, &[(0, delivered(5)), (1, delivered(6))]);
    check(Delivered, None);
    fixture.move_part(part, Stage::Receipts);
    check(Delivered, None);
}

#[test]
fn a_run_that_crashed_is_read_as_it_lies() {
    let fixture = Fixture::new();
    let ingest = fixture.ingest();
    let sent = fixture.append(&ingest, &[("a", "", "1"), ("a", "", "2")]);
    fixture.close(ingest);
    let run = fixture.data.run_dir(fixture.data.runs().unwrap()[0]);
    std::fs::remove_file(run.join("closed")).unwrap();
    let before = files(&run);
    assert_eq!(ids(&fixture.events(10)), [sent[1], sent[0]]);
    assert_eq!(files(&run), before);
}

fn files(dir: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn one_name_to_several_destinations_is_one_row() {
    let fixture = Fixture::new();
    let (minute, sent) = fixture.finished(&[
        ("a", "order", "1"),
        ("b", "order", "1"),
        ("a", "view", "1"),
        ("a", "view", "2"),
        ("c", "order", "1"),
    ]);
    let part = fixture.seal(minute);
    fixture.journal(part, &[(0, delivered(1))]);
    let rows = fixture.events(10);
    assert_eq!(rows.len(), 3);
    let order = rows.iter().find(|row| row.dest.total == 3).unwrap();
    assert_eq!(order.dest.delivered, 1);
    assert_eq!(order.id, sent[0]);
    for id in [sent[0], sent[1], sent[4]] {
        let row = fixture.inspector.event_by_id(id).unwrap().unwrap();
        assert_eq!((row.id, &row.deliveries), (id, &order.deliveries));
    }
    // The next minute's request for another destination is of the same event.
    let (_, late) = fixture.finished(&[("d", "order", "1")]);
    let order = EventName::new("order").unwrap();
    let row = fixture.inspector.event_by_name(&order).unwrap().unwrap();
    assert_eq!((row.id, row.dest.total), (sent[0], 4));
    assert_eq!(fixture.events(10).len(), 3);
    let row = fixture.inspector.event_by_id(late[0]).unwrap().unwrap();
    assert_eq!((row.id, row.dest.total), (late[0], 4));
}

#[test]
fn the_latest_come_first_and_no_more_than_wanted() {
    let fixture = Fixture::new();
    let mut sent = Vec::new();
    for number in 0..4 {
        let (minute, ids) = fixture.finished(&[("a", "", "1"), ("b", "view", "2")]);
        sent.extend(ids);
        if number % 2 == 0 {
            fixture.deliver(minute);
        }
    }
    sent.reverse();
    for limit in [1, 3, 8, 100] {
        assert_eq!(ids(&fixture.events(limit)), sent[..limit.min(8)]);
    }
    let query = |since, event: Option<&str>| EventQuery {
        since,
        limit: 3,
        id: None,
        event: event.and_then(|name| EventName::new(name).ok()),
    };
    let since = fixture.inspector.events(&query(Some(sent[1].time()), None)).unwrap();
    assert_eq!(ids(&since.rows), sent[..2]);
    let named = fixture.inspector.events(&query(None, Some("view"))).unwrap();
    assert_eq!(ids(&named.rows), [sent[0], sent[2], sent[4]]);
    assert_eq!(fixture.inspector.events(&query(None, Some("no"))).unwrap().rows, []);
}

#[test]
fn what_cannot_be_read_is_told_and_passed_over() {
    let fixture = Fixture::new();
    let (minute, bad) = fixture.finished(&[("a", "", "1")]);
    let part = fixture.deliver(minute);
    let (_, good) = fixture.finished(&[("a", "", "2")]);
    std::fs::remove_file(fixture.part_file(part, "manifest")).unwrap();
    let query = EventQuery { limit: 10, ..EventQuery::default() };
    let found = fixture.inspector.events(&query).unwrap();
    assert_eq!(ids(&found.rows), good);
    assert!(found.warnings[0].contains("manifest: damaged: is missing"), "{:?}", found.warnings);
    assert!(fixture.inspector.event_by_id(bad[0]).is_err());
    let unknown = EventName::new("unknown").unwrap();
    assert_eq!(fixture.inspector.event_by_name(&unknown).unwrap(), None);
}

/// Events are neither lost nor told twice while everything moves on under the reader.
#[test]
fn nothing_is_missed_while_directories_move() {
    let fixture = Fixture::new();
    let ingest = fixture.ingest();
    let mut sent = Vec::new();
    for number in 0..6 {
        sent.extend(fixture.append(&ingest, &[("a", "", "1"), ("b", "", "2")]));
        if number < 5 {
            fixture.next_minute();
        }
    }
    sent.sort();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut looks = 0;
            while !done.load(Ordering::SeqCst) || looks == 0 {
                let mut found = ids(&fixture.events(100));
                found.reverse();
                assert_eq!(found, sent);
                looks += 1;
            }
        });
        let minutes: Vec<_> = fixture.data.runs().unwrap().iter().map(|run| run.minute).collect();
        fixture.close(ingest);
        for minute in minutes {
            // The reader's lock on a run that it copies may be in the way for a moment.
            let part = loop {
                if let Some(part) = fixture.try_seal(minute) {
                    break part;
                }
                std::thread::yield_now();
            };
            fixture.journal(part, &[(0, Outcome::Parked(failure("403")))]);
            fixture.remove_runs(minute);
            fixture.move_part(part, Stage::Parked);
            fixture.journal(part, &[(0, delivered(1)), (1, delivered(1))]);
            fixture.move_part(part, Stage::Sealed);
            fixture.move_part(part, Stage::Receipts);
        }
        done.store(true, Ordering::SeqCst);
        reader.join().unwrap();
    });
    assert!(fixture.events(100).iter().all(|row| row.dest.delivered == 1));
}

/// More lines than are kept at first: no row is torn, and none is skipped.
#[test]
fn rows_of_many_deliveries_are_whole_however_many_are_wanted() {
    let fixture = Fixture::new();
    let ingest = fixture.ingest();
    let names: Vec<String> = (0..36_000).map(|number| format!("n{number}")).collect();
    for names in names.chunks(3_000) {
        let prefixes = ["a", "b", "c"];
        let events: Vec<_> =
            names.iter().flat_map(|name| prefixes.map(|prefix| (prefix, &**name, "1"))).collect();
        fixture.append(&ingest, &events);
    }
    let minute = fixture.minute();
    fixture.close(ingest);
    fixture.deliver(minute);
    for limit in [5, 30_000, 40_000] {
        let rows = fixture.events(limit);
        assert_eq!(rows.len(), limit.min(names.len()));
        for (row, name) in rows.iter().zip(names.iter().rev()) {
            assert_eq!(row.event.as_ref().map(EventName::as_str), Some(&**name));
            assert_eq!((row.dest.delivered, row.dest.total), (3, 3), "{name}");
        }
    }
}
