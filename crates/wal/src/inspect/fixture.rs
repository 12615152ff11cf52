//! A data directory in every state, for tests: runs by a real [`Log`], parts as a seal makes them.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flate2::write::GzEncoder;
use model::{
    Clock, Destination, Digest, EventId, EventName, Extents, Identifier, Interval, ManualClock,
    Minute, ObjectKey, UnixMillis,
};

use super::{EventQuery, EventRow, Inspector};
use crate::*;

/// A data directory with a clock.
pub(super) struct Fixture {
    pub(super) data: DataDir,
    pub(super) clock: Arc<ManualClock>,
    pub(super) inspector: Inspector,
    runtime: tokio::runtime::Runtime,
    _dir: tempfile::TempDir,
}

/// A running ingest.
pub(super) struct Ingest {
    log: Log,
    appender: Appender,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            data: DataDir::create(dir.path().join("data")).unwrap(),
            clock: Arc::new(ManualClock::new(UnixMillis::from_seconds(1_795_342_505))),
            inspector: Inspector::new(dir.path().join("data")),
            runtime: tokio::runtime::Runtime::new().unwrap(),
            _dir: dir,
        }
    }

    pub(super) fn minute(&self) -> Minute {
        Minute::containing(self.clock.now(), Interval::default())
    }

    pub(super) fn next_minute(&self) {
        self.clock.advance(Interval::default().as_duration());
    }

    pub(super) fn ingest(&self) -> Ingest {
        let options = LogOptions {
            data_dir: self.data.root().to_owned(),
            interval: Interval::default(),
            max_bytes: 1 << 30,
            max_destinations: 1000,
            run_bytes: DEFAULT_RUN_BYTES,
        };
        let (log, appender) =
            Log::start(options, Arc::<ManualClock>::clone(&self.clock), Arc::new(())).unwrap();
        Ingest { log, appender }
    }

    /// Appends `(prefix, name, payload)` events as one request.
    pub(super) fn append(&self, ingest: &Ingest, events: &[(&str, &str, &str)]) -> Vec<EventId> {
        let mut batch = Batch::new();
        for (prefix, name, payload) in events {
            let name = EventName::new(name).ok();
            batch.push(&destination(prefix), name.as_ref(), payload.as_bytes());
        }
        let appended = self.runtime.block_on(ingest.appender.append(batch)).unwrap();
        self.clock.advance(Duration::from_millis(1));
        appended.ids().collect()
    }

    pub(super) fn close(&self, ingest: Ingest) {
        drop(ingest.appender);
        self.runtime.block_on(ingest.log.close()).unwrap();
    }

    /// A minute that was written, closed and left behind by ingest; the clock goes on to the next.
    pub(super) fn finished(&self, events: &[(&str, &str, &str)]) -> (Minute, Vec<EventId>) {
        let ingest = self.ingest();
        let ids = self.append(&ingest, events);
        let minute = self.minute();
        self.close(ingest);
        self.next_minute();
        (minute, ids)
    }

    /// Seals what there is of a minute, as the flusher does; the runs stay.
    pub(super) fn seal(&self, minute: Minute) -> PartName {
        self.try_seal(minute).unwrap()
    }

    /// The same; `None` where somebody reads one of the runs.
    pub(super) fn try_seal(&self, minute: Minute) -> Option<PartName> {
        let names = self.data.runs().unwrap().into_iter().filter(|run| run.minute == minute);
        let runs: Result<Vec<RunReader>> =
            names.map(|run| RunReader::open(&self.data, run)).collect();
        let runs = match runs {
            Err(Error::Busy { .. }) => return None,
            runs => runs.unwrap(),
        };
        let part =
            (0..9).find(|part| self.data.find_part(PartName { minute, part: *part }).is_none());
        let name = PartName { minute, part: part.unwrap() };
        let dir = self.data.sealing_part_dir(name);
        fs::create_dir(&dir).unwrap();
        let runs_ids = runs.iter().map(|run| run.name().run).collect();
        let head = ManifestHead { name, sealed_at: minute.end(), runs: runs_ids };
        write_part(&dir, &head, &MinuteReader::new(runs));
        durable::rename(&dir, &self.data.part_dir(Stage::Sealed, name)).unwrap();
        Some(name)
    }

    pub(super) fn journal(&self, name: PartName, outcomes: &[(u32, Outcome)]) {
        let stage = self.data.find_part(name).unwrap();
        let mut journal = DeliveryJournal::open(&self.data.part_dir(stage, name)).unwrap();
        for (object, outcome) in outcomes {
            journal.append(*object, outcome).unwrap();
        }
        journal.sync().unwrap();
    }

    pub(super) fn move_part(&self, name: PartName, to: Stage) {
        let from = self.data.find_part(name).unwrap();
        let (from, to) = (self.data.part_dir(from, name), self.data.part_dir(to, name));
        durable::rename(&from, &to).unwrap();
    }

    pub(super) fn quarantine_part(&self, name: PartName) {
        let from = self.data.part_dir(self.data.find_part(name).unwrap(), name);
        durable::rename(&from, &self.data.quarantine_dir().join(name.to_string())).unwrap();
    }

    pub(super) fn remove_runs(&self, minute: Minute) {
        for run in self.data.runs().unwrap().into_iter().filter(|run| run.minute == minute) {
            durable::remove_dir(&self.data.run_dir(run)).unwrap();
        }
    }

    /// Seals and delivers a minute, up to its receipts.
    pub(super) fn deliver(&self, minute: Minute) -> PartName {
        let name = self.seal(minute);
        let dir = self.data.part_dir(Stage::Sealed, name);
        let objects = ManifestReader::open(&dir).unwrap().end().unwrap().objects;
        let outcomes: Vec<_> = (0..objects).map(|object| (object, delivered(5))).collect();
        self.journal(name, &outcomes);
        self.remove_runs(minute);
        fs::remove_file(dir.join(SEGMENTS_FILE)).unwrap();
        self.move_part(name, Stage::Receipts);
        name
    }

    pub(super) fn events(&self, limit: usize) -> Vec<EventRow> {
        let found = self.inspector.events(&EventQuery { limit, ..EventQuery::default() }).unwrap();
        assert_eq!(found.warnings, Vec::<String>::new());
        found.rows
    }

    pub(super) fn part_file(&self, name: PartName, file: &str) -> PathBuf {
        self.data.part_dir(self.data.find_part(name).unwrap(), name).join(file)
    }
}

