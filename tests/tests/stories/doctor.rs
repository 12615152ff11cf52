//! `admin doctor`: what is wrong with a machine or a bucket is told before it costs anything, and
//! asking leaves nothing behind.

use std::time::Duration;

use chrono::Utc;
use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{Fault, Output, Rule, Setup, Site, run};

const UNAVAILABLE: i32 = 69;
const CONFIG: i32 = 78;

const MINUTE: i64 = 60;

fn doctor(site: &Site, more: &[&str]) -> Output {
    site.admin(&[&["doctor"], more].concat())
}

/// The state of a check, and what is said of it. `bucket` is null for the machine's.
#[track_caller]
fn check(document: &Value, bucket: &Value, name: &str) -> (String, String) {
    let checks = document["checks"].as_array().unwrap();
    let mut found = checks.iter().filter(|it| it["bucket"] == *bucket && it["check"] == name);
    let check = found.next().unwrap_or_else(|| panic!("no {name} of {bucket} in {document:#}"));
    assert!(found.next().is_none(), "{name} twice in {document:#}");
    let state = check["state"].as_str().unwrap().to_owned();
    // What is wrong comes with what to do.
    assert!(state != "fail" && state != "warn" || check["advice"].is_string(), "{check}");
    (state, format!("{} {}", check["detail"], check["advice"]))
}

#[track_caller]
fn state(document: &Value, bucket: &str, name: &str) -> String {
    check(document, &json!(bucket), name).0
}

/// Asserts that a check has this state and says this.
#[track_caller]
fn says(document: &Value, bucket: &str, name: &str, state: &str, what: &str) {
    let (found, detail) = check(document, &json!(bucket), name);
    assert!(found == state && detail.contains(what), "{name} is {found}: {detail}");
}

#[test]
fn a_healthy_site_is_found_healthy_and_left_as_it_was() {
    let site = Site::with(&Setup::long_minute());
    let before = doctor(&site, &["--bucket", "my-bucket"]).exits(0).json();
    assert_eq!(check(&before, &Value::Null, "data-directory").0, "warn");
    let nowhere = ["--bucket", "my-bucket", "--data-dir", "/no/such/directory"];
    let document = doctor(&site, &nowhere).exits(CONFIG).json();
    assert_eq!(check(&document, &Value::Null, "data-directory").0, "fail");
    let (ingest, flusher) = (site.ingest(), site.flusher());
    ingest.client().send("my-bucket", "p", "1");
    let document = doctor(&site, &[]).exits(0).json();
    for name in ["data-directory", "modes", "log", "ingest", "flusher", "tokens", "ops-listeners"] {
        assert_eq!(check(&document, &Value::Null, name).0, "ok", "{name}");
    }
    for name in [
        "reachable",
        "s3:GetBucketLocation",
        "region",
        "s3:PutObject",
        "s3:AbortMultipartUpload",
        "s3:ListBucketMultipartUploads",
        "leftover-uploads",
        "clock",
    ] {
        assert_eq!(state(&document, "my-bucket", name), "ok", "{name} in {document:#}");
    }
    says(&document, "my-bucket", "conditional-writes", "unknown", "--write");
    let people = site.run(&["admin", "doctor"]).exits(0).stdout.clone();
    assert!(people.contains("this machine\n") && people.contains("\nmy-bucket\n"), "{people}");
    assert_eq!(ingest.terminate(), Some(0));
    assert_eq!(flusher.terminate(), Some(0));
    let stopped = doctor(&site, &[]).exits(0).json();
    for service in ["ingest", "flusher"] {
        assert_eq!(check(&stopped, &Value::Null, service).0, "warn");
    }
    assert_eq!(site.s3.keys("my-bucket"), Vec::<String>::new());
    assert_eq!(site.s3.unfinished_uploads(), 0);
}

