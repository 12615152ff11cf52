//! Objects above 16 MiB, whose uploads fail at every step.

use std::thread;
use std::time::Duration;

use serde_json::Value;
use tests::{Client, Fault, Ledger, Random, Rule, RuleId, Sent, Setup, Site, wait_for};

use super::{BROKEN, STEADY, may_look};
use crate::case::{Case, Plan};
use crate::figures::Figures;
use crate::judge::{Late, settle};

/// A round is one object, with some faults while it is uploaded.
pub(crate) const CASE: Case = Case {
    name: "s3-multipart",
    about: "faults at each step of multipart uploads, kill -9 of the flusher amid them; none is left",
    needs: &[],
    short: 6,
    long: 200,
    run,
};

/// What hardly compresses: some 18 MiB of gzip.
const EVENTS: usize = 40;
const EVENT_BYTES: usize = 640_000;

const STEPS: [&str; 6] = [
    "CreateMultipartUpload",
    "UploadPart",
    "UploadPart",
    "CompleteMultipartUpload",
    "AbortMultipartUpload",
    "ListMultipartUploads",
];

fn run(plan: &Plan<'_>) -> Figures {
    let mut random = plan.random("s3-multipart");
    let ingest = "auth = \"none\"\nmax_request_bytes = \"64MiB\"\n".to_owned();
    let flusher = "gzip_level = 1\n".to_owned();
    let buckets = vec![BROKEN, STEADY];
    let mut figures = Figures::default();
    for _ in 0..plan.rounds {
        let (ingest, flusher, buckets) = (ingest.clone(), flusher.clone(), buckets.clone());
        let site = Site::with(&Setup { ingest, flusher, buckets, ..Setup::default() });
        figures.join(&round(&site, &mut random));
    }
    figures
}

fn round(site: &Site, random: &mut Random) -> Figures {
    let mut figures = Figures::default();
    let ingest = site.ingest();
    let ledger = send(&ingest.client(), random);
    assert_eq!(ingest.terminate(), Some(0));
    let hidden = Rule::new(Fault::Refuse(403, "AccessDenied")).on("HeadObject");
    let hidden = (!may_look(random)).then(|| site.s3.add(hidden));
    let faults: Vec<RuleId> = (0..=random.below(4)).map(|_| site.s3.add(rule(random))).collect();
    let mut flusher = site.flusher();
    for _ in 0..random.below(3) {
        thread::sleep(Duration::from_millis(random.below(3000)));
        flusher.kill();
        figures.add("kills_of_the_flusher", 1);
        flusher = site.flusher();
    }
    // Some outlast their rule's times; what holds a request is ended.
    thread::sleep(Duration::from_millis(random.below(3000)));
    for fault in faults {
        figures.add("requests_hit", u64::from(site.s3.hits(fault)));
        site.s3.mend(fault);
    }
    wait_for("the object, or a person to be asked for", || {
        site.s3.objects_of(BROKEN) > 0 || site.log_rows().iter().any(|row| row["state"] == "parked")
    });
    figures.add("moved_away", site.s3.move_foreign_away() as u64);
    site.admin(&["retry"]);
    wait_for("the object", || site.s3.objects_of(BROKEN) > 0);
    assert_eq!(flusher.terminate(), Some(0));
    if let Some(hidden) = hidden {
        site.s3.mend(hidden);
    }
    figures.join(&settle(site, &ledger, Late::Forbidden));
    figures.add("by_multipart", site.s3.calls("CompleteMultipartUpload").len().min(1) as u64);
    assert!(site.s3.calls("PutObject").is_empty(), "the object is too small for the case");
    figures
}

/// A fault of one step, for some of its requests.
fn rule(random: &mut Random) -> Rule {
    let on = STEPS[usize::try_from(random.below(STEPS.len() as u64)).expect("an index")];
    let bytes = usize::try_from(random.below(4_000_000)).expect("it is small");
    let few = usize::try_from(random.below(400)).expect("it is small");
    let fault = match (random.below(15), on) {
        (0, _) => Fault::Refuse(500, "InternalError"),
        (1, _) => Fault::Refuse(500, "InternalError").done(),
        (2, _) => Fault::Refuse(503, "SlowDown"),
        (3, _) => Fault::LoseAnswer,
        (4, _) => Fault::Drop,
        (5, _) => Fault::Hang.done(),
        (6, _) => Fault::CutAnswer(few),
        (7, _) => Fault::Trickle(4_000_000),
        (8, "UploadPart") => Fault::Flip(random.number()),
        (9, "UploadPart") => Fault::CutBody(bytes),
        (10, "UploadPart" | "CompleteMultipartUpload") => Fault::WrongETag,
        (8, "CompleteMultipartUpload") => Fault::Refuse(200, "InternalError"),
        // An empty answer is the right one to an abort: to what was not done it would be a lie that no
        // client can see through.
        (9, "CompleteMultipartUpload") | (8 | 9, "AbortMultipartUpload") => Fault::Empty.done(),
        (11, "CompleteMultipartUpload") => Fault::Refuse(404, "NoSuchUpload").done(),
        (12, "CompleteMultipartUpload") => Fault::Refuse(412, "PreconditionFailed").done(),
        (13, "CompleteMultipartUpload") => Fault::Refuse(409, "ConditionalRequestConflict"),
        (8 | 9, _) => Fault::Empty,
        (10 | 11, _) => Fault::Delay(Duration::from_millis(random.below(2000))),
        _ => Fault::Refuse(400, "RequestTimeout"),
    };
    let times = 1 + u32::try_from(random.below(6)).expect("it is small");
    Rule::new(fault).on(on).bucket(BROKEN).times(times)
}

fn send(client: &Client, random: &mut Random) -> Ledger {
    let payloads: Vec<String> = (0..EVENTS).map(|number| payload(number, random)).collect();
    let events: Vec<String> = payloads
        .iter()
        .map(|payload| format!(r#"{{"bucket":"{BROKEN}","prefix":"p","payload":{payload}}}"#))
        .collect();
    let ids = client.post_send(format!("[{}]", events.join(","))).ids();
    let mut ledger = Ledger::default();
    for (payload, id) in payloads.into_iter().zip(ids) {
        let (bucket, prefix) = (BROKEN.to_owned(), "p".to_owned());
        ledger.note(Sent { bucket, prefix, payload, sender: 0 }, Some(id));
    }
    ledger
}

fn payload(number: usize, random: &mut Random) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = format!("{number:04} ");
    while text.len() < EVENT_BYTES {
        let number = random.number();
        text.extend((0..10).map(|place| {
            let letter = usize::try_from((number >> (6 * place)) & 63).expect("an index");
            char::from(LETTERS[letter])
        }));
    }
    Value::from(text).to_string()
}