pub(super) fn destination(prefix: &str) -> Destination {
    Destination::parse("bucket", prefix).unwrap()
}

pub(super) fn delivered(at_ms: u64) -> Outcome {
    let etag = Some("\"etag\"".to_owned());
    let checksum = "crc32:AAAAAA==".to_owned();
    Outcome::Delivered(Receipt { at_ms, etag, checksum, already_there: false })
}

pub(super) fn failure(error: &str) -> Failure {
    Failure { at_ms: 4, error: error.to_owned() }
}

fn write_part(dir: &std::path::Path, head: &ManifestHead, runs: &MinuteReader) {
    let mut manifest = ManifestWriter::create(dir, head).unwrap();
    let mut index = IndexWriter::create(dir, head).unwrap();
    let mut segments = File::create_new(dir.join(SEGMENTS_FILE)).unwrap();
    let mut offset = 0;
    let mut events = vec![0; head.runs.len()];
    for found in runs.destinations() {
        let (id, destination) = found.unwrap();
        let position = index.begin_object();
        let (mut lines, mut ids) = (Vec::new(), Vec::new());
        for record in runs.records(id) {
            let record = record.unwrap();
            for event in record.iter() {
                let event = event.unwrap();
                lines.extend_from_slice(event.payload);
                lines.push(b'\n');
                index.push(&event).unwrap();
                ids.push(event.id);
                events[head.runs.iter().position(|run| *run == event.id.run()).unwrap()] += 1;
            }
        }
        index.end_object().unwrap();
        let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&lines).unwrap();
        let bytes = gzip.finish().unwrap();
        segments.write_all(&bytes).unwrap();
        let lines_digest = Digest::of(&lines);
        let identifier = Identifier::derive(&destination, &lines_digest, &[7; 32]);
        let object = SealedObject {
            key: ObjectKey::new(destination.prefix(), head.sealed_at, &identifier),
            destination,
            extents: Extents::one(offset, bytes.len() as u64),
            crc32: crc32fast::hash(&bytes),
            block_crc32: vec![crc32fast::hash(&bytes)],
            events: ids.len() as u64,
            lines_bytes: lines.len() as u64,
            lines_digest,
            first: ids[0],
            last: ids[ids.len() - 1],
            index: position,
        };
        offset = object.extents.end();
        manifest.write(&object).unwrap();
    }
    index.finish().unwrap();
    let sealed = |events| SealedRun { events, missing: 0, damage: None };
    manifest.finish(offset, events.into_iter().map(sealed).collect(), None).unwrap();
}
