//! What the page is told: looked at away from the async threads, a few at a time, and once for all who
//! ask for the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use model::EventId;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use wal::inspect::StreamQuery;

use crate::error::{Error, Result};
use crate::view::View;

/// So many looks at the disk are under way at a time.
const READERS: usize = 4;

/// How long a look may wait for its turn.
const TURN: Duration = Duration::from_secs(10);

/// So many pages are kept for those who ask for the same.
const KEPT_PAGES: usize = 16;

/// The most of a payload that is shown, in bytes.
const PAYLOAD_BYTES: usize = 256 * 1024;

/// Reads for the page.
#[derive(Debug)]
pub(crate) struct Reader {
    view: View,
    turns: Semaphore,
    kept: Mutex<Kept>,
}

/// Answers for one version of what there is to see.
#[derive(Debug, Default)]
struct Kept {
    version: u64,
    answers: BTreeMap<String, Bytes>,
}

impl Reader {
    pub(crate) fn new(view: View) -> Self {
        Self { view, turns: Semaphore::new(READERS), kept: Mutex::default() }
    }

    /// Does `work` where it may block, when it is its turn.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let turn = timeout(TURN, self.turns.acquire()).await;
        let _turn = turn.map_err(|_| Error::NotLookedAt(1))?;
        let this = Arc::clone(self);
        spawn_blocking(move || work(&this)).await?
    }

    /// A number that changes with what there is to see.
    pub(crate) fn version(&self) -> Result<u64> {
        let version = self.view.version()?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.version != version {
            *kept = Kept { version, answers: BTreeMap::new() };
        }
        Ok(version)
    }

    /// The answer that `make` makes, or one that was made since something has changed. It is kept
    /// only while somebody listens for changes, as `is_watched` says.
    fn kept(
        &self,
        key: String,
        is_watched: bool,
        make: impl FnOnce() -> Result<Bytes>,
    ) -> Result<Bytes> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let version = {
            let kept = kept();
            if let Some(answer) = kept.answers.get(&key).filter(|_| is_watched) {
                return Ok(answer.clone());
            }
            kept.version
        };
        let answer = make()?;
        let mut kept = kept();
        if is_watched && kept.version == version && kept.answers.len() < KEPT_PAGES {
            kept.answers.insert(key, answer.clone());
        }
        Ok(answer)
    }

    /// Services, minutes and destinations.
    pub(crate) fn overview(&self, is_watched: bool) -> Result<Bytes> {
        self.kept("overview".to_owned(), is_watched, || json(&self.view.situation()?))
    }

    /// A page of the stream.
    pub(crate) fn page(&self, query: &StreamQuery, is_watched: bool) -> Result<Bytes> {
        self.kept(format!("{query:?}"), is_watched, || json(&self.view.page(query)?))
    }

    /// The one event with this id, as a page.
    pub(crate) fn page_of(&self, id: EventId) -> Result<Bytes> {
        json(&self.view.page_of(id)?)
    }

    /// All that is known of an event; `None` where nothing is.
    pub(crate) fn event(&self, id: EventId) -> Result<Option<Bytes>> {
        self.view.event(id)?.map(|event| json(&event)).transpose()
    }

    /// The payload of an event.
    pub(crate) fn payload(&self, id: EventId) -> Result<Bytes> {
        json(&self.view.payload(id, PAYLOAD_BYTES)?)
    }
}

fn json(document: &impl Serialize) -> Result<Bytes> {
    Ok(serde_json::to_vec(document)?.into())
}
