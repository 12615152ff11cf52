//! The one writer: takes all requests that wait, writes them, syncs once, answers all.
//!
//! It runs on a thread of its own. A run is opened when the first event of a minute arrives and
//! closed when the minute is over, also when nothing arrives any more. After a failed write or sync
//! nothing that follows can be trusted: the writer stops for good, and all that waits is refused.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Clock, Minute, RunId, Seq, UnixMillis};
use tokio::sync::{mpsc, oneshot};

use crate::admit::{Admitted, Pending, admit};
use crate::batch::{Appended, Batch, Origin};
use crate::chunk::Chunk;
use crate::company::Company;
use crate::error::Result;
use crate::fences::Fences;
use crate::identity;
use crate::layout::DataDir;
use crate::log::{AppendError, Commit, LogObserver, LogOptions, Shared};
use crate::record::{self, DestKey, RECORD_BYTES, RecordHead};
use crate::run::OpenRun;
use crate::sharing::share;
use crate::turn::{Before, last_of};

/// At most so many requests, and about so many bytes, share one sync.
const COMMIT_REQUESTS: usize = 4096;
const COMMIT_BYTES: usize = 8 * 1024 * 1024;

/// How often the clock is looked at while a minute is open and nothing arrives.
const CLOCK_PERIOD: Duration = Duration::from_millis(50);

pub(crate) struct Request {
    pub(crate) batch: Batch,
    pub(crate) answer: oneshot::Sender<Result<Appended, AppendError>>,
}

pub(crate) enum Command {
    Append(Request),
    /// Close the open run and take no more: what waits behind it is refused.
    Close,
    /// Say that you come round: answered by being dropped.
    Progress(oneshot::Sender<()>),
}

pub(crate) struct Writer {
    pub(crate) data: DataDir,
    pub(crate) options: LogOptions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observer: Arc<dyn LogObserver>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) run: RunId,
    pub(crate) active: Option<Active>,
    pub(crate) closed: BTreeSet<Minute>,
    pub(crate) company: Company,
    pub(crate) before: Option<Before>,
}

/// The open minute.
pub(crate) struct Active {
    pub(crate) run: Arc<OpenRun>,
    /// Those of the whole minute.
    pub(crate) destinations: HashMap<DestKey, Standing>,
    /// How many of them the run has.
    pub(crate) defined: u32,
    pub(crate) events: u32,
    /// Those of the shared records.
    pub(crate) shared: Fences,
    pub(crate) payload_bytes: u64,
    pub(crate) disk_bytes: u64,
    /// How many places have an identity.
    pub(crate) identified: usize,
    /// The bytes of the events that share no record.
    pub(crate) own_bytes: u64,
    /// Those for which earlier runs of the minute were closed.
    pub(crate) before_bytes: u64,
    pub(crate) last_time: UnixMillis,
    pub(crate) opened: Instant,
}

/// What the open run has of a destination.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    pub(crate) events: u32,
    fences: Fences,
}

impl Writer {
    /// Works until it is told to close, until everybody who could append has gone, or until the
    /// disk fails.
    pub(crate) fn work(&mut self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(crate::Error::io(self.data.root()))?;
        loop {
            let command = if self.active.is_some() {
                let next = async { tokio::time::timeout(CLOCK_PERIOD, self.commands.recv()).await };
                runtime.block_on(next).ok()
            } else {
                Some(self.commands.blocking_recv())
            };
            match command {
                None => self.close_if_over(false)?,
                Some(Some(Command::Append(first))) => {
                    if self.commit_all_that_waits(first)? {
                        return self.close();
                    }
                }
                Some(Some(Command::Close) | None) => return self.close(),
                Some(Some(Command::Progress(asked))) => drop(asked),
            }
        }
    }

    /// Commits `first` and what waits behind it; says whether a close was met on the way.
    fn commit_all_that_waits(&mut self, first: Request) -> Result<bool> {
        self.company.gather(|| 1 + self.commands.len());
        let mut bytes = first.batch.size_bytes();
        let mut requests = Vec::with_capacity(COMMIT_REQUESTS.min(1 + self.commands.len()));
        requests.push(first);
        let mut close = false;
        while requests.len() < COMMIT_REQUESTS && bytes < COMMIT_BYTES && !close {
            match self.commands.try_recv() {
                Ok(Command::Append(request)) => {
                    bytes += request.batch.size_bytes();
                    requests.push(request);
                }
                Ok(Command::Close) => close = true,
                Ok(Command::Progress(asked)) => drop(asked),
                Err(_) => break,
            }
        }
        self.close_if_over(true)?;
        self.commit(requests)?;
        Ok(close)
    }

