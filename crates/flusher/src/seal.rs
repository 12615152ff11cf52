//! Sealing: the runs of a finished minute become one part, fixed for ever.
//!
//! Read in (destination, id) order, leave out repeats, compress, fix the keys, sync, rename. Until the rename the part
//! is worth nothing and a crash leaves only what the next start removes; from it on, every retry
//! and every restart sends the same bytes to the same keys.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use model::{Minute, RunId, UnixMillis};
use tokio_util::sync::CancellationToken;
use wal::{
    DataDir, ManifestHead, MinuteReader, PartName, RunDamage, RunName, RunReader, SealedRun,
    durable, is_held, is_there,
};

use crate::ahead::{Ahead, BegunPart};
use crate::deflate::Compressors;
use crate::faults::fault_point;
use crate::repeats::Repeats;
use crate::seal_writer::{Progress, SealWriter};

/// How long a run is waited for that somebody reads, and how long between two tries.
const READER_PATIENCE: Duration = Duration::from_secs(2);
const READER_PAUSE: Duration = Duration::from_millis(20);

/// What came of a step on the way from a minute to a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<T> {
    /// It was made.
    Made(T),
    /// A run is held after all, or the flusher was told to stop; try again later.
    NotYet,
    /// What was compressed ahead is not what the minute begins with: seal it without.
    NotAsBegun,
}

/// What a minute turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sealed {
    /// A part was made.
    Part(SealedPart),
    /// There was nothing in it but so many repeats of what is sealed.
    Empty { repeats: u64 },
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

/// A minute whose runs are open: none is written to any more.
pub(crate) struct Opened {
    name: PartName,
    dir: PathBuf,
    reader: MinuteReader,
}

/// Opens a minute, of which some may be compressed already.
pub(crate) fn open(
    data: &DataDir,
    order: &SealOrder,
    ahead: Option<&Ahead>,
) -> wal::Result<Step<Opened>> {
    let name = next_part(data, order.minute);
    let dir = data.sealing_part_dir(name);
    // W4: from here on ingest opens no run of this minute; those that it opened before are listed.
    durable::create_dir(&dir)?;
    durable::sync_parent(&dir)?;
    let Some(runs) = open_runs(data, order, ahead)? else {
        return throw_away(&dir, Step::NotYet);
    };
    let opened = Opened { name, dir, reader: MinuteReader::new(runs) };
    if ahead.is_some_and(|ahead| !ahead.is_of(&opened.run_ids())) {
        let Opened { dir, reader, .. } = opened;
        drop(reader);
        return throw_away(&dir, Step::NotAsBegun);
    }
    Ok(Step::Made(opened))
}

impl Opened {
    fn run_ids(&self) -> Vec<RunId> {
        self.reader.runs().iter().map(|run| run.name().run).collect()
    }

    /// Whether parts of other minutes tell what of this one is a repeat.
    pub(crate) fn has_identities(&self) -> bool {
        self.reader.runs().iter().any(|run| run.identified().next().is_some())
    }

    /// Reads all that the runs hold, and writes it. Some of it may be on its way to the disk, or still
    /// being compressed, when this ends.
    pub(crate) fn write(
        self,
        data: &DataDir,
        order: &SealOrder,
        ahead: &mut Option<Ahead>,
        compressors: &Compressors,
    ) -> wal::Result<Step<Box<Unfinished>>> {
        let runs = self.run_ids();
        let Self { name, dir, reader } = self;
        let head = ManifestHead { name, sealed_at: order.now, runs };
        let mut lost = Vec::new();
        let note = |run, damage| lost.push(RunDamage { run, damage });
        let repeats = Repeats::learn(data, order.minute, order.window, reader.runs(), note)?;
        let begun = match ahead.take() {
            Some(ahead) => ahead.hand_over(&dir, order.level)?,
            None => BegunPart::nothing(&dir, order.level, compressors)?,
        };
        let mut seal = SealWriter::create(&dir, head, repeats, begun)?;
        for damage in lost {
            seal.note(damage);
        }
        let broken_off = match seal.write_all(&reader, &order.stop)? {
            Progress::Whole => None,
            Progress::Stopped => Some(Step::NotYet),
            Progress::NotAsBegun => Some(Step::NotAsBegun),
        };
        if let Some(broken_off) = broken_off {
            drop((seal, reader));
            return throw_away(&dir, broken_off);
        }
        // What the system refused to give is not damaged: it is read again.
        if let Some(error) = reader.runs().iter().find_map(RunReader::refused) {
            return Err(error);
        }
        fault_point!("flusher::sealing");
        Ok(Step::Made(Box::new(Unfinished { name, dir, reader, seal })))
    }
}

/// A part that is written and not yet on stable storage.
pub(crate) struct Unfinished {
    name: PartName,
    dir: PathBuf,
    reader: MinuteReader,
    seal: SealWriter,
}

impl Unfinished {
    /// Makes it a part: waits for the last of it, syncs, and renames.
    pub(crate) fn finish(self, data: &DataDir) -> wal::Result<Sealed> {
        let Self { name, dir, reader, mut seal } = self;
        let runs: Vec<RunName> = reader.runs().iter().map(RunReader::name).collect();
        let tallies = seal.tallies(&reader);
        // sled has let go of the runs before anybody may remove them.
        drop(reader);
        let damaged = damaged_runs(&runs, &tallies);
        let repeats = seal.left_out();
        let end = seal.finish(&dir, tallies)?;
        if end.objects == 0 {
            durable::remove_dir(&dir)?;
            for run in runs {
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
}

/// F1: a seal that was broken off is worth nothing.
fn throw_away<T>(dir: &Path, broken_off: Step<T>) -> wal::Result<Step<T>> {
    durable::remove_dir(dir)?;
    Ok(broken_off)
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
fn open_runs(
    data: &DataDir,
    order: &SealOrder,
    ahead: Option<&Ahead>,
) -> wal::Result<Option<Vec<RunReader>>> {
    let mut readers = Vec::new();
    for run in data.runs()? {
        if run.minute != order.minute || order.claimed.contains(&run) {
            continue;
        }
        let was_read = ahead.is_some_and(|ahead| ahead.has_all_of(run.run));
        match open_run(data, run, was_read) {
            Ok(reader) => readers.push(reader),
            // Only a writer is left behind.
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

/// Opens a run, or takes hold of one that was read. Who only reads it lets go of it soon, and is waited
/// for: of many runs one might be read by somebody at any time.
fn open_run(data: &DataDir, run: RunName, was_read: bool) -> wal::Result<RunReader> {
    let started = Instant::now();
    loop {
        let held = was_read.then(|| RunReader::hold_read(data, run));
        let reader = match held {
            // Its closing record is gone by now, or damaged: what there is of the run is read again.
            None | Some(Err(wal::Error::Damaged { .. })) => RunReader::open(data, run),
            Some(held) => held,
        };
        let is_read =
            matches!(reader, Err(wal::Error::Busy { .. })) && !is_held(&data.run_dir(run));
        if !is_read || started.elapsed() >= READER_PATIENCE {
            return reader;
        }
        thread::sleep(READER_PAUSE);
    }
}

fn damaged_runs(names: &[RunName], runs: &[SealedRun]) -> Vec<(RunName, String)> {
    let damaged = names.iter().zip(runs).filter_map(|(name, run)| {
        let damage = run.damage.as_ref()?;
        Some((*name, format!("{damage} ({} events missing)", run.missing)))
    });
    damaged.collect()
}
