//! An S3 that fails in every way, and what is delivered all the same.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Fault, Ledger, Objects, Rule, Sent, Service, Setup, Site, wait_for};

const DELIVERIES: usize = 5;

/// Sends to a prefix of each bucket, and notes it.
fn send_each(ingest: &Service, buckets: &[&str], round: usize, ledger: &mut Ledger) {
    for bucket in buckets {
        let payload = format!(r#""{bucket} {round:04}""#);
        let id = ingest.client().send(bucket, "p", &payload);
        let (bucket, prefix) = ((*bucket).to_owned(), "p".to_owned());
        ledger.note(Sent { bucket, prefix, payload, sender: 0 }, Some(id));
    }
}

fn receipts(site: &Site) -> Vec<Value> {
    let document = site.admin(&["receipts"]).exits(0).json();
    document["receipts"].as_array().unwrap().clone()
}

fn rows_in_state(site: &Site, state: &str) -> Vec<Value> {
    site.log_rows().into_iter().filter(|row| row["state"] == state).collect()
}

#[test]
fn what_mends_itself_is_tried_until_it_does() {
    for fault in [
        Fault::Refuse(500, "InternalError"),
        Fault::Refuse(503, "SlowDown"),
        Fault::Refuse(429, "TooManyRequests"),
        Fault::Refuse(409, "ConditionalRequestConflict"),
        Fault::Refuse(400, "RequestTimeout"),
        Fault::Drop,
        Fault::Delay(Duration::from_millis(700)),
    ] {
        let site = Site::new();
        let rule = site.s3.add(Rule::new(fault.clone()).on("PutObject").times(4));
        let (ingest, _flusher) = (site.ingest(), site.flusher());
        let mut ledger = Ledger::default();
        for round in 0..DELIVERIES {
            send_each(&ingest, &["my-bucket"], round, &mut ledger);
        }
        wait_for(&format!("{fault:?} to be met"), || site.s3.hits(rule) > 0);
        if let Fault::Refuse(_, code) = fault {
            // What is wrong shows where a person looks, for as long as it lasts.
            wait_for("the error to show or to be over", || {
                let rows = site.log_rows();
                rows.is_empty() || rows.iter().any(|row| row["error"].to_string().contains(code))
            });
        }
        site.wait_until_drained();
        let objects = Objects::read(&site.s3);
        ledger.judge(&objects, 1);
        objects.assert_one_per_minute();
    }
}

#[test]
fn an_answer_that_is_lost_makes_no_second_object() {
    // Where we may look, the object is found at once; where not, the next try is told of it.
    for may_look in [true, false] {
        let site = Site::new();
        if !may_look {
            site.s3.add(Rule::new(Fault::Refuse(403, "AccessDenied")).on("HeadObject"));
        }
        let lost = site.s3.add(Rule::new(Fault::LoseAnswer).on("PutObject").times(3));
        let (ingest, _flusher) = (site.ingest(), site.flusher());
        let mut ledger = Ledger::default();
        send_each(&ingest, &["my-bucket"], 0, &mut ledger);
        site.wait_until_drained();
        assert!(site.s3.hits(lost) >= 1);
        let objects = Objects::read(&site.s3);
        ledger.judge(&objects, 1);
        assert_eq!(objects.0.len(), 1);
        let receipts = receipts(&site);
        assert_eq!(receipts.len(), 1, "{receipts:?}");
        assert_eq!(receipts[0]["key"], objects.0[0].key.as_str());
        assert_eq!(receipts[0]["already_there"], json!(true), "{receipts:?}");
    }
}

#[test]
fn what_is_refused_is_parked_until_a_person_mends_it() {
    let buckets = ["my-bucket", "closed-bucket"];
    let site = Site::with(&Setup { buckets: buckets.into(), ..Setup::default() });
    let denied = Rule::new(Fault::Refuse(403, "AccessDenied")).bucket("closed-bucket");
    let denied = site.s3.add(denied.on("PutObject"));
    let (ingest, flusher) = (site.ingest(), site.flusher());
    let client = ingest.client();
    let mut ledger = Ledger::default();
    send_each(&ingest, &buckets, 0, &mut ledger);
    wait_for("it to be parked", || !rows_in_state(&site, "parked").is_empty());
    wait_for("all the rest to be gone", || {
        site.log_rows().iter().all(|row| row["state"] == "parked")
    });
    let row = &rows_in_state(&site, "parked")[0];
    assert!(row["error"].to_string().contains("AccessDenied"), "{row}");
    wait_for("the metric to tell", || {
        flusher.metric("minutelog_flusher_parked_destinations") > 0.0
    });
    assert_eq!(Objects::read(&site.s3).lines("my-bucket", "p").len(), 1);
    let listed = site.admin(&["events"]).exits(0).json();
    let states: Vec<&Value> = listed["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["deliveries"][0]["state"])
        .collect();
    assert!(
        states.contains(&&json!("parked")) && states.contains(&&json!("delivered")),
        "{listed}"
    );

    // Later minutes go on, for the others, and the refused one is not lost either.
    send_each(&ingest, &buckets, 1, &mut ledger);
    wait_for("the next one of the others", || {
        Objects::read(&site.s3).lines("my-bucket", "p").len() == 2
    });
    // A restart forgets nothing.
    flusher.kill();
    let _flusher = site.flusher();
    site.s3.mend(denied);
    site.admin(&["retry", "--bucket", "closed-bucket"]).exits(0);
    site.wait_until_drained();
    let objects = Objects::read(&site.s3);
    ledger.judge(&objects, 1);
    objects.assert_one_per_minute();
    drop(client);
}

#[test]
fn a_bucket_that_is_not_there_is_waited_for() {
    let site = Site::with(&Setup { buckets: vec!["my-bucket"], ..Setup::default() });
    let (ingest, _flusher) = (site.ingest(), site.flusher());
    let mut ledger = Ledger::default();
    send_each(&ingest, &["my-bucket", "later-bucket"], 0, &mut ledger);
    wait_for("it to be parked", || !rows_in_state(&site, "parked").is_empty());
    let row = &rows_in_state(&site, "parked")[0];
    assert!(row["error"].to_string().contains("NoSuchBucket"), "{row}");
    site.s3.create_bucket("later-bucket");
    site.admin(&["retry"]).exits(0);
    site.wait_until_drained();
    ledger.judge(&Objects::read(&site.s3), 1);
}

#[test]
fn one_dead_destination_delays_none_of_twenty() {
    let names: Vec<String> = (0..20).map(|number| format!("healthy-{number:02}")).collect();
    let healthy: Vec<&str> = names.iter().map(String::as_str).collect();
    for fault in [Fault::Hang, Fault::Drop] {
        let buckets: Vec<&'static str> = (0..20)
            .map(|number| &*format!("healthy-{number:02}").leak())
            .chain(["dead-bucket"])
            .collect();
        let flusher = "upload_concurrency = 4\n".to_owned();
        let site = Site::with(&Setup { buckets, flusher, ..Setup::default() });
        let dead = site.s3.add(Rule::new(fault).bucket("dead-bucket"));
        let (ingest, _flusher) = (site.ingest(), site.flusher());
        let mut ledger = Ledger::default();
        for round in 0..4 {
            send_each(&ingest, &["dead-bucket"], round, &mut ledger);
            send_each(&ingest, &healthy, round, &mut ledger);
            // In each round a minute is delivered while the dead one is dead.
            wait_for("the healthy ones to be delivered", || {
                let objects = Objects::read(&site.s3);
                healthy.iter().all(|bucket| objects.lines(bucket, "p").len() == round + 1)
            });
        }
        assert!(site.s3.hits(dead) > 0);
        assert!(Objects::read(&site.s3).of("dead-bucket", "p").is_empty());
        site.s3.mend(dead);
        site.wait_until_drained();
        let objects = Objects::read(&site.s3);
        ledger.judge(&objects, 1);
        objects.assert_one_per_minute();
    }
}
