//! The one writer: takes all requests that wait, writes them, syncs once, answers all.
//!
//! It runs on a thread of its own. A run is opened when the first event of a minute arrives and
//! closed when the minute is over, also when nothing arrives any more. After a failed write or sync
//! nothing that follows can be trusted: the writer stops for good, and all that waits is refused.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Clock, Destination, Minute, RunId, Seq, UnixMillis};
use tokio::sync::{mpsc, oneshot};

use crate::batch::{Appended, Batch, Chunk};
use crate::closing::Closed;
use crate::error::Result;
use crate::layout::{DataDir, RunName};
use crate::log::{AppendError, Commit, LogObserver, LogOptions, Shared};
use crate::record::{self, DestKey, RECORD_BYTES, RecordHead};
use crate::run::{DB_FILE, OpenRun};

/// At most so many requests, and about so many bytes, share one sync.
const COMMIT_REQUESTS: usize = 4096;
const COMMIT_BYTES: usize = 8 * 1024 * 1024;

/// How often the clock is looked at while a minute is open and nothing arrives.
const CLOCK_PERIOD: Duration = Duration::from_millis(50);

/// How many closed minutes are remembered, so as never to open one again in this life.
const REMEMBERED_MINUTES: usize = 4096;

/// The kernel stamps files by a coarse clock that lags by a tick.
const FILE_TIME_SLACK: Duration = Duration::from_millis(10);

pub(crate) struct Request {
    pub(crate) batch: Batch,
    pub(crate) answer: oneshot::Sender<Result<Appended, AppendError>>,
}

pub(crate) enum Command {
    Append(Request),
    /// Close the open run and take no more: what waits behind it is refused.
    Close,
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
}

/// The open minute.
pub(crate) struct Active {
    run: Arc<OpenRun>,
    /// How many events each destination has.
    destinations: HashMap<DestKey, u32>,
    events: u32,
    payload_bytes: u64,
    last_time: UnixMillis,
    opened: Instant,
}

/// The events of one commit for one destination.
struct Pending {
    destination: Destination,
    key: DestKey,
    events: u32,
    first: u32,
    chunks: Vec<Chunk>,
}

/// A request within a commit, and where its groups are: which pending, and how far into it.
struct Admitted {
    answer: oneshot::Sender<Result<Appended, AppendError>>,
    groups: Vec<(usize, u32)>,
    order: Vec<u32>,
    events: u32,
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
                None => self.close_if_over()?,
                Some(Some(Command::Append(first))) => {
                    if self.commit_all_that_waits(first)? {
                        return self.close();
                    }
                }
                Some(Some(Command::Close) | None) => return self.close(),
            }
        }
    }

    /// Commits `first` and what waits behind it; says whether a close was met on the way.
    fn commit_all_that_waits(&mut self, first: Request) -> Result<bool> {
        let mut bytes = first.batch.size_bytes();
        let mut requests = vec![first];
        let mut close = false;
        while requests.len() < COMMIT_REQUESTS && bytes < COMMIT_BYTES && !close {
            match self.commands.try_recv() {
                Ok(Command::Append(request)) => {
                    bytes += request.batch.size_bytes();
                    requests.push(request);
                }
                Ok(Command::Close) => close = true,
                Err(_) => break,
            }
        }
        self.close_if_over()?;
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
        let last = UnixMillis::new(minute.end().as_millis() - 1);
        let time = now.clamp(minute.start(), last).max(active.last_time);
        let (admitted, mut pending) = admit(active, requests, &self.shared, &self.options, now);
        if admitted.is_empty() {
            return Ok(());
        }
        let (mut bytes, first_event) = (0, active.events);
        for pending in &mut pending {
            pending.first = active.events;
            bytes += active.write(pending, time)?;
        }
        active.run.sync()?;
        active.run.set_counts(u64::from(active.events), active.destinations.len() as u64);
        active.last_time = time;
        self.shared.usage.add(bytes);
        let requests = admitted.len() as u64;
        let run = active.run.name().run;
        for request in admitted {
            let firsts = request.groups.iter().map(|(index, offset)| {
                pending.get(*index).map_or(0, |pending| pending.first) + offset
            });
            let (order, events) = (request.order, request.events);
            let appended = Appended { time, run, firsts: firsts.collect(), order, events };
            // A client that has gone does not make the others' events less acknowledged.
            request.answer.send(Ok(appended)).ok();
        }
        let events = u64::from(active.events - first_event);
        let duration = started.elapsed();
        self.observer.committed(&Commit { requests, events, bytes, duration, minute });
        Ok(())
    }

    /// Opens the minute of `now`, or the next one that was never closed or sealed: a minute never
    /// reopens, wherever the clock jumps.
    fn open(&mut self, now: UnixMillis) -> Result<Active> {
        let mut minute = Minute::containing(now, self.options.interval);
        loop {
            while self.closed.contains(&minute) || self.data.is_sealed(minute) {
                minute = minute.next();
            }
            let last_time = self.last_time_in(minute)?;
            let run = OpenRun::create(&self.data, RunName { minute, run: self.run })?;
            // W4: the flusher makes its seal's directory before it lists the runs, we make ours
            // before we look for its: one of the two sees the other.
            if self.data.is_sealed(minute) {
                run.discard()?;
                continue;
            }
            let run = Arc::new(run);
            self.shared.set_current(Some(Arc::clone(&run)));
            tracing::debug!(minute = %minute, run = %self.run, "opened a minute");
            return Ok(Active {
                run,
                destinations: HashMap::new(),
                events: 0,
                payload_bytes: 0,
                last_time,
                opened: Instant::now(),
            });
        }
    }

    /// The time of the last write of an earlier run in this minute: where the clock went back in
    /// between, ids must still sort as the events were acknowledged.
    fn last_time_in(&self, minute: Minute) -> Result<UnixMillis> {
        let mut last = minute.start();
        for run in self.data.runs()?.into_iter().filter(|run| run.minute == minute) {
            let path = self.data.run_dir(run).join(DB_FILE);
            if let Ok(modified) = fs::metadata(path).and_then(|metadata| metadata.modified()) {
                let modified = UnixMillis::from_datetime(modified.into()).after(FILE_TIME_SLACK);
                last = last.max(modified);
            }
        }
        Ok(last.min(UnixMillis::new(minute.end().as_millis() - 1)))
    }

    fn close_if_over(&mut self) -> Result<()> {
        let Some(active) = &self.active else { return Ok(()) };
        let minute = active.run.name().minute;
        let now = self.clock.now();
        // Ahead of the clock, after it went back: twice the time, so that the clock catches up.
        let overdue = now < minute.start()
            && active.opened.elapsed() >= self.options.interval.as_duration() * 2;
        let exhausted = active.events > u32::MAX / 2;
        if now >= minute.end() || overdue {
            return self.close();
        }
        if exhausted {
            // A further run of the same minute goes on: positions have 32 bits.
            self.close()?;
            self.closed.remove(&minute);
            self.run = crate::log::random_run();
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        let Some(active) = self.active.take() else { return Ok(()) };
        self.shared.set_current(None);
        let minute = active.run.name().minute;
        self.closed.insert(minute);
        while self.closed.len() > REMEMBERED_MINUTES {
            self.closed.pop_first();
        }
        active.run.close(&Closed {
            events: u64::from(active.events),
            destinations: u32::try_from(active.destinations.len()).unwrap_or(u32::MAX),
            payload_bytes: active.payload_bytes,
            closed_at_ms: self.clock.now().as_millis(),
        })?;
        tracing::debug!(minute = %minute, events = active.events, "closed a minute");
        Ok(())
    }
}

