//! Stores that lack what S3 has, a name that leads nowhere, keys that expire.

use std::fs;
use std::time::Duration;

use tests::{Fault, Kind, Load, LoadPlan, Rule, S3Server, Service, Site, wait_for};

use crate::case::{Case, Plan};
use crate::figures::Figures;
use crate::judge::{Late, settle};

/// A round is each of them once, with a machine of its own.
pub(crate) const CASE: Case = Case {
    name: "s3-stores",
    about: "stores without conditions or checksums, no DNS, keys that expire and are renewed",
    needs: &[],
    short: 1,
    long: 20,
    run,
};

const CONDITIONS_OFF: (&str, &str) = ("MINUTELOG__S3__CONDITIONAL_WRITES", "false");
const CHECKSUMS_OFF: (&str, &str) = ("MINUTELOG__S3__CHECKSUMS", "false");

fn run(plan: &Plan<'_>) -> Figures {
    let mut figures = Figures::default();
    for number in 0..plan.rounds {
        let seed = plan.random(&format!("s3-stores {number}")).number();
        figures.join(&ignores(plan, seed));
        for (header, status, code, switch) in [
            ("if-none-match", 501, "NotImplemented", CONDITIONS_OFF),
            ("x-amz-checksum-crc32", 400, "InvalidRequest", CHECKSUMS_OFF),
        ] {
            let refused = Rule::new(Fault::Refuse(status, code)).header(header, "");
            figures.join(&refuses(plan, seed, refused, switch));
        }
        figures.join(&no_dns(plan, seed));
        figures.join(&expired_keys(plan, seed));
        figures.add("stores", 5);
    }
    figures
}

/// Takes no notice of conditions and checksums: puts that are repeated write the same bytes again,
/// and what is flipped on the way is refused by its MD5.
fn ignores(plan: &Plan<'_>, seed: u64) -> Figures {
    let site = Site::new();
    site.s3.ignore_conditions();
    site.s3.ignore_checksums();
    let (load, ingest) = start(plan, &site, seed);
    let lost = site.s3.add(Rule::new(Fault::LoseAnswer).on("PutObject").every(3).times(20));
    let flipped = site.s3.add(Rule::new(Fault::Flip(seed)).on("PutObject").every(2).times(20));
    let flusher = site.start(Kind::Flusher, &[CONDITIONS_OFF, CHECKSUMS_OFF]);
    wait_for("faults", || site.s3.hits(lost) > 3 && site.s3.hits(flipped) > 3);
    flusher.kill();
    let flusher = site.start(Kind::Flusher, &[CONDITIONS_OFF, CHECKSUMS_OFF]);
    let mut figures = Figures::default();
    figures.add("flipped", u64::from(site.s3.hits(flipped)));
    finish(&site, load, ingest, flusher, figures)
}

/// Refuses a header: parked, with the switch in what a person is told, and then the switch.
fn refuses(plan: &Plan<'_>, seed: u64, rule: Rule, switch: (&str, &str)) -> Figures {
    let site = Site::new();
    site.s3.add(rule.on("PutObject"));
    let (load, ingest) = start(plan, &site, seed);
    let flusher = site.flusher();
    let key = switch.0.trim_start_matches("MINUTELOG__S3__").to_lowercase();
    wait_for(&format!("{key} to be told"), || {
        let told = |row: &serde_json::Value| {
            row["state"] == "parked" && row["error"].to_string().contains(&format!("s3.{key}"))
        };
        site.log_rows().iter().any(told)
    });
    assert_eq!(site.s3.objects_of("my-bucket"), 0);
    assert_eq!(flusher.terminate(), Some(0));
    let flusher = site.start(Kind::Flusher, &[switch]);
    finish(&site, load, ingest, flusher, Figures::default())
}

/// An endpoint whose name is nobody's, then the configuration mended.
fn no_dns(plan: &Plan<'_>, seed: u64) -> Figures {
    let site = Site::new();
    let (load, ingest) = start(plan, &site, seed);
    let nowhere = ("MINUTELOG__S3__ENDPOINT", "http://does-not-exist.invalid");
    let flusher = site.start(Kind::Flusher, &[nowhere]);
    wait_for("the reason to be told", || {
        site.log_rows().iter().any(|row| row["error"].to_string().contains("endpoint"))
    });
    assert!(site.s3.seen().is_empty());
    let parked = site.log_rows().iter().any(|row| row["state"] == "parked");
    assert!(!parked, "a name that leads nowhere may lead somewhere again");
    assert_eq!(flusher.terminate(), Some(0));
    let flusher = site.flusher();
    finish(&site, load, ingest, flusher, Figures::default())
}

/// Keys in AWS's file that S3 takes no more, and then others in the same file. Nobody restarts.
fn expired_keys(plan: &Plan<'_>, seed: u64) -> Figures {
    let site = Site::new();
    let file = plan.work.join(format!("credentials-{seed}"));
    fs::write(&file, S3Server::credentials_file(false)).expect("the disk takes it");
    let environment = [
        ("AWS_ACCESS_KEY_ID", ""),
        ("AWS_SECRET_ACCESS_KEY", ""),
        ("AWS_SHARED_CREDENTIALS_FILE", file.to_str().expect("it is UTF-8")),
    ];
    let (load, ingest) = start(plan, &site, seed);
    let flusher = site.start(Kind::Flusher, &environment);
    wait_for("the first objects", || site.s3.objects_of("my-bucket") > 0);
    let expired = Rule::new(Fault::Refuse(400, "ExpiredToken"));
    let expired = site.s3.add(expired.header("authorization", "Credential=access/"));
    wait_for("refusals", || site.s3.hits(expired) > 0);
    fs::write(&file, S3Server::credentials_file(true)).expect("the disk takes it");
    let before = site.s3.objects_of("my-bucket");
    wait_for("the renewed keys to be used", || site.s3.objects_of("my-bucket") > before);
    finish(&site, load, ingest, flusher, Figures::default())
}

fn start(plan: &Plan<'_>, site: &Site, seed: u64) -> (Load, Service) {
    let rest = Duration::from_millis(20);
    let load = plan.load(&LoadPlan { rest, senders: 2, pad_bytes: 300, ..LoadPlan::new(seed) });
    let ingest = site.ingest();
    load.aim(Some(ingest.address()));
    (load, ingest)
}

/// Ends the load, and has this flusher deliver all: the judge's own has the usual settings.
fn finish(
    site: &Site,
    load: Load,
    ingest: Service,
    flusher: Service,
    mut figures: Figures,
) -> Figures {
    let ledger = load.stop();
    assert_eq!(ingest.terminate(), Some(0));
    site.wait_until_drained();
    assert_eq!(flusher.terminate(), Some(0));
    figures.join(&settle(site, &ledger, Late::Forbidden));
    figures
}