#[test]
fn every_bucket_that_matters_is_asked() {
    let hash = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
    let rest = format!(
        "[[bucket]]\nname = \"of-config\"\n[[token]]\nname = \"t\"\nhash = \"blake3:{hash}\"\n\
         allow = [\"of-token/x/*\"]\n"
    );
    let buckets = vec!["of-config", "of-token", "of-log", "one-more"];
    let site = Site::with(&Setup { buckets, rest, ..Setup::long_minute() });
    let asked = |more: &[&str]| {
        let document = doctor(&site, more).exits(0).json();
        let checks = document["checks"].as_array().unwrap().clone();
        let buckets = checks.iter().filter(|check| check["check"] == "reachable");
        buckets.map(|check| check["bucket"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = ["of-config", "of-log", "of-token"];
    let ingest = site.ingest();
    ingest.client().send("of-log", "p", "1");
    assert_eq!(asked(&[]), all, "from the open minute");
    assert_eq!(ingest.terminate(), Some(0));
    assert_eq!(asked(&[]), all, "from a finished one");
    site.flush_once_without_s3().exits(75);
    assert_eq!(asked(&[]), all, "from a sealed one");
    site.flush_once().exits(0);
    assert_eq!(asked(&[]), all, "from its receipts");
    assert_eq!(asked(&["--bucket", "one-more"]), ["one-more"]);
}

#[test]
fn each_permission_that_lacks_is_named() {
    let rest = "[[bucket]]\nname = \"my-bucket\"\nacl = \"bucket-owner-full-control\"\n\
                tags = { team = \"data\" }\n";
    let site = Site::with(&Setup { rest: rest.to_owned(), ..Setup::default() });
    let well = doctor(&site, &[]).exits(0).json();
    for name in ["s3:PutObjectAcl", "s3:PutObjectTagging"] {
        assert_eq!(state(&well, "my-bucket", name), "ok");
    }
    for (call, name, found, code) in [
        ("CreateMultipartUpload", "s3:PutObject", "fail", UNAVAILABLE),
        ("AbortMultipartUpload", "s3:AbortMultipartUpload", "warn", 0),
        ("ListMultipartUploads", "s3:ListBucketMultipartUploads", "warn", 0),
    ] {
        let rule = site.s3.add(Rule::new(Fault::Refuse(403, "AccessDenied")).on(call));
        let document = doctor(&site, &[]).exits(code).json();
        site.s3.mend(rule);
        says(&document, "my-bucket", name, found, "admin policy");
    }
    for (what, found, code) in [
        ("GetBucketLocation", "warn", 0),
        ("PutObjectAcl", "fail", UNAVAILABLE),
        ("PutObjectTagging", "fail", UNAVAILABLE),
    ] {
        site.s3.refuse(what, "AccessDenied");
        let document = doctor(&site, &[]).exits(code).json();
        site.s3.allow(what);
        says(&document, "my-bucket", &format!("s3:{what}"), found, "admin policy");
    }
    site.s3.refuse("PutObjectAcl", "AccessControlListNotSupported");
    let document = doctor(&site, &[]).exits(UNAVAILABLE).json();
    says(&document, "my-bucket", "s3:PutObjectAcl", "fail", "remove acl");
}

#[test]
fn a_bucket_that_is_not_there_or_elsewhere_is_told() {
    let site = Site::new();
    let document = doctor(&site, &["--bucket", "no-bucket"]).exits(UNAVAILABLE).json();
    says(&document, "no-bucket", "exists", "fail", "create the bucket");

    site.s3.set_region("my-bucket", "eu-west-1");
    let document = doctor(&site, &["--bucket", "my-bucket"]).exits(0).json();
    says(&document, "my-bucket", "region", "warn", "region = \\\"eu-west-1\\\"");

    let moved = site.s3.add(Rule::new(Fault::Refuse(301, "PermanentRedirect")));
    let document = doctor(&site, &["--bucket", "my-bucket"]).exits(UNAVAILABLE).json();
    says(&document, "my-bucket", "region", "fail", "[[bucket]]");
    site.s3.mend(moved);

    let mut elsewhere = site.command(&["admin", "doctor", "--bucket", "my-bucket", "--json"]);
    elsewhere.env("MINUTELOG__S3__ENDPOINT", "http://127.0.0.1:1");
    let document = run(&mut elsewhere).exits(UNAVAILABLE).json();
    says(&document, "my-bucket", "reachable", "fail", "http://127.0.0.1:1");

    let mut unknown = site.command(&["admin", "doctor", "--bucket", "my-bucket", "--json"]);
    unknown.env("AWS_SECRET_ACCESS_KEY", "another");
    let document = run(&mut unknown).exits(UNAVAILABLE).json();
    says(&document, "my-bucket", "credentials", "fail", "mend the credentials");

    let mut nobody = site.command(&["admin", "doctor", "--bucket", "my-bucket", "--json"]);
    nobody.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let document = run(&mut nobody).exits(UNAVAILABLE).json();
    says(&document, "my-bucket", "credentials", "fail", "give minutelog AWS credentials");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it is the clock of the process that is in question")]
fn a_clock_that_is_off_is_told() {
    let site = Site::new();
    for (minutes, found, what, code) in [
        (0, "ok", "", 0),
        (5, "warn", "behind", 0),
        (-5, "warn", "ahead of", 0),
        (20, "fail", "refused", UNAVAILABLE),
    ] {
        let date = Utc::now() + chrono::Duration::seconds(minutes * MINUTE);
        site.s3.set_date(date.format("%a, %d %b %Y %H:%M:%S GMT").to_string());
        let rule =
            Rule::new(Fault::Refuse(403, "RequestTimeTooSkewed")).on("CreateMultipartUpload");
        let rule = (code != 0).then(|| site.s3.add(rule));
        let document = doctor(&site, &["--bucket", "my-bucket"]).exits(code).json();
        says(&document, "my-bucket", "clock", found, what);
        if let Some(rule) = rule {
            site.s3.mend(rule);
        }
    }
}

#[test]
fn uploads_that_were_left_behind_are_counted() {
    let site = Site::new();
    let day = Duration::from_hours(24);
    let digits = "8f25b54462bf6eeac3ee8bde512b6c59654c454356e808167a01c43ebe4ee919";
    let key = format!("a/2019/05/25/16/2019-05-25-16-14-58-{digits}.gz");
    site.s3.leave_upload("my-bucket", "of/somebody/else", 9 * day);
    site.s3.leave_upload("my-bucket", &key, day / 24);
    let young = doctor(&site, &["--bucket", "my-bucket"]).exits(0).json();
    says(&young, "my-bucket", "leftover-uploads", "ok", "1 upload unfinished");
    site.s3.leave_upload("my-bucket", &key, 3 * day);
    let old = doctor(&site, &["--bucket", "my-bucket"]).exits(0).json();
    says(&old, "my-bucket", "leftover-uploads", "warn", "2 uploads unfinished");
    says(&old, "my-bucket", "leftover-uploads", "warn", "3days");
    says(&old, "my-bucket", "leftover-uploads", "warn", "AbortIncompleteMultipartUpload");
    assert_eq!(site.s3.unfinished_uploads(), 3, "nobody asked for them to be aborted");
}

#[test]
fn conditional_writes_are_learnt_by_writing() {
    let args = ["--bucket", "my-bucket", "--prefix", "of/mine", "--write"];
    let site = Site::new();
    let document = doctor(&site, &args).exits(0).json();
    assert_eq!(state(&document, "my-bucket", "conditional-writes"), "ok");
    assert_eq!(state(&document, "my-bucket", "written-object"), "ok");
    assert_eq!(site.s3.keys("my-bucket"), Vec::<String>::new());

    site.s3.refuse("DeleteObject", "AccessDenied");
    let document = doctor(&site, &args).exits(0).json();
    let keys = site.s3.keys("my-bucket");
    assert!(keys.len() == 1 && keys[0].starts_with("of/mine/.minutelog-doctor/"), "{keys:?}");
    says(&document, "my-bucket", "written-object", "warn", &keys[0]);
    site.s3.allow("DeleteObject");

    site.s3.ignore_conditions();
    let document = doctor(&site, &args).exits(0).json();
    says(&document, "my-bucket", "conditional-writes", "warn", "s3.conditional_writes = false");

    site.s3.add(Rule::new(Fault::Refuse(501, "NotImplemented")).on("PutObject"));
    let document = doctor(&site, &args).exits(UNAVAILABLE).json();
    says(&document, "my-bucket", "conditional-writes", "fail", "s3.conditional_writes = false");
}

#[test]
fn a_machine_that_is_not_set_up_exits_with_78() {
    let site = Site::with(&Setup { ingest: String::new(), ..Setup::default() });
    let document = doctor(&site, &["--bucket", "my-bucket"]).exits(CONFIG).json();
    assert_eq!(check(&document, &Value::Null, "tokens").0, "fail");

    let ops = "ops_listen = \"0.0.0.0:9602\"\n".to_owned();
    let site = Site::with(&Setup {
        flusher: ops,
        ingest: "auth = \"none\"\ninsecure = true\n".into(),
        ..Setup::default()
    });
    let document = doctor(&site, &["--bucket", "my-bucket"]).exits(0).json();
    assert_eq!(check(&document, &Value::Null, "ops-listeners").0, "warn");
    std::fs::create_dir(site.data()).unwrap();
    let document = doctor(&site, &["--bucket", "my-bucket"]).exits(0).json();
    assert_eq!(check(&document, &Value::Null, "modes").0, "warn", "others may read it");
    std::fs::write(site.data().join("format"), "minutelog 99\n").unwrap();
    let document = doctor(&site, &["--bucket", "my-bucket"]).exits(CONFIG).json();
    assert_eq!(check(&document, &Value::Null, "data-directory").0, "fail");
}

#[test]
fn a_service_that_is_stopped_is_told_as_such() {
    let site = Site::with(&Setup::long_minute());
    let (ingest, flusher) = (site.ingest(), site.flusher());
    for service in [&ingest, &flusher] {
        service.signal(Signal::STOP);
    }
    let document = doctor(&site, &["--bucket", "my-bucket"]).exits(0).json();
    for name in ["ingest", "flusher"] {
        let (state, detail) = check(&document, &Value::Null, name);
        let what = format!("{name} does not answer: it is stopped or hung");
        assert!(state == "warn" && detail.contains(&what), "{state}: {detail}");
    }
}
