//! What damage may cost, and what has to be said of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::{Ledger, Objects, minute_of};

use super::BAD_DATA;
use super::fixture::{Fixture, Place};
use super::harm::{Harm, Way};
use crate::figures::Figures;

/// What of a run is sled's.
const OF_SLED: [&str; 4] = ["db", "conf", "snap", "blobs"];

/// The judgement of one seed.
#[derive(Debug)]
pub(super) struct Verdict<'f> {
    fixture: &'f Fixture,
    harms: &'f [Harm],
    /// Damaged bytes that were there before the flusher came.
    kept: Vec<(&'f Harm, &'f [u8])>,
}

/// What `admin verify` says.
#[derive(Debug)]
struct Report {
    code: Option<i32>,
    damaged: Vec<(String, Option<u64>)>,
    text: String,
}

impl<'f> Verdict<'f> {
    /// Asks `admin verify`, which names what is damaged.
    pub(super) fn before(fixture: &'f Fixture, harms: &'f [Harm]) -> Self {
        let data = fixture.site.data();
        let kept = harms.iter().filter_map(|harm| Some((harm, harm.bytes.as_deref()?)));
        let kept = kept.filter(|(harm, bytes)| holds(&data.join(&harm.path), bytes)).collect();
        let this = Self { fixture, harms, kept };
        let report = Report::ask(fixture);
        for harm in harms {
            if this.must_be_named(harm) {
                let name = harm.dir_name().expect("it lies in a directory");
                let named = report.damaged.iter().any(|(path, _)| path.contains(name));
                assert!(named, "{} is not named: {}", harm.path.display(), report.text);
            }
        }
        this
    }

    /// Judges what stands in S3 and what is said of the rest.
    pub(super) fn after(&self, fresh: &Ledger) -> Figures {
        let objects = Objects::read(&self.fixture.site.s3);
        let mut lines = BTreeMap::<&str, Vec<usize>>::new();
        for (number, object) in objects.0.iter().enumerate() {
            for line in &object.lines {
                lines.entry(line).or_default().push(number);
            }
        }
        let mut missing = BTreeMap::<&str, Vec<&Place>>::new();
        let mut figures = Figures::default();
        for (sent, id) in self.fixture.ledger.events().chain(fresh.events()) {
            let found = lines.remove(sent.payload.as_str()).unwrap_or_default();
            let place = self.fixture.places.get(&sent.payload);
            if found.len() > 1 {
                let place = place.filter(|place| self.may_be_twice(place));
                assert!(place.is_some(), "{id:?} is on {} lines: {sent:?}", found.len());
                figures.add("twice_for_a_part_that_vanished", 1);
            }
            for number in &found {
                let object = &objects.0[*number];
                let seconds = self.fixture.site.seconds();
                let minute = id.map_or(object.minute.clone(), |id| minute_of(id, seconds));
                let there = (&object.bucket, &object.prefix, &object.minute);
                assert_eq!(there, (&sent.bucket, &sent.prefix, &minute), "{id:?}");
            }
            if found.is_empty() && id.is_some() {
                let place = place.unwrap_or_else(|| panic!("{id:?} was sent later and is lost"));
                assert!(!self.fixture.before.contains(&sent.payload), "{id:?} was in S3");
                missing.entry(&place.minute).or_default().push(place);
            }
            figures.add("delivered", u64::from(!found.is_empty()));
        }
        assert!(lines.is_empty(), "nobody sent {lines:?}");
        figures.join(&self.losses(&missing));
        figures
    }

    fn losses(&self, missing: &BTreeMap<&str, Vec<&Place>>) -> Figures {
        let report = Report::ask(self.fixture);
        let mut figures = Figures::default();
        for (minute, places) in missing {
            for place in places {
                let excused = self.harms.iter().any(|harm| self.excuses(harm, place));
                assert!(excused, "nothing that held {place:?} was damaged: {}", report.text);
            }
            self.one_object_a_flip(minute, places);
            let lost = places.len() as u64;
            figures.add("lost", lost);
            let told = report.missing_of(minute);
            if self.is_untold(minute) {
                figures.add("lost_without_a_trace", lost.saturating_sub(told.unwrap_or(lost)));
                continue;
            }
            assert_eq!(report.code, Some(BAD_DATA), "{}", report.text);
            match told {
                Some(told) => {
                    assert!(told >= lost, "{lost} of {minute} are lost: {}", report.text);
                    figures.add("told_as_missing", told);
                }
                None => figures.add("told_as_unknown", lost),
            }
            self.nothing_was_deleted(places);
        }
        let quarantine = fs::read_dir(self.fixture.site.data().join("quarantine"));
        figures.add("quarantined", quarantine.map_or(0, |entries| entries.count() as u64));
        figures
    }

    /// Whether damage to this may cost that event.
    fn excuses(&self, harm: &Harm, place: &Place) -> bool {
        let is_sealed = self.fixture.sealed.contains(&place.minute);
        if harm.minute() != Some(&place.minute) {
            return false;
        }
        match (harm.kind.stage.as_str(), harm.kind.file.as_str()) {
            ("sealed" | "parked", "" | "manifest" | "segments") => true,
            // What is sealed needs its runs no more.
            ("open", file) if !is_sealed => {
                let of_its_run = harm.dir_name() == Some(&place.run);
                of_its_run && (file.is_empty() || OF_SLED.contains(&file))
            }
            _ => false,
        }
    }

