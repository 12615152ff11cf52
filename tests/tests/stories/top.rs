//! `admin top` at a terminal.

use std::fs;

use rustix::process::Signal;
use serde_json::json;
use tests::{Setup, Site, Terminal, wait_for};

const ENTER: &str = "\r";
const ESCAPE: &str = "\u{1b}";
const PAGE_DOWN: &str = "\u{1b}[6~";

/// An end that leaves the terminal as it was found.
#[track_caller]
fn ends_well(mut terminal: Terminal) {
    assert_eq!(terminal.wait(), Some(0), "{}", terminal.text());
    assert!(terminal.is_given_back(), "{terminal:?}");
    assert_eq!(terminal.text().trim(), "", "nothing of it is left behind");
}

/// The line of the screen that has this text in it.
fn line(screen: &str, text: &str) -> String {
    screen.lines().find(|line| line.contains(text)).unwrap_or_default().to_owned()
}

#[test]
fn an_event_is_seen_live_from_its_acceptance_to_its_key() {
    let site = Site::with(&Setup::long_minute());
    let (ingest, _flusher) = (site.ingest(), site.flusher());
    let top = site.top(140, 40, &[]);
    top.shows("No events yet");
    let head = top.text_when("the services", |text| text.contains("flusher up"));
    assert!(top.is_taken() && top.has_colour());
    assert!(head.contains("ingest up") && head.contains(" free"), "{head}");

    let event =
        json!({"bucket": "my-bucket", "prefix": "a", "event": "order-1", "payload": {"n": 1}});
    let id = ingest.client().post_send(event.to_string()).ids()[0].clone();
    let shown = top.text_when("the event", |text| line(text, "order-1").contains("0/1"));
    assert!(line(&shown, "order-1").contains(&id), "{shown}");
    assert!(shown.contains("1 open") && !shown.contains("1 delivered"), "{shown}");
    top.press(ENTER);
    let shown = top.shows("the end of its minute");
    assert!(shown.contains("my-bucket/a/ – logged") && shown.contains("{\"n\":1}"), "{shown}");

    // While it is looked at.
    site.drain().exits(0);
    let shown = top.shows("my-bucket/a/ – delivered");
    let (key, _) = site.s3.bytes().into_iter().next().unwrap();
    assert!(line(&shown, "Key").ends_with(&key), "{key} is not in {shown}");
    assert!(line(&shown, "Line").contains("1 of 1") && shown.contains("ETag"), "{shown}");
    top.press(ESCAPE);
    top.text_when("the list", |text| line(text, "order-1").contains("1/1"));
    top.shows("1 delivered");

    for (text, is_found) in
        [(id.as_str(), true), ("order", true), ("bucket/a", true), ("nothing like it", false)]
    {
        top.press("/");
        top.press(text);
        top.press(ENTER);
        top.shows(&format!("/{text}"));
        let found = if is_found { "1 of 1" } else { "Nothing matches" };
        let shown = top.text_when(found, |screen| {
            screen.contains(found) && screen.contains("order-1") == is_found
        });
        assert!(shown.contains("Esc all"), "{shown}");
        top.press(ESCAPE);
        top.text_when("all of them", |text| !text.contains("Esc all") && text.contains("order-1"));
    }
    top.press("2");
    top.shows("MINUTE (UTC)");
    top.press("\t");
    let shown = top.shows("LAST DELIVERED");
    assert!(line(&shown, "my-bucket/a/").contains("1/1"), "{shown}");
    top.press(ENTER);
    top.shows("/my-bucket/a/");
    top.press("?");
    top.shows("next and previous row");
    top.press("q");
    ends_well(top);
}

