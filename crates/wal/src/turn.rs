//! Which run of which minute is written: opened with the first event, closed when the minute is over, or
//! to go on in another run once it is large.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Minute, UnixMillis};

use crate::closing::Closed;
use crate::error::Result;
use crate::fences::Fences;
use crate::layout::RunName;
use crate::record::DestKey;
use crate::run::{DB_FILE, OpenRun};
use crate::writer::{Active, Standing, Writer};

/// How many closed minutes are remembered, so as never to open one again in this life.
const REMEMBERED_MINUTES: usize = 4096;

/// So many runs of a minute are as large as `LogOptions::run_bytes`; those after them are larger.
const MAX_LARGE_RUNS: u64 = 48;

/// With more destinations than this, what shares records is not worth another run.
const MANY_DESTINATIONS: u32 = 4096;

/// So shortly before the end of its minute no other run is begun.
const LAST_MOMENTS: Duration = Duration::from_millis(10);

/// The kernel stamps files by a coarse clock that lags by a tick.
const FILE_TIME_SLACK: Duration = Duration::from_millis(10);

/// What the runs of a minute have that were closed to go on in another one.
pub(crate) struct Before {
    minute: Minute,
    destinations: HashMap<DestKey, Standing>,
    identified: usize,
    /// Those for which they were closed.
    bytes: u64,
    last_time: UnixMillis,
}

impl Before {
    fn nothing(minute: Minute) -> Self {
        let (destinations, last_time) = (HashMap::new(), minute.start());
        Self { minute, destinations, identified: 0, bytes: 0, last_time }
    }
}

impl Writer {
    /// Opens the minute of `now`, or the next one that was never closed or sealed: a minute never
    /// reopens, wherever the clock jumps.
    pub(crate) fn open(&mut self, now: UnixMillis) -> Result<Active> {
        let mut minute = Minute::containing(now, self.options.interval);
        loop {
            while self.closed.contains(&minute) || self.data.is_sealed(minute) {
                minute = minute.next();
            }
            let before = self.before.take_if(|before| before.minute == minute);
            if let Some(other) = self.before.take() {
                self.closed.insert(other.minute);
            }
            let last_time = match &before {
                Some(before) => {
                    before.last_time.after(Duration::from_millis(1)).min(last_of(minute))
                }
                None => self.last_time_in(minute)?,
            };
            let run = OpenRun::create(&self.data, RunName { minute, run: self.run })?;
            // W4: the flusher makes its seal's directory before it lists the runs, we make ours
            // before we look for its: one of the two sees the other.
            if self.data.is_sealed(minute) {
                run.discard(&self.data)?;
                continue;
            }
            let run = Arc::new(run);
            let disk_bytes = run.disk_bytes()?;
            let before = before.unwrap_or_else(|| Before::nothing(minute));
            self.shared.usage.add(disk_bytes);
            self.shared.usage.add_run();
            self.shared.set_current(Some(Arc::clone(&run)));
            tracing::debug!(minute = %minute, run = %self.run, "opened a minute");
            return Ok(Active {
                run,
                destinations: before.destinations,
                defined: 0,
                events: 0,
                shared: Fences::default(),
                payload_bytes: 0,
                disk_bytes,
                identified: before.identified,
                own_bytes: 0,
                before_bytes: before.bytes,
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
            let dir = self.data.run_dir(run);
            if let Ok(Some(closed)) = Closed::read(&dir) {
                let time = UnixMillis::new(closed.last_time_ms);
                last = last.max(time.after(Duration::from_millis(1)));
            }
            let modified = fs::metadata(dir.join(DB_FILE)).and_then(|metadata| metadata.modified());
            if let Ok(modified) = modified {
                let modified = UnixMillis::from_datetime(modified.into()).after(FILE_TIME_SLACK);
                last = last.max(modified);
            }
        }
        Ok(last.min(last_of(minute)))
    }

    /// Closes the run if its minute is over, or, where something `follows`, if another one is to go on.
    pub(crate) fn close_if_over(&mut self, follows: bool) -> Result<()> {
        let Some(active) = &self.active else { return Ok(()) };
        let minute = active.run.name().minute;
        let now = self.clock.now();
        // Ahead of the clock, after it went back: twice the time, so that the clock catches up.
        let overdue = now < minute.start()
            && active.opened.elapsed() >= self.options.interval.as_duration() * 2;
        if now >= minute.end() || overdue {
            return self.close();
        }
        // Positions have 32 bits.
        let exhausted = active.events > u32::MAX / 2;
        // G6: what another run gets must have later times. And nobody holds a minute between two of its
        // runs: one that is ahead of the clock would be sealed then.
        let has_time = now >= minute.start() && active.last_time.after(LAST_MOMENTS) < minute.end();
        let goes_on = exhausted || (has_time && self.is_large(active));
        if follows && goes_on { self.go_on_in_another_run() } else { Ok(()) }
    }

    /// Whether the flusher is to have what there is. Runs get larger with their minute, so that it has
    /// no more of them to read together than memory is for.
    fn is_large(&self, active: &Active) -> bool {
        let bytes = active.bytes_to_compress();
        let of_minute = active.before_bytes + bytes;
        bytes >= self.options.run_bytes.max(of_minute / MAX_LARGE_RUNS)
    }

    /// Closes the run; a further one of the same minute goes on, within the same limits.
    fn go_on_in_another_run(&mut self) -> Result<()> {
        let Some(active) = &mut self.active else { return Ok(()) };
        let minute = active.run.name().minute;
        let destinations = std::mem::take(&mut active.destinations).into_keys();
        self.before = Some(Before {
            minute,
            destinations: destinations.map(|key| (key, Standing::default())).collect(),
            identified: active.identified,
            bytes: active.before_bytes + active.bytes_to_compress(),
            last_time: active.last_time,
        });
        self.close()?;
        self.closed.remove(&minute);
        self.run = crate::log::random_run();
        Ok(())
    }

    pub(crate) fn close(&mut self) -> Result<()> {
        let Some(active) = self.active.take() else { return Ok(()) };
        self.shared.set_current(None);
        let minute = active.run.name().minute;
        self.closed.insert(minute);
        while self.closed.len() > REMEMBERED_MINUTES {
            self.closed.pop_first();
        }
        active.run.close(&Closed {
            events: u64::from(active.events),
            destinations: active.defined,
            payload_bytes: active.payload_bytes,
            last_time_ms: active.last_time.as_millis(),
        })?;
        tracing::debug!(minute = %minute, events = active.events, "closed a minute");
        Ok(())
    }
}

/// The last millisecond of a minute.
pub(crate) fn last_of(minute: Minute) -> UnixMillis {
    UnixMillis::new(minute.end().as_millis() - 1)
}

impl Active {
    /// About what the flusher could begin with: of very many destinations there is little each.
    fn bytes_to_compress(&self) -> u64 {
        if self.defined <= MANY_DESTINATIONS { self.payload_bytes } else { self.own_bytes }
    }
}