/// Decides which requests go into the commit, answers the others, and joins the events of those
/// that do by destination.
fn admit(
    active: &mut Active,
    requests: Vec<Request>,
    shared: &Shared,
    options: &LogOptions,
    now: UnixMillis,
) -> (Vec<Admitted>, Vec<Pending>) {
    let mut admitted = Vec::with_capacity(requests.len());
    let mut pending: Vec<Pending> = Vec::new();
    let mut by_key = HashMap::new();
    let mut bytes = 0;
    for Request { batch, answer } in requests {
        let size = batch.size_bytes() as u64;
        if let Some(message) = shared.usage.refusal(bytes + size) {
            answer.send(Err(AppendError::Full { message })).ok();
            continue;
        }
        let known = |key| active.destinations.contains_key(key);
        let new = batch.groups.iter().filter(|group| !known(&group.key)).count();
        let limit = options.max_destinations;
        if active.destinations.len() + new > usize::try_from(limit).unwrap_or(usize::MAX) {
            let retry_after = active.run.name().minute.end().since(now);
            answer.send(Err(AppendError::TooManyDestinations { limit, retry_after })).ok();
            continue;
        }
        bytes += size;
        active.payload_bytes += batch.payload_bytes();
        let events = batch.events();
        let (groups, order) = batch.into_parts();
        let mut places = Vec::with_capacity(groups.len());
        for group in groups {
            active.destinations.entry(group.key).or_insert(0);
            let index = *by_key.entry(group.key).or_insert_with(|| {
                pending.push(Pending {
                    destination: group.destination,
                    key: group.key,
                    events: 0,
                    first: 0,
                    chunks: Vec::new(),
                });
                pending.len() - 1
            });
            if let Some(pending) = pending.get_mut(index) {
                places.push((index, pending.events));
                pending.events += group.events;
                pending.chunks.extend(group.chunks);
            }
        }
        admitted.push(Admitted { answer, groups: places, order, events });
    }
    (admitted, pending)
}

impl Active {
    /// Writes the events of one destination as records; returns their bytes.
    fn write(&mut self, pending: &Pending, time: UnixMillis) -> Result<u64> {
        let mut bytes = 0;
        let before = self.destinations.get(&pending.key).copied().unwrap_or(0);
        if before == 0 {
            let key = pending.key.definition_key();
            let value = record::encode_definition(&key, &pending.destination);
            bytes += (key.len() + value.len()) as u64;
            self.run.insert(&key, value)?;
        }
        let mut next = before;
        let mut chunks = &*pending.chunks;
        while !chunks.is_empty() {
            let (record, rest) = chunks.split_at(chunks_of_one_record(chunks));
            chunks = rest;
            let events = record.iter().map(|chunk| chunk.events).sum::<u32>();
            bytes += self.write_record(pending.key, record, events, next, time)?;
            next += events;
            self.events += events;
        }
        self.destinations.insert(pending.key, next);
        Ok(bytes)
    }

    fn write_record(
        &self,
        destination: DestKey,
        chunks: &[Chunk],
        events: u32,
        before: u32,
        time: UnixMillis,
    ) -> Result<u64> {
        let first = Seq::new(self.events);
        let time_ms = time.as_millis();
        let mut bytes = 0;
        let mut put = |slice: u16, slices: u16, frames: &[&[u8]]| {
            let key = destination.events_key(first, slice);
            let head = RecordHead { time_ms, events, before, slices };
            let value = record::encode_events(&key, &head, frames);
            bytes += (key.len() + value.len()) as u64;
            self.run.insert(&key, value)
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

/// How many of the first chunks fit into one record; at least one.
fn chunks_of_one_record(chunks: &[Chunk]) -> usize {
    let mut bytes = 0;
    let fits = chunks.iter().take_while(|chunk| {
        bytes += chunk.frames.len();
        bytes <= RECORD_BYTES
    });
    fits.count().max(1)
}
