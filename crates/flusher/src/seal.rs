//! Sealing: the runs of a finished minute become one part, fixed for ever.
//!
//! Read in (destination, id) order, leave out repeats, compress, fix the keys, sync, rename. Until the rename the part
//! is worth nothing and a crash leaves only what the next start removes; from it on, every retry
//! and every restart sends the same bytes to the same keys.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use model::{Destination, EventId, Identifier, Minute, ObjectKey, UnixMillis};
use tokio_util::sync::CancellationToken;
use wal::{
    DataDir, DestinationId, IndexPosition, IndexWriter, ManifestHead, ManifestWriter, MinuteReader,
    PartName, RunDamage, RunName, RunReader, SEGMENTS_FILE, SealedObject, SealedRun, durable,
    is_held, is_there,
};

use crate::deflate::Compressors;
use crate::faults::fault_point;
use crate::repeats::{Repeats, Verdict};
use crate::segment::{Segment, SegmentsWriter};

/// What came of an attempt to seal a minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sealed {
    /// A part was made.
    Part(SealedPart),
    /// There was nothing in it but so many repeats of what is sealed.
    Empty { repeats: u64 },
    /// A run is held after all, or the flusher was told to stop; try again later.
    NotYet,
}

/// A part that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SealedPart {
    pub(crate) name: PartName,
    pub(crate) objects: u32,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    /// How many events were left out.
    pub(crate) repeats: u64,
    /// Runs that could not be read back whole, and why.
    pub(crate) damaged: Vec<(RunName, String)>,
}

/// What is to be sealed.
#[derive(Clone, Debug)]
pub(crate) struct SealOrder {
    pub(crate) minute: Minute,
    /// Runs that are in a part already.
    pub(crate) claimed: Vec<RunName>,
    /// Whether runs that are still held are left behind.
    pub(crate) leave_held: bool,
    pub(crate) level: u32,
    /// How far apart two copies of an event are repeats.
    pub(crate) window: Duration,
    pub(crate) now: UnixMillis,
    /// Breaks a long seal off: it is made anew at the next start.
    pub(crate) stop: CancellationToken,
}

/// Seals a minute.
pub(crate) fn seal(
    data: &DataDir,
    order: &SealOrder,
    compressors: &Compressors,
) -> wal::Result<Sealed> {
    let name = next_part(data, order.minute);
    let dir = data.sealing_part_dir(name);
    // W4: from here on ingest opens no run of this minute; those that it opened before are listed.
    durable::create_dir(&dir)?;
    durable::sync_parent(&dir)?;
    let Some(runs) = open_runs(data, order)? else {
        durable::remove_dir(&dir)?;
        return Ok(Sealed::NotYet);
    };
    let names: Vec<RunName> = runs.iter().map(RunReader::name).collect();
    let reader = MinuteReader::new(runs);
    let head = ManifestHead {
        name,
        sealed_at: order.now,
        runs: names.iter().map(|name| name.run).collect(),
    };
    let mut lost = Vec::new();
    let note = |run, damage| lost.push(RunDamage { run, damage });
    let repeats = Repeats::learn(data, order.minute, order.window, reader.runs(), note)?;
    let mut seal = SealWriter::create(&dir, head, repeats, |file| {
        SegmentsWriter::new(file, order.level, compressors)
    })?;
    for damage in lost {
        seal.note(damage);
    }
    if !seal.write_all(&reader, &order.stop)? {
        drop((seal, reader));
        durable::remove_dir(&dir)?;
        return Ok(Sealed::NotYet);
    }
    // What the system refused to give is not damaged: it is read again.
    if let Some(error) = reader.runs().iter().find_map(RunReader::refused) {
        return Err(error);
    }
    fault_point!("flusher::sealing");
    let tallies = seal.tallies(&reader);
    let damaged = damaged_runs(&names, &tallies);
    let repeats = seal.left_out();
    let end = seal.finish(&dir, tallies)?;
    // sled has let go of the runs before anybody may remove them.
    drop(reader);
    if end.objects == 0 {
        durable::remove_dir(&dir)?;
        for run in names {
            if damaged.iter().any(|(damaged, _)| *damaged == run) {
                quarantine_run(data, run)?;
            } else {
                data.remove_run(run)?;
            }
        }
        return Ok(Sealed::Empty { repeats });
    }
    durable::sync_dir(&dir)?;
    durable::rename(&dir, &data.part_dir(wal::Stage::Sealed, name))?;
    fault_point!("flusher::sealed");
    let (objects, events, bytes) = (end.objects, end.events, end.segments_bytes);
    Ok(Sealed::Part(SealedPart { name, objects, events, bytes, repeats, damaged }))
}

