//! Looks for finished minutes and seals them, oldest first.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use model::{Clock, Minute};
use tokio_util::sync::CancellationToken;
use wal::{DataDir, ManifestReader, PartName, RunName, Stage, durable, is_held};

use crate::ahead::Ahead;
use crate::config::GzipLevel;
use crate::deflate::Compressors;
use crate::finished::{Decision, decide, end_is_near};
use crate::going_ahead::GoingAhead;
use crate::metrics;
use crate::round::{Ending, Round};
use crate::seal::{self, SealOrder, Sealed, SealedPart, Step, Unfinished};

/// Seals what is finished.
pub(crate) struct Sealer {
    data: DataDir,
    level: GzipLevel,
    window: Duration,
    stop: CancellationToken,
    compressors: Compressors,
    going_ahead: GoingAhead,
    /// Runs that are in a part and still on disk.
    claimed: HashSet<RunName>,
    /// Whether a part may be there that is not claimed, or not synced.
    unsure: bool,
}

impl Sealer {
    /// Cleans up what a crash left behind, and learns which runs are in a part already.
    pub(crate) fn start(
        data: DataDir,
        level: GzipLevel,
        window: Duration,
        stop: CancellationToken,
    ) -> wal::Result<Self> {
        remove_unfinished_seals(&data, |_| false)?;
        data.remove_unborn_runs()?;
        // What a killed flusher has moved and not synced would be made anew, under other keys, if the
        // power went once it is delivered.
        for dir in Stage::ALL.map(|stage| data.stage_dir(stage)) {
            durable::sync_dir(&dir)?;
        }
        let compressors = Compressors::start().map_err(wal::Error::io(data.root()))?;
        let going_ahead = GoingAhead::new(data.clone(), level, stop.clone());
        let (claimed, unsure) = (HashSet::new(), false);
        let mut this =
            Self { data, level, window, stop, compressors, going_ahead, claimed, unsure };
        let minutes = this.data.runs()?.into_iter().map(|run| run.minute).collect();
        this.claim(&minutes)?;
        Ok(this)
    }

    /// Notes the runs of every part of these minutes. A part on its way that cannot be read may hold
    /// any run of its minute, and some of it may be in S3: it claims them all, so that nothing is
    /// sealed twice, and its delivery quarantines it together with them.
    fn claim(&mut self, minutes: &HashSet<Minute>) -> wal::Result<()> {
        for stage in Stage::ALL {
            for name in self.data.parts(stage)? {
                if !minutes.contains(&name.minute) {
                    continue;
                }
                let minute = name.minute;
                match ManifestReader::open(&self.data.part_dir(stage, name)) {
                    Ok(manifest) => {
                        let runs = manifest.head().runs.iter();
                        self.claimed.extend(runs.map(|run| RunName { minute, run: *run }));
                    }
                    // The runs of what is in S3 whole are gone.
                    Err(_) if stage == Stage::Receipts => {}
                    Err(_) => {
                        let runs = self.data.runs()?.into_iter();
                        self.claimed.extend(runs.filter(|run| run.minute == minute));
                    }
                }
            }
        }
        Ok(())
    }

    /// Seals every minute that is finished and calls `done` with each part. `early` seals all that
    /// nobody holds, also before its minute is over. Stops when `done` says so. A minute that cannot be
    /// sealed holds up no other: the first error comes at the end.
    ///
    /// While one part is on its way to stable storage, the next minute is read.
    pub(crate) fn seal_finished(
        &mut self,
        clock: &dyn Clock,
        early: bool,
        done: impl FnMut(SealedPart) -> bool,
    ) -> wal::Result<()> {
        remove_unfinished_seals(&self.data, |dir| self.going_ahead.is_at(dir))?;
        let mut minutes = self.finished(clock, early)?;
        let mut round = Round::new(done);
        while !(round.is_over || self.stop.is_cancelled())
            && let Some((minute, leave_held)) = minutes.pop_first()
        {
            let order = SealOrder {
                minute,
                claimed: self.claimed.iter().copied().filter(|run| run.minute == minute).collect(),
                leave_held,
                level: self.level.level(minutes.len()),
                window: self.window,
                now: clock.now(),
                stop: self.stop.clone(),
            };
            let started = Instant::now();
            let written = self.write(order, &mut round);
            self.end_last(&mut round);
            let ending = match written {
                // Where a part may be there that nobody knows, none is made beside it.
                Ok(Some((unfinished, level))) if !self.unsure => {
                    Ending::begin(&self.data, unfinished, minute, level, started).map(Some)
                }
                Ok(_) => Ok(None),
                Err(error) => Err(error),
            };
            match ending {
                Ok(ending) => round.last = ending,
                Err(error) => self.failed(minute, error, &mut round),
            }
        }
        self.end_last(&mut round);
        round.failed
    }

