//! A seal as it is written: object by object into segments, index and manifest.

use std::collections::{HashMap, VecDeque};
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use model::{Destination, EventId, Identifier, ObjectKey};
use tokio_util::sync::CancellationToken;
use wal::{
    DestinationId, IndexPosition, IndexReader, IndexWriter, ManifestHead, ManifestWriter,
    MinuteReader, Record, RunDamage, SEGMENTS_FILE, SealedObject, SealedRun,
};

use crate::ahead::{Begun, BegunPart, Segments, end_of};
use crate::repeats::{Repeats, Verdict};
use crate::segment::{Segment, Written};

/// How far the writing of a seal has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Every object is there.
    Whole,
    /// The flusher was told to stop.
    Stopped,
    /// What was compressed ahead is not what the minute begins with.
    NotAsBegun,
}

/// What was read of a run.
#[derive(Clone, Debug, Default)]
struct Tally {
    events: u64,
    /// The position after the last event that was seen.
    end: u64,
    missing: u64,
    damage: Option<String>,
    /// Whether objects that were begun have all of it.
    is_begun: bool,
}

pub(crate) struct SealWriter {
    head: ManifestHead,
    nonce: [u8; 32],
    manifest: ManifestWriter,
    index: IndexWriter,
    segments: Segments,
    segments_path: PathBuf,
    /// What was compressed ahead, and the ids of its lines.
    begun: HashMap<DestinationId, Begun>,
    begun_index: Option<IndexReader>,
    /// Objects that have ended and are not in the manifest yet, as they are still being compressed;
    /// `None` for one without events.
    ended: VecDeque<Option<Ended>>,
    tallies: Vec<Tally>,
    repeats: Repeats,
}

/// What is known of an object before it is compressed.
struct Ended {
    destination: Destination,
    first: EventId,
    last: EventId,
    index: IndexPosition,
}

/// An object that is gone on with.
struct GoneOn {
    first: EventId,
    last: EventId,
    /// Whether all that it has is to be in it.
    is_as_begun: bool,
}

