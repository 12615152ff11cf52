//! The inspector's page: over HTTP, and in a browser.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tests::{Browser, Client, Fault, Rule, Setup, Site, encoded, wait_for};

const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";
const EVIL: &str = "<script>window.pwned = 1</script><img src=x onerror=\"window.pwned = 1\">";

/// Sends one thing to several destinations under a name.
fn send(client: &Client, name: &str, prefixes: &[&str], payload: &Value) -> Vec<String> {
    let events = prefixes.iter().map(|prefix| {
        serde_json::json!({ "bucket": "my-bucket", "prefix": prefix, "event": name, "payload": payload })
    });
    client.post_send(events.collect::<Value>().to_string()).ids()
}

#[test]
fn the_page_tells_what_there_is_whichever_service_runs() {
    let site = Site::with(&Setup::long_minute());
    let ingest = site.ingest();
    let page = site.inspector(&[]);
    let get = |path: &str| page.client().get(path);
    assert_eq!(get("/api/events").json()["events"], serde_json::json!([]));
    let ids = send(&ingest.client(), EVIL, &["a", "b"], &EVIL.into());
    let row = |path: &str| get(path).json()["events"][0].clone();
    let dest = |delivered: u32| serde_json::json!({ "delivered": delivered, "total": 2 });
    assert_eq!(row("/api/events")["dest"], dest(0));
    assert_eq!(row(&format!("/api/events?q={}", ids[1]))["id"], ids[1]);
    assert_eq!(row(&format!("/api/events?q={}", encoded("<script>")))["event"], EVIL);
    let overview = || get("/api/overview").json();
    assert_eq!(overview()["services"]["ingest"], "running");
    assert_eq!(overview()["services"]["flusher"], "stopped");
    assert_eq!(overview()["minutes"][0]["stage"], "open");

    let flusher = site.flusher();
    assert_eq!(overview()["services"]["flusher"], "running");
    site.drain().exits(0);
    let detail = get(&format!("/api/events/{}", ids[0])).json();
    assert_eq!(detail["dest"], dest(2));
    let key = detail["deliveries"][0]["key"].as_str().unwrap();
    assert!(site.s3.bytes().iter().any(|(stored, _)| stored == key));
    assert!(detail["objects"][0]["etag"].is_string(), "{detail}");
    let payload = get(&format!("/api/events/{}/payload", ids[0])).json();
    assert_eq!(payload["is"], "delivered");

    // Neither of the two, and the page goes on.
    drop(ingest);
    drop(flusher);
    let services = &overview()["services"];
    assert_eq!((&services["ingest"], &services["flusher"]), (&"stopped".into(), &"stopped".into()));
    assert_eq!(row("/api/events")["dest"], dest(2));
    assert_eq!(page.terminate(), Some(0));
}

#[test]
fn a_service_that_hangs_is_told_as_such_and_the_rest_is_there() {
    let site = Site::with(&Setup::long_minute());
    let first = site.ingest();
    send(&first.client(), "first", &["a"], &1.into());
    assert_eq!(first.terminate(), Some(0));
    let second = site.ingest();
    let page = site.inspector(&[]);
    let get = |path: &str| page.client().get(path).json();
    send(&second.client(), "second", &["a"], &2.into());
    site.flush_once();
    second.signal(Signal::STOP);
    let services = &get("/api/overview")["services"];
    assert_eq!((&services["ingest"], &services["flusher"]), (&"silent".into(), &"stopped".into()));
    let why = services["ingest_error"].as_str().unwrap();
    assert!(why.contains("does not answer"), "{why}");
    let events = get("/api/events");
    assert_eq!(events["warnings"][0], why);
    assert_eq!(events["events"][0]["event"], "first", "{events}");
    second.signal(Signal::CONT);
}

#[test]
fn an_address_that_others_reach_wants_a_token() {
    let site = Site::new();
    fs::create_dir_all(site.data()).unwrap();
    let refused = site.run(&["admin", "inspector", "--listen", "0.0.0.0:0"]);
    assert!(refused.exits(64).stderr.contains("--token-file"), "{}", refused.stderr);
    let file = site.data().join("token");
    fs::write(&file, "a-token-of-good-length\n").unwrap();
    let page = site.inspector(&["--token-file", file.to_str().unwrap()]);
    assert_eq!(page.client().get("/api/events").status, 401);
    assert_eq!(page.client().with_token("another").get("/api/events").status, 401);
    assert_eq!(page.client().with_token("a-token-of-good-length").get("/api/events").status, 200);
}

