//! The stream page by page, wherever its events are.

use std::time::{Duration, Instant};

use model::{EventId, EventName};

use super::fixture::{Fixture, delivered, failure};
use super::stream::{Stream, StreamPage, StreamQuery};
use super::{DeliveryState, DestinationState, EventPayload, MinuteStage, NameFilter};
use crate::{Outcome, Stage};

fn stream(fixture: &Fixture) -> Stream {
    Stream::new(fixture.data.clone())
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn page(stream: &Stream, query: &StreamQuery) -> StreamPage {
    let page = stream.page(query, soon()).unwrap();
    assert_eq!(page.warnings, Vec::<String>::new());
    page
}

/// All pages, one after the other.
fn all(stream: &Stream, query: &StreamQuery) -> Vec<EventId> {
    let (mut query, mut found) = (query.clone(), Vec::new());
    for _ in 0..1000 {
        let page = page(stream, &query);
        assert!(page.events.len() <= query.limit);
        found.extend(page.events.iter().map(|row| row.row.id));
        match page.next {
            Some(next) => query.before = Some(next),
            None => return found,
        }
    }
    panic!("the pages never end");
}

fn limit(limit: usize) -> StreamQuery {
    StreamQuery { limit, ..StreamQuery::default() }
}

#[test]
fn pages_hold_every_event_once_wherever_it_is() {
    let fixture = Fixture::new();
    let stream = stream(&fixture);
    assert_eq!(page(&stream, &limit(5)), StreamPage::default());
    let mut sent = Vec::new();
    let many: Vec<(&str, &str, &str)> = (0..30).map(|n| (["a", "b"][n % 2], "", "1")).collect();
    for number in 0..3 {
        let (minute, ids) = fixture.finished(&many);
        sent.extend(ids);
        if number < 2 {
            let part = fixture.seal(minute);
            if number == 0 {
                fixture.journal(part, &[(0, delivered(5)), (1, delivered(6))]);
                fixture.remove_runs(minute);
                fixture.move_part(part, Stage::Receipts);
            }
        }
    }
    let ingest = fixture.ingest();
    for _ in 0..4 {
        sent.extend(fixture.append(&ingest, &many));
    }
    sent.sort_by(|a, b| b.cmp(a));
    for size in [1, 7, 30, 1000] {
        assert_eq!(all(&stream, &limit(size)), sent, "{size}");
    }
    let only = StreamQuery { destination: Some("bucket/a/".to_owned()), ..limit(13) };
    assert_eq!(all(&stream, &only).len(), sent.len() / 2);
}

#[test]
fn what_is_rare_is_found_behind_a_crowd() {
    let fixture = Fixture::new();
    let stream = stream(&fixture);
    let ingest = fixture.ingest();
    let rare = fixture.append(&ingest, &[("rare", "seldom", "1"), ("rare", "", "2")]);
    for _ in 0..2 {
        fixture.append(&ingest, &vec![("crowd", "often", "1"); 20_000]);
    }
    let queries = [
        StreamQuery { destination: Some("rare".to_owned()), ..limit(5) },
        StreamQuery { name: Some(NameFilter::Contains("seld".to_owned())), ..limit(5) },
    ];
    let check = |place: &str| {
        assert_eq!(all(&stream, &queries[0]), [rare[1], rare[0]], "{place}");
        assert_eq!(all(&stream, &queries[1]), [rare[0]], "{place}");
    };
    check("open");
    let minute = fixture.minute();
    fixture.close(ingest);
    check("finished");
    fixture.deliver(minute);
    check("delivered");
}

#[test]
fn a_page_that_is_out_of_time_goes_on_where_it_ended() {
    let fixture = Fixture::new();
    let stream = stream(&fixture);
    for _ in 0..3 {
        let (minute, _) = fixture.finished(&[("a", "x", "1")]);
        fixture.deliver(minute);
    }
    let wanted = NameFilter::Contains("nothing".to_owned());
    let mut query = StreamQuery { name: Some(wanted), ..limit(10) };
    let mut pages = 0;
    loop {
        let page = stream.page(&query, Instant::now()).unwrap();
        assert!(page.events.is_empty());
        pages += 1;
        let Some(next) = page.next else { break };
        assert!(query.before.is_none_or(|before| next < before));
        query.before = Some(next);
    }
    assert_eq!(pages, 3);
}

#[test]
fn names_are_found_whole_and_in_part() {
    let fixture = Fixture::new();
    let stream = stream(&fixture);
    let events =
        [("a", "order-17", "1"), ("b", "order-17", "1"), ("a", "order-18", "1"), ("a", "", "1")];
    let check = |place: &str| {
        let find = |name| page(&stream, &StreamQuery { name: Some(name), ..limit(9) }).events;
        let contains = |text: &str| find(NameFilter::Contains(text.to_owned()));
        let found = find(NameFilter::Is(EventName::new("order-17").unwrap()));
        assert_eq!(found.len(), 1, "{place}");
        assert_eq!(found[0].row.dest.total, 2, "{place}");
        assert_eq!((contains("der-1").len(), contains("18").len()), (2, 1), "{place}");
        assert_eq!(contains("19"), [], "{place}");
    };
    let ingest = fixture.ingest();
    fixture.append(&ingest, &events);
    check("open");
    let minute = fixture.minute();
    fixture.close(ingest);
    fixture.next_minute();
    check("finished");
    fixture.deliver(minute);
    check("delivered");
}

#[test]
fn an_event_is_told_whole_with_its_payload_while_it_is_in_the_log() {
    let fixture = Fixture::new();
    let stream = stream(&fixture);
    let ingest = fixture.ingest();
    let large = format!("\"{}\"", "x".repeat(100_000));
    let events = [("a", "n", "[1]"), ("b", "n", "[2]"), ("a", "m", &*large)];
    let sent = fixture.append(&ingest, &events);
    let shown = |text: &str, bytes, cut| EventPayload::Shown { text: text.to_owned(), bytes, cut };
    let payloads = |place: &str| {
        assert_eq!(stream.payload(sent[0], 9).unwrap(), shown("[1]", 3, false), "{place}");
        assert_eq!(stream.payload(sent[1], 9).unwrap(), shown("[2]", 3, false), "{place}");
        assert_eq!(stream.payload(sent[2], 3).unwrap(), shown("\"xx", 100_002, true), "{place}");
    };
    let total = || {
        let detail = stream.event(sent[1]).unwrap().unwrap();
        assert_eq!((detail.row.row.id, detail.row.row.dest.total), (sent[1], 2));
        (detail.row.row.dest.delivered, detail.objects)
    };
    payloads("open");
    assert_eq!(total(), (0, vec![None, None]));
    let minute = fixture.minute();
    fixture.close(ingest);
    payloads("finished");
    let part = fixture.seal(minute);
    fixture.remove_runs(minute);
    payloads("sealed");
    fixture.journal(part, &[(0, delivered(5)), (1, Outcome::Parked(failure("403")))]);
    let (delivered, objects) = total();
    assert_eq!(delivered, 1);
    let states = objects.into_iter().flatten();
    let mut times: Vec<_> = states
        .map(|it| (it.delivered_at.map(model::UnixMillis::as_millis), it.failed_at.is_some()))
        .collect();
    times.sort_unstable();
    assert_eq!(times, [(None, true), (Some(5), false)]);
    fixture.move_part(part, Stage::Parked);
    let of = |state| {
        let detail = stream.event(sent[0]).unwrap().unwrap();
        let delivery = detail.row.row.deliveries.iter().find(|it| it.state == state).unwrap();
        stream.payload(delivery.id, 9).unwrap()
    };
    assert_eq!(of(DeliveryState::Delivered), EventPayload::Delivered);
    assert!(matches!(of(DeliveryState::Parked), EventPayload::Shown { .. }));
    let unknown = super::stream::first_id(sent[0].time());
    assert_eq!(stream.event(unknown).unwrap(), None);
    assert_eq!(stream.payload(unknown, 9).unwrap(), EventPayload::Unknown);
}

#[test]
fn the_overview_tells_how_far_minutes_and_destinations_are() {
    use MinuteStage::{Delivered, Finished, Open, Parked};
    let fixture = Fixture::new();
    let stream = stream(&fixture);
    let events = [("a", "", "1"), ("b", "", "22")];
    let (first, _) = fixture.finished(&events);
    let delivered_part = fixture.deliver(first);
    let (second, _) = fixture.finished(&events);
    let parked = fixture.seal(second);
    fixture.remove_runs(second);
    fixture.journal(parked, &[(0, Outcome::Parked(failure("403")))]);
    let version = stream.version().unwrap();
    assert_eq!(stream.version().unwrap(), version);
    fixture.journal(parked, &[(1, Outcome::Failed(failure("503")))]);
    assert_ne!(stream.version().unwrap(), version);
    fixture.finished(&events);
    let ingest = fixture.ingest();
    fixture.append(&ingest, &events);
    let overview = stream.overview(10, 10).unwrap();
    let stages: Vec<_> = overview.minutes.iter().map(|minute| minute.stage).collect();
    assert_eq!(stages, [Open, Finished, Parked, Delivered]);
    assert!(overview.minutes.iter().all(|minute| minute.events == Some(2)));
    assert_eq!((overview.ingests, overview.destinations_total), (1, 2));
    assert_eq!(overview.minutes[2].parked, 1);
    let states: Vec<_> = overview.destinations.iter().map(|it| (it.state, it.events)).collect();
    assert_eq!(states, [(DestinationState::Parked, 2), (DestinationState::Failing, 2)]);
    // Of what is delivered only the newest, of all else every minute.
    let stages = |limit| -> Vec<_> {
        stream.overview(limit, 0).unwrap().minutes.iter().map(|minute| minute.stage).collect()
    };
    assert_eq!(stages(2), [Open, Finished, Parked]);
    assert!(fixture.part_file(delivered_part, "index").exists());
}
