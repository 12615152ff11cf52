//! Which runs are compressed ahead, and when.

use std::collections::BTreeSet;
use std::path::Path;

use model::Minute;
use tokio_util::sync::CancellationToken;
use wal::{Closed, DataDir, RunName, RunReader, durable, is_held};

use crate::ahead::{Ahead, AheadError};
use crate::config::GzipLevel;
use crate::deflate::Compressors;

/// Less than so many bytes of payloads are left to the seal.
const MIN_BYTES: u64 = 64 * 1024;

/// What of one minute is compressed ahead.
pub(crate) struct GoingAhead {
    data: DataDir,
    level: GzipLevel,
    stop: CancellationToken,
    ahead: Option<Ahead>,
    /// Minutes that were found unfit: they are left to their seals.
    given_up: BTreeSet<Minute>,
}

impl GoingAhead {
    pub(crate) fn new(data: DataDir, level: GzipLevel, stop: CancellationToken) -> Self {
        Self { data, level, stop, ahead: None, given_up: BTreeSet::new() }
    }

    /// Compresses one of the runs of a minute that were closed, except for the last `leave` of them.
    /// `is_awaited`: the minute is over, or about to be. Says whether there is another one.
    pub(crate) fn go_on(
        &mut self,
        minute: Minute,
        runs: &[RunName],
        leave: usize,
        is_awaited: bool,
        compressors: &Compressors,
    ) -> wal::Result<bool> {
        if self.given_up.contains(&minute) || self.is_busy_with_another(minute) {
            return Ok(false);
        }
        let mut closed = self.closed(runs);
        closed.retain(|(run, _)| self.ahead_of(minute).is_none_or(|ahead| !ahead.has(run.run)));
        let bytes = closed.iter().map(|(_, closed)| closed.payload_bytes).sum::<u64>();
        let (Some((run, _)), true) = (closed.first(), bytes >= MIN_BYTES && closed.len() > leave)
        else {
            return Ok(false);
        };
        let mut level = self.level.level(closed.len() - 1);
        if is_awaited {
            level = self.level.level_of_the_rest(level, self.ahead.as_ref().map(Ahead::level));
        }
        match self.read(*run, level, compressors) {
            Ok(true) => Ok(closed.len() > leave + 1),
            // Somebody reads it; it is free in a moment.
            Ok(false) => Ok(false),
            Err(error) => {
                tracing::debug!(minute = %minute, %error, "not compressed before its end");
                self.give_up(minute)?;
                Ok(false)
            }
        }
    }

    /// Reads a run; says whether it could be opened.
    fn read(
        &mut self,
        run: RunName,
        level: u32,
        compressors: &Compressors,
    ) -> Result<bool, AheadError> {
        let reader = match RunReader::open(&self.data, run) {
            Err(wal::Error::Busy { .. }) => return Ok(false),
            other => other?,
        };
        let ahead = match &mut self.ahead {
            Some(ahead) => ahead,
            none => {
                let dir = self.data.sealing_dir().join(format!("{}.ahead", run.minute.to_name()));
                none.insert(Ahead::begin(dir, run.minute, level, compressors)?)
            }
        };
        ahead.read(&reader, level, &self.stop)?;
        tracing::debug!(%run, level, "compressed before the end of its minute");
        Ok(true)
    }

    /// The runs that nobody writes any more, as they were closed; none where one was not closed: it
    /// may hold what comes first. The seal tells what is wrong with it.
    fn closed(&self, runs: &[RunName]) -> Vec<(RunName, Closed)> {
        let mut all = Vec::new();
        for run in runs {
            let dir = self.data.run_dir(*run);
            if is_held(&dir) {
                continue;
            }
            match Closed::read(&dir) {
                Ok(Some(closed)) => all.push((*run, closed)),
                Ok(None) | Err(_) => return Vec::new(),
            }
        }
        all.sort_by_key(|(_, closed)| closed.last_time_ms);
        all
    }

    fn ahead_of(&self, minute: Minute) -> Option<&Ahead> {
        self.ahead.as_ref().filter(|ahead| ahead.minute() == minute)
    }

    fn is_busy_with_another(&self, minute: Minute) -> bool {
        self.ahead.as_ref().is_some_and(|ahead| ahead.minute() != minute)
    }

    /// Forgets minutes of which there is no run any more.
    pub(crate) fn forget_all_but(&mut self, minutes: &BTreeSet<Minute>) -> wal::Result<()> {
        if let Some(gone) = self.ahead.as_ref().map(Ahead::minute)
            && !minutes.contains(&gone)
        {
            self.give_up(gone)?;
        }
        self.given_up.retain(|minute| minutes.contains(minute));
        Ok(())
    }

    /// Hands out what is compressed of a minute that is to be sealed.
    pub(crate) fn take(&mut self, minute: Minute) -> Option<Ahead> {
        self.ahead.take_if(|ahead| ahead.minute() == minute)
    }

    /// Takes back what was not needed after all.
    pub(crate) fn put_back(&mut self, ahead: Ahead) {
        self.ahead = Some(ahead);
    }

    /// Whether this is the directory of what is there.
    pub(crate) fn is_at(&self, dir: &Path) -> bool {
        self.ahead.as_ref().is_some_and(|ahead| ahead.dir() == dir)
    }

    /// Throws away what there is of a minute, and leaves it to its seal.
    pub(crate) fn give_up(&mut self, minute: Minute) -> wal::Result<()> {
        self.given_up.insert(minute);
        if self.ahead_of(minute).is_none() {
            return Ok(());
        }
        let dir = self.ahead.take().map(|ahead| ahead.dir().to_owned());
        dir.map_or(Ok(()), |dir| durable::remove_dir(&dir))
    }
}