#[test]
fn a_service_that_is_down_or_hangs_is_told_plainly_and_keys_go_on() {
    let site = Site::with(&Setup::long_minute());
    fs::create_dir_all(site.data()).unwrap();
    let top = site.top(80, 24, &[]);
    top.shows("The flusher does not run: finished minutes wait on disk.");
    let shown = top.shows("Ingest does not run: no events are taken.");
    assert!(shown.contains("ingest down") && shown.contains("flusher down"), "{shown}");
    let ingest = site.ingest();
    top.text_when("ingest", |text| text.contains("ingest up") && !text.contains("Ingest does not"));
    ingest.client().send("my-bucket", "a", "1");
    top.shows("0/1");
    ingest.signal(Signal::STOP);
    top.shows("Ingest does not answer");
    for (key, heading) in
        [("3", "No destinations yet"), ("2", "MINUTE"), ("1", "not known while it does not answer")]
    {
        top.press(key);
        top.shows(heading);
    }
    ingest.signal(Signal::CONT);
    top.press("\u{3}");
    ends_well(top);
}

#[test]
fn a_hostile_event_does_not_steer_the_terminal() {
    let site = Site::with(&Setup::long_minute());
    let ingest = site.ingest();
    let evil =
        "\u{1b}]0;pwned\u{7}\u{1b}[2J\u{1b}[31m\u{9b}5n\u{1b}]52;c;cHduZWQ=\u{7}\u{202e}gpj.";
    let to = "my-bucket?prefix=a%E2%80%AEb/&event=n%E2%80%AE%E2%80%8Bm";
    assert_eq!(ingest.client().post_bulk(to, "text/plain", evil).status, 200);
    let top = site.top(120, 40, &[]);
    top.shows("n\\u{202e}\\u{200b}m");
    top.press(ENTER);
    let shown = top.shows("pwned");
    for text in ["a\\u{202e}b/", "gpj.", "Payload", "minutelog top"] {
        assert!(shown.contains(text), "{text} is not in {shown}");
    }
    top.press(ESCAPE);
    top.press("/");
    top.press("\u{202e}");
    top.press(ENTER);
    top.shows("/\\u{202e}");
    assert_eq!(top.steered(), 0);
    let bytes = top.bytes();
    for steers in ["\u{7}", "\u{1b}]", "\u{9b}", "\u{202e}", "\u{200b}"] {
        let is_there = bytes.windows(steers.len()).any(|window| window == steers.as_bytes());
        assert!(!is_there, "{steers:?} was written to the terminal");
    }
    top.press("q");
    ends_well(top);
}

#[test]
fn it_fits_every_size_and_a_signal_gives_the_terminal_back() {
    let site = Site::with(&Setup::long_minute());
    let ingest = site.ingest();
    for number in 0..150 {
        let payload = number.to_string();
        ingest.client().send("my-bucket", "a", &payload);
    }
    let top = site.top(120, 40, &[("NO_COLOR", "1")]);
    top.shows("ACCEPTED (UTC)");
    let wide = top.shows("1 of 100+");
    assert!(!top.has_colour(), "NO_COLOR is set");
    assert!(wide.lines().count() > 30, "{wide}");
    top.resize(60, 20);
    let narrow = top.text_when("another shape", |text| {
        text.contains("EVENT OR ID") && text.contains("q leave") && !text.contains("ACCEPTED")
    });
    assert!(narrow.contains("DEST") && narrow.contains("0/1"), "{narrow}");
    // More is read as it is asked for.
    for _ in 0..20 {
        top.press(PAGE_DOWN);
    }
    wait_for("the end of the list", || {
        top.press("G");
        top.text().contains("150 of 150")
    });
    for (columns, rows) in [(20, 5), (5, 2), (1, 1), (200, 60)] {
        top.resize(columns, rows);
        top.press("12?1");
    }
    top.shows("ACCEPTED (UTC)");
    top.signal(Signal::TERM);
    ends_well(top);
}

#[test]
fn a_terminal_that_cannot_be_drawn_on_is_refused() {
    let site = Site::new();
    fs::create_dir_all(site.data()).unwrap();
    let mut top = site.top(80, 24, &[("TERM", "dumb")]);
    assert_eq!(top.wait(), Some(64));
    let text = top.text().replace('\n', "");
    assert!(text.contains("TERM says") && text.contains("admin log --json"), "{text}");
    assert!(top.is_given_back());
    let piped = site.run(&["admin", "top"]);
    assert!(piped.exits(64).stderr.contains("not a terminal"), "{}", piped.stderr);
}