    /// Writes a part of a minute, and says at which level; `None` where there is none to be made now.
    fn write<F: FnMut(SealedPart) -> bool>(
        &mut self,
        mut order: SealOrder,
        round: &mut Round<F>,
    ) -> wal::Result<Option<(Box<Unfinished>, u32)>> {
        let minute = order.minute;
        let mut ahead = self.ahead_of(minute)?;
        order.level = self.level.level_of_the_rest(order.level, ahead.as_ref().map(Ahead::level));
        let mut written = self.write_on(&order, &mut ahead, round);
        if matches!(written, Ok(Step::NotAsBegun)) {
            drop(ahead.take());
            self.going_ahead.give_up(minute)?;
            written = self.write_on(&order, &mut ahead, round);
        }
        if let Some(ahead) = ahead {
            self.going_ahead.put_back(ahead);
        }
        Ok(match written? {
            Step::Made(unfinished) => Some((unfinished, order.level)),
            Step::NotYet | Step::NotAsBegun => None,
        })
    }

    fn write_on<F: FnMut(SealedPart) -> bool>(
        &mut self,
        order: &SealOrder,
        ahead: &mut Option<Ahead>,
        round: &mut Round<F>,
    ) -> wal::Result<Step<Box<Unfinished>>> {
        let opened = match seal::open(&self.data, order, ahead.as_ref())? {
            Step::Made(opened) => opened,
            Step::NotYet => return Ok(Step::NotYet),
            Step::NotAsBegun => return Ok(Step::NotAsBegun),
        };
        // F7: what is a repeat, the part before this one may tell.
        if opened.has_identities() {
            self.end_last(round);
        }
        opened.write(&self.data, order, ahead, &self.compressors)
    }

    /// Waits for the part that is on its way to stable storage, if there is one.
    fn end_last<F: FnMut(SealedPart) -> bool>(&mut self, round: &mut Round<F>) {
        let Some(ending) = round.last.take() else { return };
        let Ending { minute, level, started, .. } = ending;
        let part = match ending.wait() {
            Ok(Sealed::Part(part)) => part,
            Ok(Sealed::Empty { repeats }) => return metrics::repeats_removed(repeats),
            Err(error) => return self.failed(minute, error, round),
        };
        metrics::sealed(&part, started.elapsed());
        for (run, damage) in &part.damaged {
            tracing::error!(run = %run, %damage, "a run could not be read back whole");
            metrics::quarantined();
        }
        tracing::info!(
            minute = %minute, objects = part.objects, events = part.events,
            bytes = part.bytes, repeats = part.repeats, level, "sealed"
        );
        match self.claim_or_doubt(minute) {
            Ok(()) => round.is_over |= !(round.done)(part),
            Err(error) => round.fail(error, true),
        }
    }

    /// After an error in sealing a minute. On a full disk, what it has left takes the room that
    /// another minute needs; and where only the last sync has failed, there is a part.
    fn failed<F>(&mut self, minute: Minute, error: wal::Error, round: &mut Round<F>) {
        tracing::error!(minute = %minute, %error, "cannot seal a minute");
        round.fail(error, false);
        let cleaned = self.going_ahead.give_up(minute);
        if let Err(error) = cleaned.and_then(|()| self.clean_up_after(minute)) {
            round.fail(error, false);
        }
        round.is_over |= self.unsure;
    }

    /// Compresses some of the minute that is being written, if there is something to begin with. Says
    /// whether there is more.
    pub(crate) fn go_ahead(&mut self, clock: &dyn Clock) -> wal::Result<bool> {
        let now = clock.now();
        let runs = self.data.runs()?;
        let open = |run: &&RunName| decide(run.minute, now, false, false) == Decision::Wait;
        let Some(minute) = runs.iter().find(open).map(|run| run.minute) else { return Ok(false) };
        let runs = self.unclaimed(minute)?;
        self.going_ahead.go_on(minute, &runs, 0, end_is_near(minute, now), &self.compressors)
    }

