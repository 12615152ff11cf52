//! The screen on a log, without a terminal.

use std::sync::Arc;
use std::time::Duration;

use flusher::DestinationFilter;
use model::{Clock as _, SystemClock};
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use wal::DataDir;

use super::app::{App, Due, Machine, Tab};
use super::draw;
use super::ink::Palette;
use super::reader::{Reader, Wanted};
use super::search::Filter;
use crate::fixture::{Fixture, files};
use crate::view::View;

const SIZES: [(u16, u16); 8] =
    [(1, 1), (2, 3), (5, 40), (20, 8), (60, 20), (80, 24), (120, 40), (300, 100)];

fn view(fixture: &Fixture) -> View {
    let url = "http://127.0.0.1:9600".to_owned();
    View::new(DataDir::at(fixture.data_dir()), url, Arc::new(SystemClock))
}

fn app() -> App {
    let machine =
        Machine { host: "host".to_owned(), data_dir: "data".to_owned(), max_bytes: 1 << 30 };
    App::new(machine, Palette::new(true), SystemClock.now())
}

/// Reads what the screen asks for, all of it.
fn look(reader: &mut Reader<'_>, app: &mut App) {
    while reader.look(&app.wanted(), &|_| {}).unwrap() {}
    app.show(reader.shown.clone());
}

fn drawn(app: &mut App, columns: u16, rows: u16) -> String {
    let mut terminal = ratatui::Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| draw::draw(frame, app)).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |row| (0..columns).map(|column| buffer[(column, row)].symbol()).collect::<String>();
    (0..rows).map(row).collect::<Vec<_>>().join("\n")
}

fn press(app: &mut App, keys: &str) {
    for key in keys.chars() {
        let (code, modifiers) = match key {
            '\r' => (KeyCode::Enter, KeyModifiers::NONE),
            '\t' => (KeyCode::Tab, KeyModifiers::NONE),
            '\u{1b}' => (KeyCode::Esc, KeyModifiers::NONE),
            '\u{8}' => (KeyCode::Backspace, KeyModifiers::NONE),
            '\u{3}' => (KeyCode::Char('c'), KeyModifiers::CONTROL),
            '\u{c}' => (KeyCode::Char('l'), KeyModifiers::CONTROL),
            key => (KeyCode::Char(key), KeyModifiers::NONE),
        };
        app.input(&Event::Key(KeyEvent::new(code, modifiers)));
    }
}

#[tokio::test]
async fn every_destination_of_an_event_is_told_and_nothing_is_written() {
    let fixture = Fixture::new();
    fixture.logged(&[("a", "name", "1"), ("b", "name", "1")]).await;
    fixture.refuse("b", 1);
    fixture.deliver(DestinationFilter::default()).await.unwrap();
    let before = files(&fixture.data_dir());
    let (view, mut app) = (view(&fixture), app());
    let mut reader = Reader::new(&view);
    look(&mut reader, &mut app);
    let list = drawn(&mut app, 120, 40);
    let row = list.lines().find(|line| line.contains(" name ")).unwrap_or_default();
    assert!(row.contains("1/2") && row.contains("parked"), "{list}");
    assert!(list.contains("ingest down") && list.contains("flusher down"), "{list}");
    press(&mut app, "\r");
    look(&mut reader, &mut app);
    let event = drawn(&mut app, 140, 60);
    let key = app.shown.event.as_ref().unwrap().1.as_ref().unwrap().event.detail.row.row.deliveries
        [0]
    .key
    .clone()
    .unwrap();
    for text in [
        "bucket/b/ – parked",
        "Refused    access denied",
        "once the flusher runs, or at once by `minutelog admin retry`",
        "bucket/a/ – delivered",
        key.as_str(),
        "Line       1 of 1",
    ] {
        assert!(event.contains(text), "{text} is not in {event}");
    }
    press(&mut app, "\u{1b}3");
    let destinations = drawn(&mut app, 120, 40);
    let remark = "Tried once the flusher runs: access denied";
    assert!(destinations.contains(remark), "{destinations}");
    assert_eq!(files(&fixture.data_dir()), before);
}

#[tokio::test]
async fn a_text_finds_ids_names_and_destinations_each_event_once() {
    let fixture = Fixture::new();
    let ids = fixture
        .logged(&[("orders", "orders-1", "1"), ("a", "orders-1", "1"), ("orders", "x", "2")])
        .await;
    fixture.logged(&[("b", "y", "3")]).await;
    let view = view(&fixture);
    let mut reader = Reader::new(&view);
    let mut find = |text: &str| {
        let filter = Filter { text: text.to_owned(), until: None };
        let wanted = Wanted { filter, rows: 100, open: None };
        while reader.look(&wanted, &|_| {}).unwrap() {}
        let rows = &reader.shown.events.as_ref().unwrap().rows;
        rows.iter().map(|it| (it.row.id, it.row.dest.total)).collect::<Vec<_>>()
    };
    assert_eq!(find("").len(), 3);
    assert_eq!(find("orders"), [(ids[2], 1), (ids[0], 2)]);
    assert_eq!(find("bucket/a"), [(ids[1], 1)]);
    assert_eq!(find(&ids[2].to_string()), [(ids[2], 1)]);
    assert_eq!(find("nothing like it"), []);
}

