//! `minutelog admin` tells the truth in every state, whether the services run or not.

use serde_json::{Value, json};
use tests::{Fault, Objects, Rule, Service, Setup, Site, minute_of, wait_for};

const USAGE: i32 = 64;
const TRY_AGAIN: i32 = 75;

/// A minute that does not end during the test, and two buckets.
fn site() -> Site {
    let buckets = vec!["my-bucket", "closed-bucket"];
    Site::with(&Setup { buckets, ..Setup::long_minute() })
}

/// Three events for two destinations; their ids.
fn send_three(ingest: &Service) -> Vec<String> {
    let event = |(bucket, payload): (&str, Value)| json!({"bucket": bucket, "prefix": "p/", "payload": payload, "event": format!("e{payload}")});
    let events = [("my-bucket", json!(1)), ("closed-bucket", json!(2)), ("my-bucket", json!(3))];
    ingest.client().post_send(Value::from(events.map(event).to_vec()).to_string()).ids()
}

/// The one row of the log.
#[track_caller]
fn only_row(site: &Site, state: &str) -> Value {
    let rows = site.log_rows();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["state"], state, "{rows:?}");
    for field in ["bytes", "age_seconds"] {
        assert!(rows[0][field].is_u64(), "{rows:?}");
    }
    rows[0].clone()
}

/// The deliveries of events, by id, as state, key, line and error.
fn delivery(site: &Site, id: &str) -> Value {
    let document = site.admin(&["events", "--id", id]).exits(0).json();
    let rows = document["events"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["id"]), (1, &json!(id)), "{document}");
    assert_eq!(rows[0]["dest"]["total"], 1, "{document}");
    let delivered = u32::from(rows[0]["deliveries"][0]["state"] == "delivered");
    assert_eq!(rows[0]["dest"]["delivered"], delivered, "{document}");
    rows[0]["deliveries"][0].clone()
}

