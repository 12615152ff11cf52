//! One sealed part on its way: its objects as they are read, and its journal as it is written.

use std::path::PathBuf;

use model::{Clock, Destination};
use tokio::sync::{mpsc, oneshot};
use wal::{
    DataDir, DeliveryJournal, ManifestReader, Outcome, PartName, SEGMENTS_FILE, SealedObject,
    SettledObjects, Stage,
};

use crate::error::Error;
use crate::faults::fault_point;

/// How many objects are read ahead.
const AHEAD: usize = 64;

/// How many outcomes may share a sync, and how many more may wait for the next one.
const OUTCOMES_A_SYNC: usize = 512;

/// A part and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) data: DataDir,
    pub(crate) stage: Stage,
    pub(crate) name: PartName,
}

/// Which objects are wanted; all where nothing is said.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub struct DestinationFilter {
    /// Only this bucket.
    pub bucket: Option<model::Bucket>,
    /// Only this prefix.
    pub prefix: Option<model::Prefix>,
}

impl DestinationFilter {
    /// Whether a destination is wanted.
    pub fn matches(&self, destination: &Destination) -> bool {
        self.bucket.as_ref().is_none_or(|bucket| bucket == destination.bucket())
            && self.prefix.as_ref().is_none_or(|prefix| prefix == destination.prefix())
    }
}

impl Part {
    pub(crate) fn dir(&self) -> PathBuf {
        self.data.part_dir(self.stage, self.name)
    }

    /// What the store is to send for an object.
    pub(crate) fn object(&self, object: SealedObject) -> store::Object {
        store::Object {
            destination: object.destination,
            key: object.key,
            minute: self.name.minute,
            events: object.events,
            lines_digest: object.lines_digest,
            length: object.extents.length(),
            crc32: object.crc32,
            block_crc32: object.block_crc32,
            path: self.dir().join(SEGMENTS_FILE),
            extents: object.extents,
        }
    }

    /// Opens the journal; tells which objects are settled.
    pub(crate) async fn journal(&self) -> Result<(JournalTask, SettledObjects), Error> {
        let dir = self.dir();
        let journal = tokio::task::spawn_blocking(move || DeliveryJournal::open(&dir)).await??;
        let settled = journal.settled_objects();
        Ok((JournalTask::start(journal), settled))
    }

    /// Reads the objects that `wanted` accepts, one after the other.
    pub(crate) fn objects(&self, wanted: impl Fn(u32) -> bool + Send + 'static) -> Objects {
        let dir = self.dir();
        let (objects, read) = mpsc::channel(AHEAD);
        let work = move || {
            let mut manifest = ManifestReader::open(&dir)?;
            while let Some((number, object)) = manifest.next_object()? {
                if wanted(number) && objects.blocking_send((number, object)).is_err() {
                    break;
                }
            }
            Ok(())
        };
        Objects { objects: read, task: tokio::task::spawn_blocking(work) }
    }
}

/// Objects of a part as they are read, with their numbers.
#[derive(Debug)]
pub(crate) struct Objects {
    objects: mpsc::Receiver<(u32, SealedObject)>,
    task: tokio::task::JoinHandle<wal::Result<()>>,
}

impl Objects {
    /// The next one; `None` at the end, or where the manifest can't be read on.
    pub(crate) async fn next(&mut self) -> Option<(u32, SealedObject)> {
        self.objects.recv().await
    }

    /// Whether all could be read.
    pub(crate) async fn finish(mut self) -> Result<(), Error> {
        self.objects.close();
        while self.objects.recv().await.is_some() {}
        Ok(self.task.await??)
    }
}

struct Entry {
    object: u32,
    outcome: Outcome,
    synced: oneshot::Sender<()>,
}

/// Writes a part's journal: many outcomes, one sync.
#[derive(Debug)]
pub(crate) struct JournalTask {
    entries: mpsc::Sender<Entry>,
    task: tokio::task::JoinHandle<wal::Result<DeliveryJournal>>,
}

/// Hands outcomes to the journal.
#[derive(Clone, Debug)]
pub(crate) struct JournalHandle(mpsc::Sender<Entry>);

impl JournalTask {
    fn start(mut journal: DeliveryJournal) -> Self {
        let (entries, mut waiting) = mpsc::channel::<Entry>(OUTCOMES_A_SYNC);
        let write = move || {
            while let Some(first) = waiting.blocking_recv() {
                let mut batch = vec![first];
                while batch.len() < OUTCOMES_A_SYNC
                    && let Ok(entry) = waiting.try_recv()
                {
                    batch.push(entry);
                }
                let mut news = false;
                for entry in &batch {
                    news |= journal.append(entry.object, &entry.outcome)?;
                }
                // F3: a receipt counts only once it is durable.
                if news {
                    journal.sync()?;
                }
                fault_point!("flusher::receipt");
                for entry in batch {
                    entry.synced.send(()).ok();
                }
            }
            Ok(journal)
        };
        Self { entries, task: tokio::task::spawn_blocking(write) }
    }

    pub(crate) fn handle(&self) -> JournalHandle {
        JournalHandle(self.entries.clone())
    }

    /// Waits until all is written; gives the journal back.
    pub(crate) async fn finish(self) -> Result<DeliveryJournal, Error> {
        drop(self.entries);
        Ok(self.task.await??)
    }
}

impl JournalHandle {
    /// Writes an outcome; returns whether it is durable now. Gives `place` back as soon as the
    /// journal has taken it: uploads that are faster than the disk wait for it in their lane.
    pub(crate) async fn record<T>(&self, object: u32, outcome: Outcome, place: T) -> bool {
        let (synced, durable) = oneshot::channel();
        let taken = self.0.send(Entry { object, outcome, synced }).await.is_ok();
        drop(place);
        taken && durable.await.is_ok()
    }

    /// Writes an outcome that nothing depends on, for people who look.
    pub(crate) async fn note(&self, object: u32, outcome: Outcome) {
        let (synced, _) = oneshot::channel();
        self.0.send(Entry { object, outcome, synced }).await.ok();
    }
}

/// The time now, as the journal has it.
pub(crate) fn now_ms(clock: &dyn Clock) -> u64 {
    clock.now().as_millis()
}
