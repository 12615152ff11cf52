//! Looks for finished minutes and seals them, oldest first.

use std::collections::{BTreeMap, HashSet};
use std::fs;

use model::{Clock, Minute};
use tokio_util::sync::CancellationToken;
use wal::{DataDir, ManifestReader, PartName, RunName, Stage, durable, is_held};

use crate::config::GzipLevel;
use crate::finished::{Decision, decide};
use crate::metrics;
use crate::seal::{SealOrder, Sealed, SealedPart, seal};

/// Seals what is finished.
#[derive(Debug)]
pub(crate) struct Sealer {
    data: DataDir,
    level: GzipLevel,
    stop: CancellationToken,
    /// Runs that are in a part and still on disk.
    claimed: HashSet<RunName>,
}

impl Sealer {
    /// Cleans up what a crash left behind, and learns which runs are in a part already.
    pub(crate) fn start(
        data: DataDir,
        level: GzipLevel,
        stop: CancellationToken,
    ) -> wal::Result<Self> {
        remove_unfinished_seals(&data)?;
        for unborn in data.unborn_runs()? {
            if !is_held(&unborn) {
                durable::remove_dir(&unborn)?;
            }
        }
        let mut this = Self { data, level, stop, claimed: HashSet::new() };
        let minutes = this.data.runs()?.into_iter().map(|run| run.minute).collect();
        this.claim(&minutes)?;
        Ok(this)
    }

    /// Notes the runs of every part of these minutes. A part that cannot be read claims none: its
    /// delivery quarantines it together with the runs of its minute.
    fn claim(&mut self, minutes: &HashSet<Minute>) -> wal::Result<()> {
        for stage in Stage::ALL {
            for name in self.data.parts(stage)? {
                if !minutes.contains(&name.minute) {
                    continue;
                }
                if let Ok(manifest) = ManifestReader::open(&self.data.part_dir(stage, name)) {
                    let runs = manifest.head().runs.iter();
                    self.claimed.extend(runs.map(|run| RunName { minute: name.minute, run: *run }));
                }
            }
        }
        Ok(())
    }

    /// Seals every minute that is finished and calls `done` with each part. `early` seals all that
    /// nobody holds, also before its minute is over. Stops when `done` says so.
    pub(crate) fn seal_finished(
        &mut self,
        clock: &dyn Clock,
        early: bool,
        mut done: impl FnMut(SealedPart) -> bool,
    ) -> wal::Result<()> {
        let mut minutes = self.finished(clock, early)?;
        while let Some((minute, leave_held)) = minutes.pop_first() {
            let order = SealOrder {
                minute,
                claimed: self.claimed.iter().copied().filter(|run| run.minute == minute).collect(),
                leave_held,
                level: self.level.level(minutes.len()),
                now: clock.now(),
                stop: self.stop.clone(),
            };
            let started = std::time::Instant::now();
            match seal(&self.data, &order)? {
                Sealed::Part(part) => {
                    metrics::sealed(&part, started.elapsed());
                    for (run, damage) in &part.damaged {
                        tracing::error!(run = %run, %damage, "a run could not be read back whole");
                        metrics::quarantined();
                    }
                    tracing::info!(
                        minute = %minute, objects = part.objects, events = part.events,
                        bytes = part.bytes, level = order.level, "sealed"
                    );
                    self.claim(&HashSet::from([minute]))?;
                    if !done(part) {
                        return Ok(());
                    }
                }
                Sealed::Empty | Sealed::NotYet => {}
            }
        }
        Ok(())
    }

    /// The finished minutes, and whether runs of theirs that are held are to be left behind.
    fn finished(&mut self, clock: &dyn Clock, early: bool) -> wal::Result<BTreeMap<Minute, bool>> {
        let runs = self.data.runs()?;
        let on_disk: HashSet<RunName> = runs.iter().copied().collect();
        self.claimed.retain(|run| on_disk.contains(run));
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
pub(crate) fn remove_unfinished_seals(data: &DataDir) -> wal::Result<()> {
    let sealing = data.sealing_dir();
    for entry in fs::read_dir(&sealing).map_err(wal::Error::io(&sealing))? {
        durable::remove_dir(&entry.map_err(wal::Error::io(&sealing))?.path())?;
    }
    Ok(())
}