    /// What is compressed of a minute that is to be sealed. Of several runs, which may be large, all but
    /// the last are read one after the other, so that not all of them are in memory at once.
    fn ahead_of(&mut self, minute: Minute) -> wal::Result<Option<Ahead>> {
        let runs = self.unclaimed(minute)?;
        while self.going_ahead.go_on(minute, &runs, 1, true, &self.compressors)? {}
        Ok(self.going_ahead.take(minute))
    }

    fn unclaimed(&self, minute: Minute) -> wal::Result<Vec<RunName>> {
        let mut runs = self.data.runs()?;
        runs.retain(|run| run.minute == minute && !self.claimed.contains(run));
        Ok(runs)
    }

    fn clean_up_after(&mut self, minute: Minute) -> wal::Result<()> {
        let prefix = format!("{}.", minute.to_name());
        let is_its = |dir: &Path| {
            dir.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with(&prefix))
        };
        remove_unfinished_seals(&self.data, |dir| !is_its(dir))?;
        let before = self.claimed.len();
        self.claim_or_doubt(minute)?;
        self.unsure |= self.claimed.len() > before;
        Ok(())
    }

    /// What is not known to be in a part would be sealed twice.
    fn claim_or_doubt(&mut self, minute: Minute) -> wal::Result<()> {
        let claimed = self.claim(&HashSet::from([minute]));
        self.unsure |= claimed.is_err();
        claimed
    }

    /// Whether a part may be there that nobody has claimed, or that a power loss may undo: nothing is
    /// sealed or delivered before the next start, which syncs and claims it.
    pub(crate) fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// The finished minutes, and whether runs of theirs that are held are to be left behind.
    fn finished(&mut self, clock: &dyn Clock, early: bool) -> wal::Result<BTreeMap<Minute, bool>> {
        let runs = self.data.runs()?;
        let on_disk: HashSet<RunName> = runs.iter().copied().collect();
        self.claimed.retain(|run| on_disk.contains(run));
        let minutes = runs.iter().filter(|run| !self.claimed.contains(run)).map(|run| run.minute);
        self.going_ahead.forget_all_but(&minutes.collect())?;
        let mut minutes = BTreeMap::<Minute, (bool, bool)>::new();
        let now = clock.now();
        for run in runs.into_iter().filter(|run| !self.claimed.contains(run)) {
            let may_be_finished = decide(run.minute, now, false, early) == Decision::Seal;
            if may_be_finished {
                let (held, free) = minutes.entry(run.minute).or_default();
                if is_held(&self.data.run_dir(run)) { *held = true } else { *free = true }
            }
        }
        let finished = minutes.into_iter().filter(|(minute, (held, free))| {
            *free && decide(*minute, now, *held, early) == Decision::Seal
        });
        Ok(finished.map(|(minute, (held, _))| (minute, held)).collect())
    }

    /// Whether anything is left that is not sealed.
    pub(crate) fn has_unsealed(&self) -> wal::Result<bool> {
        Ok(self.data.runs()?.iter().any(|run| !self.claimed.contains(run)))
    }

    /// The parts that are on their way, oldest first.
    pub(crate) fn parts(&self) -> wal::Result<Vec<(PartName, Stage)>> {
        let mut parts = Vec::new();
        for stage in [Stage::Sealed, Stage::Parked] {
            parts.extend(self.data.parts(stage)?.into_iter().map(|name| (name, stage)));
        }
        parts.sort_unstable();
        Ok(parts)
    }
}

/// F1: a seal that was not finished is worth nothing; its events are in the log.
fn remove_unfinished_seals(data: &DataDir, except: impl Fn(&Path) -> bool) -> wal::Result<()> {
    let sealing = data.sealing_dir();
    for entry in fs::read_dir(&sealing).map_err(wal::Error::io(&sealing))? {
        let path = entry.map_err(wal::Error::io(&sealing))?.path();
        if !except(&path) {
            durable::remove_dir(&path)?;
        }
    }
    Ok(())
}
