//! An S3 whose answers are not what happened, and a wire that bends, slows down and breaks: what is
//! delivered all the same, and what a person is told.

use tests::{Fault, Ledger, Objects, Rule, Sent, Service, Setup, Site, wait_for};

fn send(ingest: &Service, prefix: &str, ledger: &mut Ledger) {
    let payload = format!(r#""for {prefix}""#);
    let id = ingest.client().send("my-bucket", prefix, &payload);
    let (bucket, prefix) = ("my-bucket".to_owned(), prefix.to_owned());
    ledger.note(Sent { bucket, prefix, payload, sender: 0 }, Some(id));
}

fn judge(site: &Site, ledger: &Ledger) {
    site.wait_until_drained();
    let objects = Objects::read(&site.s3);
    ledger.judge(&objects, 1);
    objects.assert_one_per_minute();
    assert_eq!(site.s3.unfinished_uploads(), 0);
}

#[test]
fn whatever_an_answer_says_there_is_one_object() {
    let faults = [
        Fault::Refuse(200, "InternalError"),
        Fault::Refuse(500, "InternalError").done(),
        Fault::Refuse(503, "SlowDown").done(),
        Fault::Refuse(409, "ConditionalRequestConflict").done(),
        Fault::Refuse(400, "ExpiredToken"),
        Fault::Refuse(403, "RequestTimeTooSkewed"),
        Fault::Empty,
        Fault::Empty.done(),
        Fault::CutBody(10),
        Fault::CutAnswer(0),
        Fault::CutAnswer(30),
        Fault::CutAnswer(120),
        Fault::Trickle(100),
        Fault::Flip(77_777),
        Fault::WrongETag,
    ];
    for may_look in [true, false] {
        let site = Site::new();
        if !may_look {
            site.s3.add(Rule::new(Fault::Refuse(403, "AccessDenied")).on("HeadObject"));
        }
        let (ingest, _flusher) = (site.ingest(), site.flusher());
        let mut ledger = Ledger::default();
        let mut rules = Vec::new();
        for (number, fault) in faults.iter().enumerate() {
            let prefix = format!("fault-{number:02}");
            let rule = Rule::new(fault.clone()).on("PutObject").prefix(&prefix).times(2);
            rules.push((fault, site.s3.add(rule)));
            send(&ingest, &prefix, &mut ledger);
        }
        judge(&site, &ledger);
        for (fault, rule) in rules {
            assert!(site.s3.hits(rule) > 0, "{fault:?} was not met");
        }
    }
}

#[test]
fn what_somebody_else_put_there_is_told_and_not_written_over() {
    let site = Site::new();
    let rule = site.s3.add(Rule::new(Fault::Foreign).on("PutObject").times(1));
    let (ingest, _flusher) = (site.ingest(), site.flusher());
    let mut ledger = Ledger::default();
    send(&ingest, "p", &mut ledger);
    wait_for("it to be parked", || site.log_rows().iter().any(|row| row["state"] == "parked"));
    assert_eq!(site.s3.hits(rule), 1);
    let row = &site.log_rows()[0];
    assert!(row["error"].to_string().contains("another object stands under the key"), "{row}");
    assert_eq!(site.s3.move_foreign_away(), 1);
    site.admin(&["retry"]).exits(0);
    judge(&site, &ledger);
}

#[test]
fn a_store_that_takes_no_notice_of_conditions_and_checksums_gets_one_object() {
    let switches = "conditional_writes = false\nchecksums = false\n".to_owned();
    let site = Site::with(&Setup { rest: switches, ..Setup::default() });
    site.s3.ignore_conditions();
    site.s3.ignore_checksums();
    site.s3.add(Rule::new(Fault::Refuse(403, "AccessDenied")).on("HeadObject"));
    let lost = site.s3.add(Rule::new(Fault::LoseAnswer).on("PutObject").times(2));
    let flipped = site.s3.add(Rule::new(Fault::Flip(12_345)).on("PutObject").times(2));
    let (ingest, _flusher) = (site.ingest(), site.flusher());
    let mut ledger = Ledger::default();
    send(&ingest, "p", &mut ledger);
    judge(&site, &ledger);
    assert_eq!((site.s3.hits(lost), site.s3.hits(flipped)), (2, 2));
}

#[test]
fn a_signal_ends_the_flusher_also_where_s3_is_silent() {
    let site = Site::new();
    let hang = site.s3.add(Rule::new(Fault::Hang).on("PutObject"));
    let (ingest, flusher) = (site.ingest(), site.flusher());
    let mut ledger = Ledger::default();
    send(&ingest, "p", &mut ledger);
    wait_for("an upload to be under way", || site.s3.hits(hang) > 0);
    // Left to itself the upload would go on for longer than anything is waited for here.
    assert_eq!(flusher.terminate(), Some(0));
    let first = site.s3.calls("PutObject").remove(0).key;
    site.s3.mend(hang);
    let _flusher = site.flusher();
    judge(&site, &ledger);
    assert_eq!(Objects::read(&site.s3).0[0].key, first, "the same bytes to the same key");
}