#[tokio::test]
async fn no_more_rows_are_held_than_were_asked_for() {
    let fixture = Fixture::new();
    let names: Vec<String> = (0..700).map(|number| format!("n{number}")).collect();
    let events: Vec<_> = names.iter().map(|name| ("a", name.as_str(), "1")).collect();
    fixture.logged(&events).await;
    let (view, mut app) = (view(&fixture), app());
    let mut reader = Reader::new(&view);
    look(&mut reader, &mut app);
    assert_eq!(app.event_keys().len(), 100);
    for _ in 0..10 {
        press(&mut app, "G");
        look(&mut reader, &mut app);
    }
    assert_eq!(app.event_keys().len(), 500);
    assert!(drawn(&mut app, 80, 24).contains(" 500 of 500+"), "the last one is chosen");
    // As something changes, as many are read again.
    fixture.logged(&[("a", "new", "1")]).await;
    press(&mut app, "g");
    look(&mut reader, &mut app);
    let list = drawn(&mut app, 80, 24);
    assert!(list.contains(" new ") && app.event_keys().len() == 500, "{list}");
}

#[tokio::test]
async fn texts_of_others_are_escaped_wherever_they_stand_and_every_size_is_drawn() {
    let fixture = Fixture::new();
    let evil = "\u{1b}[2J\u{9b}\u{7}\r\n\u{202e}evil";
    fixture.logged(&[("a\u{202e}b", "n\u{202e}", evil), ("\u{200b}", "n\u{202e}", evil)]).await;
    let (view, mut app) = (view(&fixture), app());
    let mut reader = Reader::new(&view);
    app.machine.host = evil.to_owned();
    app.machine.data_dir = evil.to_owned();
    look(&mut reader, &mut app);
    press(&mut app, "\r");
    look(&mut reader, &mut app);
    let mut situation = (**app.shown.situation.as_ref().unwrap()).clone();
    situation.overview.warnings = vec![evil.to_owned(); 3];
    situation.services.ingest_url = evil.to_owned();
    situation.overview.minutes[0].error = Some(evil.to_owned());
    app.shown.situation = Some(Arc::new(situation));
    app.shown.error = Some(evil.to_owned());
    let mut seen = String::new();
    for keys in ["", "?", "?", "\u{1b}", "2", "3", "/\u{202e}", "x\r", "1", "\u{1b}"] {
        press(&mut app, keys);
        for (columns, rows) in SIZES {
            let screen = drawn(&mut app, columns, rows);
            let steers = |c: char| c != '\n' && (c.is_control() || "\u{202e}\u{200b}".contains(c));
            assert!(!screen.contains(steers), "{columns}x{rows}: {screen:?}");
            seen += &screen;
        }
    }
    for text in ["\\u{1b}[2J\\u{9b}\\u{7}\\u{d}\\u{a}\\u{202e}evil", "/\\u{202e}x", "a\\u{202e}b"] {
        assert!(seen.contains(text), "{text}");
    }
}

#[tokio::test]
async fn sixty_columns_have_what_counts() {
    let fixture = Fixture::new();
    let sent = fixture.logged(&[("prefix", "name", "1"), ("prefix", "", "22")]).await;
    let (view, mut app) = (view(&fixture), app());
    look(&mut Reader::new(&view), &mut app);
    let mut screen = |keys: &str| {
        press(&mut app, keys);
        drawn(&mut app, 60, 20)
    };
    let events = screen("");
    for text in ["TIME (UTC)", "EVENT OR ID", "DEST", " name ", "0/1", "1 finished", "q leave"] {
        assert!(events.contains(text), "{text} is not in {events}");
    }
    assert!(events.contains(&sent[1].to_string()[..25]), "{events}");
    let minutes = screen("\t");
    for text in ["MINUTE", "finished", "EVENTS", "SIZE", "LAG"] {
        assert!(minutes.contains(text), "{text} is not in {minutes}");
    }
}

#[test]
fn a_log_that_cannot_be_read_is_told() {
    let fixture = Fixture::new();
    std::fs::create_dir(fixture.data_dir()).unwrap();
    std::fs::write(fixture.data_dir().join(wal::FORMAT_FILE), "minutelog 99\n").unwrap();
    let (view, desk) = (view(&fixture), super::desk::Desk::new());
    let desk = &desk;
    std::thread::scope(|scope| {
        scope.spawn(|| super::reader::run(&view, desk, Duration::from_hours(1)));
        let shown = loop {
            match desk.take() {
                Some(shown) => break shown,
                None => std::thread::yield_now(),
            }
        };
        desk.close();
        let mut app = app();
        app.show(shown);
        let screen = drawn(&mut app, 80, 24);
        assert!(screen.contains("This could not be read: "), "{screen}");
    });
}

#[test]
fn keys_do_what_the_list_of_them_says() {
    let mut app = app();
    press(&mut app, "\t");
    assert_eq!(app.tab, Tab::Minutes);
    press(&mut app, "\t\t");
    assert_eq!(app.tab, Tab::Events);
    press(&mut app, "3?");
    assert!(app.is_helping && app.tab == Tab::Destinations);
    press(&mut app, "\u{1b}/quit\u{8}");
    let due = app.tick(app.now, Duration::ZERO);
    assert_eq!(due, Due::Draw, "a letter of the filter leaves nothing");
    assert_eq!(app.filter.text, "qui");
    press(&mut app, "\u{1b}");
    assert_eq!(app.filter, Filter::default(), "what was typed is taken back");
    press(&mut app, "/abc\r");
    press(&mut app, "/x\u{1b}");
    assert_eq!(app.filter.text, "abc");
    press(&mut app, "\u{1b}");
    assert_eq!(app.filter, Filter::default());
    press(&mut app, "/");
    press(&mut app, &"é".repeat(1000));
    assert_eq!(app.filter.text.len(), 512);
    for (keys, due) in
        [("\r", Due::Draw), ("\u{c}", Due::DrawAnew), ("q", Due::Leave), ("\u{3}", Due::Leave)]
    {
        press(&mut app, keys);
        assert_eq!(app.tick(app.now, Duration::ZERO), due, "{keys:?}");
    }
    assert_eq!(app.tick(app.now, Duration::ZERO), Due::Nothing);
}