/// Moves a run that cannot be read back whole to where nothing removes it.
pub(crate) fn quarantine_run(data: &DataDir, run: RunName) -> wal::Result<()> {
    let from = data.run_dir(run);
    if !is_there(&from) {
        return Ok(());
    }
    tracing::error!(run = %run, "quarantined a run: it is kept, see `minutelog admin verify`");
    durable::rename(&from, &data.quarantine_dir().join(run.to_string()))
}

/// The first number that no part of the minute has.
fn next_part(data: &DataDir, minute: Minute) -> PartName {
    let taken = |part| {
        let name = PartName { minute, part };
        is_there(&data.sealing_part_dir(name))
            || is_there(&data.quarantine_dir().join(name.to_string()))
            || data.find_part(name).is_some()
    };
    let part = (0..u32::MAX).find(|part| !taken(*part)).unwrap_or(u32::MAX);
    PartName { minute, part }
}

/// Opens the runs of the minute that are in no part yet; `None` where one is held and to be waited
/// for. A run that cannot be opened at all is quarantined.
fn open_runs(data: &DataDir, order: &SealOrder) -> wal::Result<Option<Vec<RunReader>>> {
    let mut readers = Vec::new();
    for run in data.runs()? {
        if run.minute != order.minute || order.claimed.contains(&run) {
            continue;
        }
        match RunReader::open(data, run) {
            Ok(reader) => readers.push(reader),
            // A reader lets go of it soon; only a writer is left behind.
            Err(wal::Error::Busy { .. }) if order.leave_held && is_held(&data.run_dir(run)) => {}
            Err(wal::Error::Busy { .. }) => return Ok(None),
            Err(error) if error.is_not_found() || matches!(error, wal::Error::Damaged { .. }) => {
                tracing::error!(run = %run, %error, "a run cannot be opened");
                quarantine_run(data, run)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Some(readers))
}

/// What was read of a run.
#[derive(Clone, Debug, Default)]
struct Tally {
    events: u64,
    /// The position after the last event that was seen.
    end: u64,
    missing: u64,
    damage: Option<String>,
}

struct SealWriter {
    head: ManifestHead,
    nonce: [u8; 32],
    manifest: ManifestWriter,
    index: IndexWriter,
    segments: SegmentsWriter<BufWriter<File>>,
    segments_path: std::path::PathBuf,
    /// Objects that have ended and are not in the manifest yet, as they are still being compressed;
    /// `None` for one without events.
    ended: VecDeque<Option<Ended>>,
    /// The bytes of what is written.
    segments_bytes: u64,
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

impl SealWriter {
    fn create(
        dir: &Path,
        head: ManifestHead,
        repeats: Repeats,
        segments_writer: impl FnOnce(BufWriter<File>) -> SegmentsWriter<BufWriter<File>>,
    ) -> wal::Result<Self> {
        let segments_path = dir.join(SEGMENTS_FILE);
        let segments =
            durable::create_file(&segments_path).map_err(wal::Error::io(&segments_path))?;
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce).expect("Linux has random bytes");
        Ok(Self {
            nonce,
            manifest: ManifestWriter::create(dir, &head)?,
            index: IndexWriter::create(dir, &head)?,
            tallies: vec![Tally::default(); head.runs.len()],
            repeats,
            head,
            segments: segments_writer(BufWriter::with_capacity(1024 * 1024, segments)),
            segments_path,
            ended: VecDeque::new(),
            segments_bytes: 0,
        })
    }

    /// How many events were left out as repeats.
    fn left_out(&self) -> u64 {
        self.repeats.left_out().iter().sum()
    }

    /// Writes every object; says whether it got to the end.
    fn write_all(&mut self, reader: &MinuteReader, stop: &CancellationToken) -> wal::Result<bool> {
        for destination in reader.destinations() {
            match destination {
                Ok((id, destination)) => self.write_object(reader, id, destination, stop)?,
                Err(damage) => self.note(damage),
            }
            if stop.is_cancelled() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn write_object(
        &mut self,
        reader: &MinuteReader,
        id: DestinationId,
        destination: Destination,
        stop: &CancellationToken,
    ) -> wal::Result<()> {
        let io = |path: &Path, error| wal::Error::io(path)(error);
        let position = self.index.begin_object();
        let mut ends = None;
        let mut damages = Vec::new();
        for record in reader.records(id).take_while(|_| !stop.is_cancelled()) {
            let record = match record {
                Ok(record) => record,
                Err(damage) => {
                    damages.push(damage);
                    continue;
                }
            };
            let run = record.first_id().run();
            let run = self.head.runs.iter().position(|known| *known == run);
            let Some((run, tally)) = run.and_then(|run| Some((run, self.tallies.get_mut(run)?)))
            else {
                continue;
            };
            tally.end = tally
                .end
                .max(u64::from(record.first_id().seq().get()) + u64::from(record.events()));
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
                self.segments
                    .line(event.payload)
                    .map_err(|error| io(&self.segments_path, error))?;
                self.index.push(&event)?;
                tally.events += 1;
                let (first, _) = ends.unwrap_or((event.id, event.id));
                ends = Some((first, event.id));
            }
        }
        self.segments.end_object().map_err(|error| io(&self.segments_path, error))?;
        for damage in damages {
            self.note(damage);
        }
        self.index.end_object()?;
        // A destination whose events are all lost has no object; its bytes stay unused.
        let ended = ends.map(|(first, last)| Ended { destination, first, last, index: position });
        self.ended.push_back(ended);
        self.write_compressed()
    }

    /// Puts into the manifest what is compressed by now, in the order of the objects.
    fn write_compressed(&mut self) -> wal::Result<()> {
        while let Some(segment) = self.segments.next_written() {
            self.segments_bytes = segment.offset + segment.length;
            if let Some(Some(ended)) = self.ended.pop_front() {
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
            offset: segment.offset,
            length: segment.length,
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

    fn note(&mut self, RunDamage { run, damage }: RunDamage) {
        if let Some(tally) = self.tallies.get_mut(run) {
            tally.missing += damage.missing;
            tally.damage.get_or_insert(damage.what);
        }
    }

    /// Compares what was read of each run with what it must have held. The closing record tells;
    /// without one, positions have no gaps up to the last that was seen.
    fn tallies(&mut self, reader: &MinuteReader) -> Vec<SealedRun> {
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

    fn finish(mut self, dir: &Path, runs: Vec<SealedRun>) -> wal::Result<wal::ManifestEnd> {
        let mut finish = || {
            self.segments.finish()?;
            let segments = self.segments.inner_mut();
            segments.flush()?;
            segments.get_ref().sync_all()
        };
        finish().map_err(wal::Error::io(&self.segments_path))?;
        self.write_compressed()?;
        self.index.finish()?;
        let identities = self.repeats.finish(dir)?;
        self.manifest.finish(self.segments_bytes, runs, identities)
    }
}

fn damaged_runs(names: &[RunName], runs: &[SealedRun]) -> Vec<(RunName, String)> {
    let damaged = names.iter().zip(runs).filter_map(|(name, run)| {
        let damage = run.damage.as_ref()?;
        Some((*name, format!("{damage} ({} events missing)", run.missing)))
    });
    damaged.collect()
}
