//! Reading a run that is in no part yet, whoever has it: from a copy where nobody writes it, from
//! ingest where it does, and from the part that it has become where the flusher was quicker.

use std::thread;
use std::time::{Duration, Instant};

use model::{Destination, EventId, EventName};

use crate::error::{Error, Result};
use crate::hold::hold_beside_readers;
use crate::inspect::census;
use crate::layout::{DataDir, PartName, RunName};
use crate::live::{LiveFilter, live_events, live_runs};
use crate::manifest::ManifestReader;
use crate::reader::{Damage, EventRef, RunReader};
use crate::regular::is_there;

/// How long a run may be held by somebody who does not answer.
const PATIENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(25);

/// Which events of a run are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted<'w> {
    pub(crate) id: Option<EventId>,
    pub(crate) name: Option<&'w EventName>,
    /// Whether the payloads are wanted as well.
    pub(crate) payload: bool,
    /// No more than so many will be looked at: saves ingest the work.
    pub(crate) limit: Option<u64>,
}

/// Where a run's events were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// In the run: they were handed out.
    Read,
    /// In this part by now: none was handed out.
    Sealed(PartName),
    /// Nowhere: what the run held is delivered and its receipt expired, or it was never born.
    Gone,
}

/// Who is told what is in a run.
pub(crate) trait RunSink {
    /// An event; those of one destination follow each other.
    fn event(&mut self, destination: &Destination, event: &EventRef<'_>);

    /// Whether the events of this destination are wanted at all.
    fn wants(&mut self, _destination: &Destination) -> bool {
        true
    }

    /// The events that follow come from this copy: nobody writes the run any more.
    fn copy(&mut self, _reader: &RunReader) {}

    /// Something of the run cannot be read.
    fn damage(&mut self, damage: Damage);
}

/// Hands out the events of a run.
pub(crate) fn read_run(
    data: &DataDir,
    name: RunName,
    wanted: &Wanted<'_>,
    sink: &mut dyn RunSink,
) -> Result<Whereabouts> {
    loop {
        match approach(data, name)? {
            Approach::Copy(reader) => {
                sink.copy(&reader);
                read_copy(&reader, wanted, sink);
                return Ok(Whereabouts::Read);
            }
            Approach::Live => {
                if read_live(data, name, wanted, sink)? {
                    return Ok(Whereabouts::Read);
                }
                // It was closed between the two questions.
            }
            Approach::Sealed(part) => return Ok(Whereabouts::Sealed(part)),
            Approach::Gone => return Ok(Whereabouts::Gone),
        }
    }
}

/// How a run can be read now.
#[derive(Debug)]
pub(crate) enum Approach {
    /// From this copy.
    Copy(Box<RunReader>),
    /// From the ingest that writes it.
    Live,
    /// From a part.
    Sealed(PartName),
    /// Not at all.
    Gone,
}

/// Finds out who has a run. Waits while the flusher is sealing it.
pub(crate) fn approach(data: &DataDir, name: RunName) -> Result<Approach> {
    let started = Instant::now();
    loop {
        // Without the lock's own patience: who holds it decides what to do.
        let open = hold_beside_readers(&data.run_dir(name))
            .and_then(|_held| RunReader::open_copy(data, name));
        let error = match open {
            Ok(reader) => return Ok(Approach::Copy(Box::new(reader))),
            Err(error @ Error::Busy { .. }) => match live_runs(data) {
                Ok(live) if live.contains(&name) => return Ok(Approach::Live),
                _ => error,
            },
            Err(error) => error,
        };
        // Whatever went wrong: a run whose part is made may be half removed.
        if let Some(part) = part_of(data, name)? {
            return Ok(Approach::Sealed(part));
        }
        if !is_there(&data.run_dir(name)) {
            return Ok(Approach::Gone);
        }
        if !matches!(error, Error::Busy { .. }) {
            return Err(if error.is_not_found() {
                Error::damaged(&data.run_dir(name), "its database is missing")
            } else {
                error
            });
        }
        if started.elapsed() >= PATIENCE {
            return Err(error);
        }
        thread::sleep(PAUSE);
    }
}

/// The part that a run was sealed into.
fn part_of(data: &DataDir, name: RunName) -> Result<Option<PartName>> {
    for part in census::take_minute(data, name.minute)?.parts {
        let runs = super::part::follow(data, part, |_, dir| {
            Ok(ManifestReader::open(&dir)?.head().runs.clone())
        });
        if matches!(runs, Ok(Some(runs)) if runs.contains(&name.run)) {
            return Ok(Some(part));
        }
    }
    Ok(None)
}

fn read_copy(reader: &RunReader, wanted: &Wanted<'_>, sink: &mut dyn RunSink) {
    for destination in reader.destinations() {
        let (id, destination) = match destination {
            Ok(known) => known,
            Err(damage) => {
                sink.damage(damage);
                continue;
            }
        };
        if !sink.wants(&destination) {
            continue;
        }
        for record in reader.records(id) {
            let record = match record {
                Ok(record) => record,
                Err(damage) => {
                    sink.damage(damage);
                    continue;
                }
            };
            let first = record.first_id();
            let may_hold = |id: EventId| {
                let number = id.seq().get().wrapping_sub(first.seq().get());
                id.time() == first.time() && number < record.events()
            };
            if !wanted.id.is_none_or(may_hold) {
                continue;
            }
            for event in record.iter() {
                match event {
                    Ok(event) if matches(wanted, &event) => sink.event(&destination, &event),
                    Ok(_) => {}
                    Err(damage) => {
                        sink.damage(damage);
                        break;
                    }
                }
            }
        }
    }
}

fn matches(wanted: &Wanted<'_>, event: &EventRef<'_>) -> bool {
    wanted.id.is_none_or(|id| id == event.id)
        && wanted.name.is_none_or(|name| name.as_str() == event.name)
}

/// Hands out what ingest has of its open minute; `false` where it has moved on to another run.
fn read_live(
    data: &DataDir,
    name: RunName,
    wanted: &Wanted<'_>,
    sink: &mut dyn RunSink,
) -> Result<bool> {
    let filter = LiveFilter { id: wanted.id, name: wanted.name.cloned(), limit: wanted.limit };
    // The answer is all of one run: an event of this one proves that it was asked in time.
    let mut met = false;
    let answer = live_events(data, &filter, wanted.payload, |event| {
        if event.id.run() != name.run || !name.minute.contains(event.id.time()) {
            return;
        }
        met = true;
        if !sink.wants(&event.destination) {
            return;
        }
        let payload = event.payload.as_deref().unwrap_or_default().as_bytes();
        let event_name = event.name.as_ref().map_or("", EventName::as_str);
        sink.event(&event.destination, &EventRef { id: event.id, name: event_name, payload });
    });
    match answer {
        // Ingest has gone: its lock is free, and nothing was handed out yet.
        Err(_) if !met => Ok(false),
        Err(error) => Err(error),
        Ok(()) => Ok(met || live_runs(data)?.contains(&name)),
    }
}