/// The lines that `show` shows: those of one destination in order, the destinations in any.
fn shown(site: &Site, args: &[&str]) -> Vec<String> {
    let document = site.admin(&[&["show"], args].concat()).exits(0).json();
    let mut events = document["events"].as_array().unwrap().clone();
    events.sort_by_key(|event| event["bucket"].to_string());
    events.iter().map(|event| event["payload"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_event_is_followed_from_the_open_minute_to_s3() {
    let site = site();
    std::fs::create_dir(site.data()).unwrap();
    for empty in ["log", "events", "receipts", "verify", "retry"] {
        site.admin(&[empty]).exits(0);
    }
    let ingest = site.ingest();
    let ids = send_three(&ingest);
    let minute = minute_of(&ids[0], site.seconds());
    let check = |state: &str, of_event: &str| {
        let row = only_row(&site, state);
        assert_eq!(row["minute"], minute.as_str());
        assert_eq!(
            (&row["runs"], &row["destinations"], &row["events"]),
            (&json!(1), &json!(2), &json!(3))
        );
        assert_eq!(shown(&site, &[&minute]), ["2", "1", "3"]);
        for id in &ids {
            let delivery = delivery(&site, id);
            assert_eq!(delivery["state"], of_event);
            assert_eq!(delivery["key"].is_null(), of_event == "logged", "{delivery}");
        }
        site.admin(&["verify"]).exits(0);
        row
    };
    assert_eq!(check("open", "logged")["error"], Value::Null);
    assert_eq!(ingest.terminate(), Some(0));
    assert_eq!(check("finished", "logged")["error"], Value::Null);
    site.flush_once_without_s3().exits(TRY_AGAIN);
    assert!(check("sealed", "sealed")["error"].is_string());

    let denied = Rule::new(Fault::Refuse(403, "AccessDenied")).bucket("closed-bucket");
    let denied = site.s3.add(denied.on("PutObject"));
    site.flush_once().exits(TRY_AGAIN);
    let row = only_row(&site, "parked");
    assert!(row["error"].to_string().contains("AccessDenied"), "{row}");
    // What is delivered is no longer in the log.
    assert_eq!(shown(&site, &[&minute]), ["2"]);
    let parked = delivery(&site, &ids[1]);
    assert_eq!(parked["state"], "parked");
    assert!(parked["error"].to_string().contains("AccessDenied"), "{parked}");
    let object = &Objects::read(&site.s3).0[0];
    for (line, id) in [(1, &ids[0]), (2, &ids[2])] {
        let delivered = delivery(&site, id);
        assert_eq!((&delivered["state"], &delivered["line"]), (&json!("delivered"), &json!(line)));
        assert_eq!(delivered["key"], object.key.as_str());
    }
    let receipts = |args: &[&str]| {
        let document = site.admin(&[&["receipts"], args].concat()).exits(0).json();
        document["receipts"].as_array().unwrap().clone()
    };
    assert_eq!(receipts(&[])[0]["key"], object.key.as_str());
    assert!(receipts(&["--bucket", "closed-bucket"]).is_empty());
    assert!(receipts(&["--since", "2099-01-01T00:00:00Z"]).is_empty());

    site.admin(&["retry", "--bucket", "my-bucket"]).exits(0);
    site.admin(&["retry"]).exits(TRY_AGAIN);
    site.s3.mend(denied);
    site.admin(&["retry", "--bucket", "closed-bucket", "--prefix", "p"]).exits(0);
    assert_eq!(site.log_rows(), Vec::<Value>::new());
    assert_eq!(receipts(&["--since", "15m"]).len(), 2);
    assert_eq!(delivery(&site, &ids[1])["state"], "delivered");
    site.admin(&["verify"]).exits(0);
}

#[test]
fn events_are_found_by_name_time_and_number() {
    let site = site();
    let ingest = site.ingest();
    let ids = send_three(&ingest);
    let events = |args: &[&str]| {
        let document = site.admin(&[&["events"], args].concat()).exits(0).json();
        let ids = document["events"].as_array().unwrap().iter().map(|row| row["id"].clone());
        ids.collect::<Vec<Value>>()
    };
    assert_eq!(events(&["--event", "e2"]), [json!(ids[1])]);
    assert_eq!(events(&["--event", "no such"]), Vec::<Value>::new());
    assert_eq!(events(&["--since", "1h"]).len(), 3);
    assert_eq!(events(&["--since", "2099-01-01T00:00:00Z"]), Vec::<Value>::new());
    assert_eq!(events(&["--limit", "1"]), [json!(ids.iter().max())], "the latest one");
    // People get a table with the same.
    let table = site.run(&["admin", "events"]).exits(0).stdout.clone();
    assert!(ids.iter().all(|id| table.contains(id)) && table.contains("0/1"), "{table}");
}

#[test]
fn a_minute_is_named_in_every_form() {
    let site = site();
    let ingest = site.ingest();
    let ids = send_three(&ingest);
    let minute = minute_of(&ids[0], site.seconds());
    let short = minute.replace(":00Z", "Z");
    let offset = minute.replace('Z', "+00:00");
    for form in [&minute, &short, &offset] {
        assert_eq!(shown(&site, &[form]), ["2", "1", "3"], "{form}");
        site.admin(&["verify", form]).exits(0);
    }
    assert_eq!(shown(&site, &[&minute, "--bucket", "my-bucket", "--prefix", "p/"]), ["1", "3"]);
    assert_eq!(shown(&site, &[&minute, "--prefix", "other"]), Vec::<String>::new());
    assert_eq!(shown(&site, &[&minute, "--limit", "1"]).len(), 1);
    let plain = site.run(&["admin", "show", &minute, "--bucket", "my-bucket"]);
    assert_eq!(plain.exits(0).stdout, "1\n3\n");
    for bad in ["now", "2026-11-22", "10:15"] {
        site.admin(&["show", bad]).exits(USAGE);
        site.admin(&["verify", bad]).exits(USAGE);
    }
}

#[test]
fn drain_empties_the_log_of_running_services() {
    let site = site();
    let (ingest, flusher) = (site.ingest(), site.flusher());
    send_three(&ingest);
    site.admin(&["drain"]).exits(0);
    assert_eq!(site.log_rows(), Vec::<Value>::new());
    let objects = Objects::read(&site.s3);
    assert_eq!(objects.lines("my-bucket", "p"), ["1", "3"]);
    assert_eq!(objects.lines("closed-bucket", "p"), ["2"]);
    // The machine is to be taken out: it takes nothing more, and says so.
    let refused = ingest.client().try_send("my-bucket", "p", "4").unwrap();
    refused.problem(503, "draining");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(ingest.ops("/readyz").unwrap().status, 503);
    assert_eq!(flusher.terminate(), Some(0));
    assert_eq!(ingest.terminate(), Some(0));
}

#[test]
fn drain_empties_the_log_that_nobody_works_on() {
    let site = site();
    let ingest = site.ingest();
    send_three(&ingest);
    ingest.kill();
    let denied = Rule::new(Fault::Refuse(403, "AccessDenied")).bucket("closed-bucket");
    let denied = site.s3.add(denied);
    let stuck = site.admin(&["drain"]);
    assert!(stuck.exits(TRY_AGAIN).stderr.contains("1 parked"), "{}", stuck.stderr);
    site.s3.mend(denied);
    site.admin(&["retry"]).exits(0);
    site.admin(&["drain"]).exits(0);
    assert_eq!(Objects::read(&site.s3).0.len(), 2);
}

#[test]
fn a_running_flusher_is_asked_to_retry() {
    let site = Site::with(&Setup { buckets: vec!["my-bucket"], ..Setup::default() });
    let (ingest, _flusher) = (site.ingest(), site.flusher());
    send_three(&ingest);
    wait_for("it to be parked", || {
        let rows = site.log_rows();
        rows.len() == 1 && rows[0]["state"] == "parked"
    });
    site.s3.create_bucket("closed-bucket");
    let retried = site.admin(&["retry"]).exits(0).json();
    let outcome = json!({
        "bucket": "closed-bucket", "prefix": "p", "objects": 1, "delivered": 1,
        "quarantined": 0, "quarantined_events": 0, "error": null
    });
    assert_eq!(retried["retried"], json!([outcome]));
    site.wait_until_drained();
}