    /// A flip in sealed bytes costs the object that it is in, and no other.
    fn one_object_a_flip(&self, minute: &str, places: &[&Place]) {
        let of_minute = || self.harms.iter().filter(|harm| harm.minute() == Some(minute));
        let is_flip = |harm: &Harm| {
            harm.kind.file == "segments" && matches!(harm.way, Way::FlipBit | Way::FlipByte)
        };
        let costs = |harm: &&Harm| places.iter().any(|place| self.excuses(harm, place));
        let flips = of_minute().filter(|harm| is_flip(harm)).count();
        if of_minute().filter(costs).all(is_flip) {
            let objects: BTreeSet<_> =
                places.iter().map(|place| (&place.bucket, &place.prefix)).collect();
            assert!(objects.len() <= flips, "{flips} flips cost {objects:?}");
        }
    }

    /// Whether nothing is left that tells of the loss: a directory that is gone, or a run without
    /// its end.
    fn is_untold(&self, minute: &str) -> bool {
        let of_minute = || self.harms.iter().filter(|harm| harm.minute() == Some(minute));
        of_minute().any(|harm| {
            let Some(name) = harm.dir_name() else { return false };
            let gone = harm.kind.file.is_empty() && harm.way == Way::Remove;
            let is_run = harm.kind.stage == "open";
            let was_torn = !self.fixture.kept.join("open").join(name).join("closed").exists();
            let lost_its_end = of_minute()
                .any(|other| other.dir_name() == Some(name) && other.kind.file == "closed");
            let of_sled = OF_SLED.contains(&harm.kind.file.as_str());
            gone || (is_run && of_sled && (was_torn || lost_its_end))
        })
    }

    /// The one exception: a part that vanishes whole leaves its runs, and those are sealed anew.
    fn may_be_twice(&self, place: &Place) -> bool {
        self.harms.iter().any(|harm| {
            let is_part = matches!(&*harm.kind.stage, "sealed" | "parked");
            let vanished = harm.kind.file.is_empty() && harm.way == Way::Remove;
            is_part && vanished && harm.minute() == Some(&place.minute)
        })
    }

    /// Whether `verify` finds this damage by itself.
    fn must_be_named(&self, harm: &Harm) -> bool {
        let data = self.fixture.site.data();
        let path = data.join(&harm.path);
        let dir_is_there = path.parent().is_some_and(Path::is_dir);
        let is_there = fs::symlink_metadata(&path).is_ok();
        // A later harm may have removed what this one had damaged, or put back what it had swapped.
        let is_as_left = match &harm.bytes {
            Some(bytes) => holds(&path, bytes),
            None => is_there || harm.way == Way::Remove,
        };
        let is_whole = fs::read(self.fixture.kept.join(&harm.path)).ok().as_ref()
            == harm.bytes.as_ref()
            && harm.bytes.is_some();
        if !dir_is_there || !is_as_left || is_whole {
            return false;
        }
        let is_sealed = harm.minute().is_some_and(|minute| self.fixture.sealed.contains(minute));
        match (harm.kind.stage.as_str(), harm.kind.file.as_str()) {
            ("sealed" | "parked" | "receipts", "manifest" | "index")
            | ("receipts", "deliveries") => true,
            ("sealed" | "parked" | "receipts", "") => harm.way != Way::Remove,
            ("open", "closed" | "") => harm.way != Way::Remove && !is_sealed,
            _ => false,
        }
    }

    /// Of what has cost events, every damaged byte is still there. sled's files are sled's: it
    /// writes to what it opens.
    fn nothing_was_deleted(&self, lost: &[&Place]) {
        let costs = |harm: &Harm| lost.iter().any(|place| self.excuses(harm, place));
        for (harm, bytes) in self.kept.iter().filter(|(harm, _)| costs(harm)) {
            let of_sled = OF_SLED.contains(&harm.kind.file.as_str());
            let name = harm.path.file_name();
            let there = files(&self.fixture.site.data())
                .into_iter()
                .any(|path| if of_sled { path.file_name() == name } else { holds(&path, bytes) });
            assert!(there, "the damaged {} is gone", harm.path.display());
        }
    }
}

impl Report {
    fn ask(fixture: &Fixture) -> Self {
        let output = fixture.site.admin(&["verify"]);
        let text = format!("{}{}", output.stdout, output.stderr);
        assert!(matches!(output.code, Some(0 | BAD_DATA)), "{:?}: {text}", output.code);
        let document = output.json();
        let rows = document["damaged"].as_array().expect("a list");
        let row = |row: &Value| {
            let path = row["path"].as_str().expect("a path").to_owned();
            (path, row["missing"].as_u64())
        };
        let damaged: Vec<_> = rows.iter().map(row).collect();
        assert_eq!(damaged.is_empty(), output.code == Some(0), "{text}");
        Self { code: output.code, damaged, text }
    }

    /// How many events of a minute are told as missing; `None` where that is told as unknown.
    fn missing_of(&self, minute: &str) -> Option<u64> {
        let of_minute = self.damaged.iter().filter(|(path, _)| path.contains(minute));
        of_minute.map(|(_, missing)| *missing).sum()
    }
}

fn holds(path: &Path, bytes: &[u8]) -> bool {
    let fits = |metadata: fs::Metadata| metadata.is_file() && metadata.len() == bytes.len() as u64;
    fs::symlink_metadata(path).is_ok_and(fits) && fs::read(path).is_ok_and(|found| found == bytes)
}

/// All files below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => dirs.push(entry.path()),
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found
}
