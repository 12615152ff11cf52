//! What of a minute is compressed before the minute is over.
//!
//! Ingest closes a run once it is large and goes on in another one, and what is closed never changes.
//! A destination of which such a run holds much is compressed from it, and its object set aside; the
//! next run goes on with it, and so does the seal. Only what is written last is left to do when the
//! minute is over.
//!
//! None of it is a seal (F1): it has no key, it goes with the process, and it is thrown away where
//! anything about it is not as it should be. It is right only where all that the seal adds to an object
//! follows what the object has, by the ids, and where nothing that the object has is a repeat (F7); the
//! seal looks.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use model::{Destination, EventId, Minute, RunId, UnixMillis};
use tokio_util::sync::CancellationToken;
use wal::{
    DestinationId, IndexPosition, IndexReader, IndexWriter, ManifestHead, PartName, Record,
    RunReader, SEGMENTS_FILE, durable,
};

use crate::deflate::Compressors;
use crate::segment::{SegmentsWriter, SetAside, Written};

/// A destination is compressed ahead if the first run that has it has so many bytes of it: each takes
/// about 40 KiB of memory until the seal.
const BEGIN_BYTES: usize = 64 * 1024;

/// So many destinations at most are compressed ahead.
const MAX_OBJECTS: usize = 1024;

/// The segments of a part, as they are written.
pub(crate) type Segments = SegmentsWriter<BufWriter<File>>;

/// Makes the segments file in `dir`.
pub(crate) fn create_segments(
    dir: &Path,
    level: u32,
    compressors: &Compressors,
) -> wal::Result<Segments> {
    let path = dir.join(SEGMENTS_FILE);
    let file = durable::create_file(&path).map_err(wal::Error::io(&path))?;
    Ok(SegmentsWriter::new(BufWriter::with_capacity(1024 * 1024, file), level, compressors))
}

/// Why a minute is not compressed ahead.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AheadError {
    /// It is nothing that could be compressed ahead.
    #[error("{0}")]
    Unfit(String),
    /// The disk.
    #[error(transparent)]
    Log(#[from] wal::Error),
}

impl From<wal::Damage> for AheadError {
    fn from(damage: wal::Damage) -> Self {
        Self::Unfit(damage.what)
    }
}

/// What of a minute is compressed.
pub(crate) struct Ahead {
    minute: Minute,
    dir: PathBuf,
    /// The runs that were read, one after the other.
    runs: Vec<ReadRun>,
    objects: HashMap<DestinationId, Begun>,
    /// Destinations of which there is something in the runs that was not compressed.
    passed: HashSet<DestinationId>,
    /// Objects that were set aside and are still being compressed.
    under_way: VecDeque<DestinationId>,
    segments: Segments,
    index: IndexWriter,
    level: u32,
}

/// A run, and what of it is compressed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadRun {
    pub(crate) run: RunId,
    pub(crate) events: u64,
    /// The position after the last of them.
    pub(crate) end: u64,
    /// Whether nothing of it is left to the seal.
    pub(crate) is_whole: bool,
}

/// An object that was begun.
pub(crate) struct Begun {
    pub(crate) destination: Destination,
    /// `None` while it is gone on with.
    pub(crate) object: Option<SetAside>,
    pub(crate) first: EventId,
    pub(crate) last: EventId,
    /// Where the ids of its lines are, run by run.
    pub(crate) index: Vec<IndexPosition>,
}

/// What a seal goes on with.
pub(crate) struct BegunPart {
    pub(crate) runs: Vec<ReadRun>,
    pub(crate) objects: HashMap<DestinationId, Begun>,
    pub(crate) segments: Segments,
    /// The ids of their lines; `None` where nothing was begun.
    pub(crate) index: Option<IndexReader>,
}

impl BegunPart {
    /// Nothing was begun: the segments of the part in `dir`, from their beginning.
    pub(crate) fn nothing(dir: &Path, level: u32, compressors: &Compressors) -> wal::Result<Self> {
        let segments = create_segments(dir, level, compressors)?;
        Ok(Self { runs: Vec::new(), objects: HashMap::new(), segments, index: None })
    }
}

impl Ahead {
    /// Begins with a minute, in a new directory.
    pub(crate) fn begin(
        dir: PathBuf,
        minute: Minute,
        level: u32,
        compressors: &Compressors,
    ) -> wal::Result<Self> {
        durable::create_dir(&dir)?;
        let head = head_of(minute, Vec::new());
        Ok(Self {
            segments: create_segments(&dir, level, compressors)?,
            index: IndexWriter::create(&dir, &head)?,
            minute,
            dir,
            runs: Vec::new(),
            objects: HashMap::new(),
            passed: HashSet::new(),
            under_way: VecDeque::new(),
            level,
        })
    }

