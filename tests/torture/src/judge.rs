//! The judge.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use chrono::DateTime;
use serde_json::Value;
use tests::{Ledger, Object, Objects, Site};

use crate::figures::Figures;

/// The directories of the log that are empty once everything is delivered.
const EMPTY_IN_THE_END: [&str; 5] = ["open", "sealing", "sealed", "parked", "quarantine"];

/// Whether a destination may have had more than one object a minute: only where a run was held
/// beyond its minute (the exception of G4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    Forbidden,
    Allowed,
}

/// Which receipts there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receipts {
    /// One of every object.
    All,
    /// Those of old objects have been removed.
    Young,
}

/// Lets one flusher alone clear what is left, and judges A to D.
///
/// What was sent, acknowledged and delivered is counted; that nothing is lost or there twice is
/// asserted.
#[track_caller]
pub(crate) fn settle(site: &Site, ledger: &Ledger, late: Late) -> Figures {
    drain(site);
    judge(site, ledger, late)
}

/// The same after a run that is longer than receipts are kept.
#[track_caller]
pub(crate) fn settle_for_long(site: &Site, ledger: &Ledger) -> Figures {
    drain(site);
    judge_by(site, ledger, Late::Forbidden, Receipts::Young)
}

#[track_caller]
fn drain(site: &Site) {
    let flusher = site.flusher();
    site.wait_until_drained();
    assert_eq!(flusher.terminate(), Some(0), "a flusher with nothing to do stops at once");
}

/// Judges a log that is drained already.
#[track_caller]
pub(crate) fn judge(site: &Site, ledger: &Ledger, late: Late) -> Figures {
    judge_by(site, ledger, late, Receipts::All)
}

#[track_caller]
fn judge_by(site: &Site, ledger: &Ledger, late: Late, kept: Receipts) -> Figures {
    site.admin(&["verify"]).exits(0);
    let objects = Objects::read(&site.s3);
    ledger.judge(&objects, site.seconds());
    if late == Late::Forbidden {
        objects.assert_one_per_minute();
    }
    let mut figures = Figures::default();
    figures.add("sent", ledger.sent() as u64);
    figures.add("acknowledged", ledger.acknowledged() as u64);
    figures.add("delivered", objects.0.iter().map(|object| object.lines.len() as u64).sum());
    figures.add("objects", objects.0.len() as u64);
    figures.add("lost", 0);
    figures.add("twice", 0);
    figures.highest("largest_lag_ms", receipts_agree(site, &objects, kept));
    assert_eq!(site.s3.unfinished_uploads(), 0, "multipart uploads are left");
    assert_base_line(&site.data());
    figures
}

/// The longest time from the end of a minute to the confirmation of one of its objects, in
/// milliseconds, over the objects that are given. Each of them has one receipt, which tells the
/// same of it.
#[track_caller]
pub(crate) fn lag_ms(site: &Site, objects: &Objects) -> u64 {
    let document = site.admin(&["receipts"]).exits(0).json();
    let mut receipts = by_key(&document);
    objects.0.iter().map(|object| lag_of(site, object, &mut receipts)).max().unwrap_or_default()
}

/// Each object has one receipt that tells the same of it, as far as receipts are `kept`, and each
/// receipt an object. Returns the largest lag.
#[track_caller]
fn receipts_agree(site: &Site, objects: &Objects, kept: Receipts) -> u64 {
    let document = site.admin(&["receipts"]).exits(0).json();
    let mut receipts = by_key(&document);
    let mut largest = 0;
    for object in &objects.0 {
        if kept == Receipts::All || receipts.contains_key(object.key.as_str()) {
            largest = lag_of(site, object, &mut receipts).max(largest);
        }
    }
    assert!(receipts.is_empty(), "receipts without an object: {receipts:?}");
    largest
}

#[track_caller]
fn by_key(document: &Value) -> BTreeMap<&str, &Value> {
    let mut receipts = BTreeMap::new();
    for row in document["receipts"].as_array().expect("a list of receipts") {
        let key = row["key"].as_str().expect("a receipt has a key");
        assert!(receipts.insert(key, row).is_none(), "two receipts for {key}");
    }
    receipts
}

#[track_caller]
fn lag_of(site: &Site, object: &Object, receipts: &mut BTreeMap<&str, &Value>) -> u64 {
    let receipt = receipts.remove(object.key.as_str());
    let receipt = receipt.unwrap_or_else(|| panic!("{} has no receipt", object.key));
    let (lines, size) = (Value::from(object.lines.len()), Value::from(object.size));
    assert_eq!(receipt["bucket"], object.bucket, "{receipt}");
    assert_eq!((&receipt["events"], &receipt["bytes"]), (&lines, &size), "{receipt}");
    assert_eq!(receipt["checksum"], object.checksum, "{receipt}");
    let ended = millis(&object.minute) + site.seconds() * 1000;
    millis(receipt["delivered_at"].as_str().expect("a time")).saturating_sub(ended)
}

/// Nothing is left of the log but its receipts.
#[track_caller]
pub(crate) fn assert_base_line(data: &Path) {
    for name in EMPTY_IN_THE_END {
        let left: Vec<_> = fs::read_dir(data.join(name)).into_iter().flatten().collect();
        assert!(left.is_empty(), "left in {name}: {left:?}");
    }
}

fn millis(time: &str) -> u64 {
    let time = DateTime::parse_from_rfc3339(time).expect("times are RFC 3339");
    u64::try_from(time.timestamp_millis()).expect("it is later than 1970")
}