#[test]
fn an_event_is_seen_live_from_its_acceptance_to_its_key() {
    let Some(browser) = Browser::start(1280, 800) else { return };
    let site = Site::with(&Setup::long_minute());
    let (ingest, _flusher) = (site.ingest(), site.flusher());
    let page = site.inspector(&[]);
    browser.open(&format!("http://{}/", page.address()));
    browser.text_when("#event-tail", |text| text.contains("No events yet"));
    browser.text_when("#live", |text| text == "Live");

    // It comes by itself, as what it is, and as text whatever it says.
    let prefix = EVIL.replace('/', "|");
    let ids = send(&ingest.client(), EVIL, &[&prefix, "b"], &EVIL.into());
    browser.text_when("#event-rows .dest", |text| text == "0/2");
    assert_eq!(browser.text("#event-rows .name"), EVIL);
    browser.press("j");
    browser.press(ENTER);
    browser.text_when("#drawer-body .pill", |text| text == "logged");
    browser.text_when("#payload", |text| text.contains("<script>"));

    // While it is looked at.
    site.drain().exits(0);
    browser.text_when("#event-rows .dest", |text| text == "2/2");
    browser.text_when("#drawer-body .pill", |text| text == "delivered");
    let keys: Vec<String> = site.s3.bytes().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), 2);
    let shown = browser.text("#drawer-body");
    for key in &keys {
        assert!(shown.contains(key), "{key} is not in {shown}");
    }
    browser.press(ESCAPE);
    browser.text_when("#drawer-body", str::is_empty);

    // The search, by keys alone.
    let count = || browser.run("return document.querySelectorAll('#event-rows tr').length");
    browser.press("/");
    browser.press("nothing like it");
    browser.text_when("#event-tail", |text| text.contains("Nothing matches"));
    browser.press(ESCAPE);
    browser.text_when("#event-rows .dest", |text| text == "2/2");
    browser.press("/");
    browser.press(&ids[1]);
    browser.press(ENTER);
    browser.text_when("#event-rows .id", |text| text == ids[1]);
    assert_eq!(count(), 1);
    browser.press(ESCAPE);
    browser.press("2");
    browser.text_when("#minute-rows .pill", |text| text == "delivered");
    browser.press("3");
    browser.text_when("#destination-rows", |text| text.contains(&prefix));
    browser.press("?");
    browser.text_when("#help", |text| text.contains("next and previous row"));
    browser.press(ESCAPE);

    // On a phone nothing is wider than the screen.
    browser.screen(390, 844, true);
    for view in ["1", "2", "3"] {
        browser.press(view);
        assert_eq!(browser.run("return document.documentElement.scrollWidth"), 390, "{view}");
    }
    browser.press("1");

    drop(ingest);
    browser.text_when("#notices", |text| text.contains("Ingest does not run"));
    assert_eq!(browser.run("return window.pwned ?? null"), Value::Null);
    assert_eq!(browser.run("return document.querySelectorAll('main script, main img').length"), 0);
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn the_page_asks_for_its_token() {
    let Some(browser) = Browser::start(1280, 800) else { return };
    let site = Site::new();
    fs::create_dir_all(site.data()).unwrap();
    let file = site.data().join("token");
    fs::write(&file, "a-token-of-good-length\n").unwrap();
    let page = site.inspector(&["--token-file", file.to_str().unwrap()]);
    browser.open(&format!("http://{}/", page.address()));
    browser.text_when("#login", |text| text.contains("asks for the token"));
    browser.run("document.getElementById('token').focus()");
    browser.press("something else");
    browser.press(ENTER);
    browser.text_when("#login-wrong", |text| text.contains("not the token"));
    browser.run("document.getElementById('token').select()");
    browser.press("a-token-of-good-length");
    browser.press(ENTER);
    browser.text_when("#event-tail", |text| text.contains("No events yet"));
}

#[test]
#[ignore = "makes the pictures of docs/inspector.md, in two minutes"]
fn pictures_of_every_view() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/inspector");
    let Some(browser) = Browser::start(1280, 800) else { return };
    let site = Site::with(&Setup { interval: "5s", ..Setup::default() });
    let (ingest, _flusher) = (site.ingest(), site.flusher());
    let page = site.inspector(&[]);
    let client = ingest.client();
    site.s3.add(Rule::new(Fault::Refuse(403, "AccessDenied")).prefix("archive"));
    site.s3.add(Rule::new(Fault::Refuse(503, "SlowDown")).prefix("mirror"));
    let names = ["order.created", "order.paid", "cart.updated", "user.signed_up", "invoice.sent"];
    let started = Instant::now();
    let mut number = 0_u64;
    // What fails comes late, so that there is what went well before it.
    let mut send_some = |is_late: bool| {
        for _ in 0..(3 + number % 7) {
            number += 1;
            let name = format!("{}/{}", names[(number % 5) as usize], 4000 + number);
            let payload = serde_json::json!({
                "id": 4000 + number, "customer": format!("c-{:05}", number * 7919 % 99_991),
                "items": [{ "sku": "A-113", "quantity": number % 4 + 1 }],
                "total": { "amount": "49.90", "currency": "EUR" },
            });
            let prefixes: &[&str] = match number % 4 {
                0 if is_late => &["orders", "analytics/raw", "archive"],
                1 if is_late && number.is_multiple_of(3) => &["orders", "mirror"],
                1 => &["orders"],
                _ => &["orders", "analytics/raw"],
            };
            send(&client, &name, prefixes, &payload);
        }
    };
    while started.elapsed().as_secs() < 110 {
        send_some(started.elapsed().as_secs() > 88);
        sleep(Duration::from_millis(400));
    }
    let picture = |name: &str| {
        sleep(Duration::from_millis(700));
        browser.picture(&directory.join(format!("{name}.png")));
    };
    browser.screen(1280, 800, false);
    browser.open(&format!("http://{}/", page.address()));
    browser.text_when("#event-rows .dest", |text| text.starts_with('0'));
    picture("events");
    let parked = "const it = [...document.querySelectorAll('#event-rows tr')].find((row) => row.querySelector('.is-parked')); it?.click(); return Boolean(it)";
    wait_for("a parked event", || browser.run(parked) == true);
    browser.text_when("#drawer-body .is-parked", |text| text == "parked");
    picture("event");
    browser.prefer("dark");
    browser.press(ESCAPE);
    browser.press("2");
    picture("minutes-dark");
    browser.prefer("light");
    browser.press("3");
    picture("destinations");
    browser.screen(390, 844, true);
    browser.press("2");
    picture("minutes-phone");
    browser.press("1");
    picture("events-phone");
    browser.prefer("dark");
    wait_for("a parked event", || browser.run(parked) == true);
    picture("event-phone");
}