    pub(crate) fn minute(&self) -> Minute {
        self.minute
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The level of the last run.
    pub(crate) fn level(&self) -> u32 {
        self.level
    }

    pub(crate) fn has(&self, run: RunId) -> bool {
        self.runs.iter().any(|read| read.run == run)
    }

    /// Whether nothing of a run is left to the seal.
    pub(crate) fn has_all_of(&self, run: RunId) -> bool {
        self.runs.iter().any(|read| read.run == run && read.is_whole)
    }

    /// Whether it is of none but these runs.
    pub(crate) fn is_of(&self, runs: &[RunId]) -> bool {
        self.runs.iter().all(|read| runs.contains(&read.run))
    }

    /// Goes on with a run. After an error all of it is worth nothing.
    pub(crate) fn read(
        &mut self,
        reader: &RunReader,
        level: u32,
        stop: &CancellationToken,
    ) -> Result<(), AheadError> {
        check_fit(reader)?;
        self.level = level;
        self.segments.set_level(level).map_err(wal::Error::io(&self.dir))?;
        let is_whole = !has_identities(reader)?;
        let mut run = ReadRun { run: reader.name().run, events: 0, end: 0, is_whole };
        self.index.add_run(run.run);
        for destination in reader.destinations() {
            let (id, destination) = destination?;
            self.read_object(reader, id, destination, &mut run, stop)?;
        }
        self.segments.drain().map_err(wal::Error::io(&self.dir))?;
        self.take_written();
        if let Some(error) = reader.refused() {
            return Err(error.into());
        }
        // What is on the disk by now need not be waited for at the minute's end.
        let file = self.segments.inner_mut();
        let synced = file.flush().and_then(|()| file.get_ref().sync_data());
        synced.map_err(wal::Error::io(&self.dir))?;
        self.runs.push(run);
        Ok(())
    }

    fn read_object(
        &mut self,
        reader: &RunReader,
        id: DestinationId,
        destination: Destination,
        run: &mut ReadRun,
        stop: &CancellationToken,
    ) -> Result<(), AheadError> {
        let mut records = reader.records(id);
        let mut looked_at = Vec::new();
        if !self.objects.contains_key(&id) {
            let may_begin = self.objects.len() < MAX_OBJECTS && !self.passed.contains(&id);
            if !may_begin || !is_much(&mut records, &mut looked_at)? {
                self.passed.insert(id);
                run.is_whole = false;
                return Ok(());
            }
        }
        let dir = &self.dir;
        let io = |error| wal::Error::io(dir)(error);
        let begun = self.objects.get_mut(&id);
        let mut last = begun.as_ref().map(|begun| begun.last);
        let mut first = begun.as_ref().map(|begun| begun.first);
        if let Some(object) = begun.and_then(|begun| begun.object.take()) {
            self.segments.go_on(object).map_err(io)?;
        }
        let position = self.index.begin_object();
        for record in looked_at.into_iter().map(Ok).chain(records) {
            let record = record?;
            if stop.is_cancelled() {
                return Err(AheadError::Unfit("the flusher stops".to_owned()));
            }
            if last.is_some_and(|last| record.first_id() <= last) {
                return Err(AheadError::Unfit("its runs are not one after the other".to_owned()));
            }
            run.end = run.end.max(end_of(&record));
            for event in record.iter() {
                let event = event?;
                self.segments.line(event.payload).map_err(io)?;
                self.index.push(&event)?;
                run.events += 1;
                first.get_or_insert(event.id);
                last = Some(event.id);
            }
        }
        self.index.end_object()?;
        self.segments.set_aside().map_err(io)?;
        self.under_way.push_back(id);
        if let (Some(first), Some(last)) = (first, last) {
            let begun = Begun { destination, object: None, first, last, index: Vec::new() };
            let begun = self.objects.entry(id).or_insert(begun);
            begun.last = last;
            begun.index.push(position);
        }
        self.take_written();
        Ok(())
    }

    fn take_written(&mut self) {
        while let Some(written) = self.segments.next_written() {
            let begun = self.under_way.pop_front().and_then(|id| self.objects.get_mut(&id));
            if let (Some(begun), Written::SetAside(object)) = (begun, written) {
                begun.object = Some(*object);
            }
        }
    }

    /// Hands over what there is to the seal in `part_dir`, which goes on at `level`; the directory of
    /// this goes.
    pub(crate) fn hand_over(mut self, part_dir: &Path, level: u32) -> wal::Result<BegunPart> {
        self.segments.set_level(level).map_err(wal::Error::io(&self.dir))?;
        self.index.flush()?;
        let head = head_of(self.minute, self.runs.iter().map(|read| read.run).collect());
        let index = Some(IndexReader::open(&self.dir, &head)?);
        let from = self.dir.join(SEGMENTS_FILE);
        fs::rename(&from, part_dir.join(SEGMENTS_FILE)).map_err(wal::Error::io(&from))?;
        durable::remove_dir(&self.dir)?;
        let Self { runs, objects, segments, .. } = self;
        Ok(BegunPart { runs, objects, segments, index })
    }
}

/// The index names runs as a manifest does.
fn head_of(minute: Minute, runs: Vec<RunId>) -> ManifestHead {
    ManifestHead { name: PartName { minute, part: 0 }, sealed_at: UnixMillis::new(0), runs }
}

/// Only a run that is whole is compressed ahead.
fn check_fit(reader: &RunReader) -> Result<(), AheadError> {
    if reader.closed().is_none() || reader.damage().is_some() {
        let what = format!("run {} was not closed, or is damaged", reader.name());
        return Err(AheadError::Unfit(what));
    }
    Ok(())
}

/// Which of them are repeats only the seal can tell, and needs to be told of them.
fn has_identities(reader: &RunReader) -> Result<bool, AheadError> {
    Ok(reader.identified().next().transpose()?.is_some())
}

/// The position after the last event of a record.
pub(crate) fn end_of(record: &Record) -> u64 {
    u64::from(record.first_id().seq().get()) + u64::from(record.events())
}

/// Reads on until there is much; what was read is in `records` either way.
fn is_much(
    rest: &mut impl Iterator<Item = Result<Record, wal::Damage>>,
    records: &mut Vec<Record>,
) -> Result<bool, AheadError> {
    let mut bytes = 0;
    while bytes < BEGIN_BYTES {
        let Some(record) = rest.next() else { return Ok(false) };
        let record = record?;
        bytes += record.size_bytes();
        records.push(record);
    }
    Ok(true)
}