    /// Write, sync, answer: in this order for each request.
    fn commit(&mut self, requests: Vec<Request>) -> Result<()> {
        let started = Instant::now();
        let now = self.clock.now();
        if self.active.is_none() {
            self.active = Some(self.open(now)?);
        }
        let active = self.active.as_mut().expect("it was opened above");
        let minute = active.run.name().minute;
        let time = now.clamp(minute.start(), last_of(minute)).max(active.last_time);
        let (admitted, mut pending) = admit(active, requests, &self.shared, &self.options, now);
        if admitted.is_empty() {
            return Ok(());
        }
        let first_event = active.events;
        let mut next = first_event;
        share(&mut pending);
        for shares in [false, true] {
            for pending in pending.iter_mut().filter(|pending| pending.shares == shares) {
                pending.first = next;
                next += pending.events;
            }
        }
        // W8: whose events they are stands before them.
        let mut bytes = active.write_identities(&admitted, &pending, time)?;
        for pending in pending.iter().filter(|pending| !pending.shares) {
            bytes += active.write(pending, time)?;
        }
        bytes += active.write_shared(pending.iter().filter(|pending| pending.shares), time)?;
        active.run.sync()?;
        active.run.set_counts(u64::from(active.events), active.defined.into());
        active.last_time = time;
        let disk_bytes = active.run.disk_bytes()?;
        self.shared.usage.add(disk_bytes.saturating_sub(active.disk_bytes));
        active.disk_bytes = disk_bytes;
        self.company.committed(admitted.len(), self.commands.len(), bytes, started.elapsed());
        let requests = admitted.len() as u64;
        let run = active.run.name().run;
        for request in admitted {
            let origin = Origin::new(time, run, request.firsts(&pending));
            let appended = Appended { origin, order: request.order, events: request.events };
            // A client that has gone does not make the others' events less acknowledged.
            request.answer.send(Ok(appended)).ok();
        }
        let events = u64::from(active.events - first_event);
        let duration = started.elapsed();
        self.observer.committed(&Commit { requests, events, bytes, duration, minute });
        Ok(())
    }
}

impl Active {
    /// Writes whose events the commit is about to hold; returns the bytes of the records.
    fn write_identities(
        &mut self,
        admitted: &[Admitted],
        pending: &[Pending],
        time: UnixMillis,
    ) -> Result<u64> {
        let mut places = Vec::new();
        for request in admitted.iter().filter(|request| !request.identified.is_empty()) {
            let firsts = request.firsts(pending);
            let first =
                |group: u32| usize::try_from(group).ok().and_then(|group| firsts.get(group));
            let each = request.identified.iter();
            places.extend(each.filter_map(|place| Some((*place, *first(place.group)?))));
        }
        let mut bytes = 0;
        for (key, value) in identity::encode(self.events, time, &places) {
            bytes += (key.len() + value.len()) as u64;
            self.run.insert(&key, value)?;
        }
        Ok(bytes)
    }

    /// Writes which destination it is, where the run has nothing of it yet; returns the bytes of the
    /// record.
    pub(crate) fn define(&mut self, pending: &Pending) -> Result<u64> {
        if self.destinations.get(&pending.key).is_some_and(|standing| standing.events > 0) {
            return Ok(0);
        }
        let key = pending.key.definition_key();
        let value = record::encode_definition(&key, &pending.destination);
        let bytes = (key.len() + value.len()) as u64;
        self.run.insert(&key, value)?;
        self.defined += 1;
        Ok(bytes)
    }

    /// Writes the events of one destination as records of its own; returns their bytes.
    fn write(&mut self, pending: &Pending, time: UnixMillis) -> Result<u64> {
        let mut bytes = self.define(pending)?;
        let mut standing = self.destinations.get(&pending.key).copied().unwrap_or_default();
        let bytes_of =
            |chunk: &Chunk| chunk.frames.len().max(usize::try_from(chunk.unpacked).unwrap_or(0));
        self.own_bytes += pending.chunks.iter().map(bytes_of).sum::<usize>() as u64;
        let mut chunks = &*pending.chunks;
        while !chunks.is_empty() {
            let (record, rest) = chunks.split_at(chunks_of_one_record(chunks));
            chunks = rest;
            let events = record.iter().map(|chunk| chunk.events).sum::<u32>();
            bytes += self.write_record(pending.key, record, events, &mut standing, time)?;
            standing.events += events;
            self.events += events;
        }
        self.destinations.insert(pending.key, standing);
        Ok(bytes)
    }

    fn write_record(
        &self,
        destination: DestKey,
        chunks: &[Chunk],
        events: u32,
        standing: &mut Standing,
        time: UnixMillis,
    ) -> Result<u64> {
        let first = Seq::new(self.events);
        let (time_ms, before) = (time.as_millis(), standing.events);
        let unpacked = match chunks {
            [packed] => packed.unpacked,
            _ => 0,
        };
        let mut bytes = 0;
        let mut put = |slice: u16, slices: u16, frames: &[&[u8]]| {
            let size = frames.iter().map(|frames| frames.len()).sum();
            let lay = |fence| self.run.insert(&destination.fence_key(fence), Vec::new());
            let key = destination.events_key(standing.fences.place(size, lay)?, first, slice);
            let head = RecordHead { time_ms, events, before, slices, unpacked };
            let value = record::encode_events(&key, &head, frames);
            bytes += (key.len() + value.len()) as u64;
            self.run.insert(&key, value)?;
            if standing.fences.a_leaf_is_full() {
                self.run.have_cache_looked_at(&key)
            } else {
                Ok(())
            }
        };
        match chunks {
            [large] if large.frames.len() > RECORD_BYTES => {
                let slices = large.frames.chunks(RECORD_BYTES);
                let count = u16::try_from(slices.len()).expect("16 MiB are 512 slices");
                for (number, slice) in (0..).zip(slices) {
                    put(number, count, &[slice])?;
                }
            }
            chunks => {
                let frames: Vec<&[u8]> = chunks.iter().map(|chunk| &*chunk.frames).collect();
                put(0, 1, &frames)?;
            }
        }
        Ok(bytes)
    }
}

/// How many of the first chunks fit into one record; at least one, and a packed one alone.
fn chunks_of_one_record(chunks: &[Chunk]) -> usize {
    let mut bytes = 0;
    let fits = chunks.iter().take_while(|chunk| {
        bytes += chunk.frames.len();
        bytes <= RECORD_BYTES && chunk.unpacked == 0
    });
    fits.count().max(1)
}