impl SealWriter {
    pub(crate) fn create(
        dir: &Path,
        head: ManifestHead,
        repeats: Repeats,
        begun: BegunPart,
    ) -> wal::Result<Self> {
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce).expect("Linux has random bytes");
        let tally = |run| match begun.runs.iter().find(|read| read.run == run) {
            Some(read) => {
                Tally { events: read.events, end: read.end, is_begun: true, ..Tally::default() }
            }
            None => Tally::default(),
        };
        Ok(Self {
            nonce,
            manifest: ManifestWriter::create(dir, &head)?,
            index: IndexWriter::create(dir, &head)?,
            tallies: head.runs.iter().map(|run| tally(*run)).collect(),
            repeats,
            head,
            segments: begun.segments,
            segments_path: dir.join(SEGMENTS_FILE),
            begun: begun.objects,
            begun_index: begun.index,
            ended: VecDeque::new(),
        })
    }

    /// How many events were left out as repeats.
    pub(crate) fn left_out(&self) -> u64 {
        self.repeats.left_out().iter().sum()
    }

    /// Writes every object.
    pub(crate) fn write_all(
        &mut self,
        reader: &MinuteReader,
        stop: &CancellationToken,
    ) -> wal::Result<Progress> {
        for destination in reader.destinations() {
            let progress = match destination {
                Ok((id, destination)) => self.write_object(reader, id, destination, stop)?,
                Err(damage) => {
                    self.note(damage);
                    Progress::Whole
                }
            };
            if progress != Progress::Whole {
                return Ok(progress);
            }
        }
        // Those that no run tells of which something is left.
        let mut begun: Vec<_> =
            self.begun.iter().map(|(id, it)| (*id, it.destination.clone())).collect();
        begun.sort_unstable_by_key(|(id, _)| *id);
        for (id, destination) in begun {
            let progress = self.write_object(reader, id, destination, stop)?;
            if progress != Progress::Whole {
                return Ok(progress);
            }
        }
        Ok(Progress::Whole)
    }

    fn write_object(
        &mut self,
        reader: &MinuteReader,
        id: DestinationId,
        destination: Destination,
        stop: &CancellationToken,
    ) -> wal::Result<Progress> {
        let position = self.index.begin_object();
        let begun = self.begun.remove(&id).map(|begun| self.go_on(begun)).transpose()?;
        let (mut ends, begun) = match begun {
            Some(GoneOn { is_as_begun: false, .. }) => return Ok(Progress::NotAsBegun),
            Some(GoneOn { first, last, .. }) => (Some((first, last)), true),
            None => (None, false),
        };
        let mut damages = Vec::new();
        let is_left =
            |run: usize| !begun || self.tallies.get(run).is_none_or(|tally| !tally.is_begun);
        let records = reader.records_of(id, &is_left);
        for record in records.take_while(|_| !stop.is_cancelled()) {
            let record = match record {
                Ok(record) => record,
                Err(damage) => {
                    damages.push(damage);
                    continue;
                }
            };
            // G6: what was begun comes first.
            if begun && ends.is_some_and(|(_, last)| record.first_id() <= last) {
                return Ok(Progress::NotAsBegun);
            }
            self.write_record(&record, &mut ends)?;
        }
        self.segments.end_object().map_err(wal::Error::io(&self.segments_path))?;
        for damage in damages {
            self.note(damage);
        }
        self.index.end_object()?;
        // A destination whose events are all lost has no object; its bytes stay unused.
        let ended = ends.map(|(first, last)| Ended { destination, first, last, index: position });
        self.ended.push_back(ended);
        self.write_compressed()?;
        Ok(if stop.is_cancelled() { Progress::Stopped } else { Progress::Whole })
    }

    /// Goes on with an object that was compressed ahead.
    fn go_on(&mut self, begun: Begun) -> wal::Result<GoneOn> {
        let Begun { object, first, last, index, .. } = begun;
        let object = object.expect("what is under way is waited for at the end of each run");
        self.segments.go_on(object).map_err(wal::Error::io(&self.segments_path))?;
        // F7: it was taken for granted that no event was a repeat.
        let (repeats, mut is_as_begun) = (&mut self.repeats, true);
        let mut judge = |run, positions: Range<u32>| {
            if !repeats.are_none() {
                is_as_begun &=
                    positions.into_iter().all(|it| repeats.judge(run, it) == Verdict::Keep);
            }
        };
        for position in index {
            if let Some(begun_index) = &mut self.begun_index {
                self.index.copy(begun_index, position, &mut judge)?;
            }
        }
        Ok(GoneOn { first, last, is_as_begun })
    }

    fn write_record(
        &mut self,
        record: &Record,
        ends: &mut Option<(EventId, EventId)>,
    ) -> wal::Result<()> {
        let run = record.first_id().run();
        let run = self.head.runs.iter().position(|known| *known == run);
        let Some((run, tally)) = run.and_then(|run| Some((run, self.tallies.get_mut(run)?))) else {
            return Ok(());
        };
        tally.end = tally.end.max(end_of(record));
        for event in record.iter() {
            let event = match event {
                Ok(event) => event,
                Err(damage) => {
                    tally.damage.get_or_insert(damage.what);
                    continue;
                }
            };
            // F7: only what was read can be kept, and only what is held be left out.
            if self.repeats.judge(run, event.id.seq().get()) == Verdict::Repeat {
                continue;
            }
            self.segments.line(event.payload).map_err(wal::Error::io(&self.segments_path))?;
            self.index.push(&event)?;
            tally.events += 1;
            let (first, _) = ends.unwrap_or((event.id, event.id));
            *ends = Some((first, event.id));
        }
        Ok(())
    }

    /// Puts into the manifest what is compressed by now, in the order of the objects.
    fn write_compressed(&mut self) -> wal::Result<()> {
        while let Some(written) = self.segments.next_written() {
            if let (Some(Some(ended)), Written::Whole(segment)) = (self.ended.pop_front(), written)
            {
                self.write_to_manifest(ended, segment)?;
            }
        }
        Ok(())
    }

    fn write_to_manifest(&mut self, ended: Ended, segment: Segment) -> wal::Result<()> {
        let Ended { destination, first, last, index } = ended;
        let identifier = Identifier::derive(&destination, &segment.lines_digest, &self.nonce);
        self.manifest.write(&SealedObject {
            key: ObjectKey::new(destination.prefix(), self.head.sealed_at, &identifier),
            destination,
            extents: segment.extents,
            crc32: segment.crc32,
            block_crc32: segment.block_crc32,
            events: segment.lines,
            lines_bytes: segment.lines_bytes,
            lines_digest: segment.lines_digest,
            first,
            last,
            index,
        })
    }

    pub(crate) fn note(&mut self, RunDamage { run, damage }: RunDamage) {
        if let Some(tally) = self.tallies.get_mut(run) {
            tally.missing += damage.missing;
            tally.damage.get_or_insert(damage.what);
        }
    }

    /// Compares what was read of each run with what it must have held. The closing record tells;
    /// without one, positions have no gaps up to the last that was seen.
    pub(crate) fn tallies(&mut self, reader: &MinuteReader) -> Vec<SealedRun> {
        let tallies = std::mem::take(&mut self.tallies);
        let each = tallies.into_iter().zip(reader.runs()).zip(self.repeats.left_out());
        let each = each.map(|((tally, run), repeats)| {
            let expected = run.closed().map_or(tally.end, |closed| closed.events);
            let missing = expected.saturating_sub(tally.events + repeats).max(tally.missing);
            let damage = run.damage().map(str::to_owned).or(tally.damage).or_else(|| {
                (missing > 0).then(|| format!("{missing} of {expected} events are missing"))
            });
            SealedRun { events: tally.events, missing, damage }
        });
        each.collect()
    }

    pub(crate) fn finish(
        mut self,
        dir: &Path,
        runs: Vec<SealedRun>,
    ) -> wal::Result<wal::ManifestEnd> {
        let mut finish = || {
            self.segments.drain()?;
            let segments = self.segments.inner_mut();
            segments.flush()?;
            segments.get_ref().sync_all()
        };
        finish().map_err(wal::Error::io(&self.segments_path))?;
        self.write_compressed()?;
        self.index.finish()?;
        let identities = self.repeats.finish(dir)?;
        self.manifest.finish(self.segments.position(), runs, identities)
    }
}
