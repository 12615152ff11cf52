//! Repeats: events that were sent again under the same key, and that S3 is to get once.
//!
//! F7: an event of a run is left out of a seal only where a copy of it, with the same identity and
//! number and within the window, is in a sealed part, or was just written to this one. Which of the
//! copies were really there is asked, never what should have been: of a request that a crash has
//! torn, the repeat gives what the first copy lacks.
//!
//! Memory is bounded by what one run of ingest gives identities to in a minute
//! ([`wal::MAX_IDENTIFIED_PLACES`]); the parts around are read entry by entry.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use model::{Minute, UnixMillis};
use wal::{
    DataDir, HeldEvents, IdentifiedPlace, IdentitiesWriter, Identity, RunReader, SealedIdentities,
    held_near,
};

/// A place of a run.
#[derive(Clone, Copy, Debug)]
struct Place {
    run: u32,
    /// Whether other copies of it are known: in this minute, or held by a part.
    copied: bool,
    at: IdentifiedPlace,
}

/// Events of a place that are in this part.
#[derive(Clone, Copy, Debug)]
struct Kept {
    place: usize,
    number: u32,
    events: u32,
}

/// What to do with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Write it.
    Keep,
    /// Leave it out: it is held already.
    Repeat,
}

/// What there is of identities in a minute that is being sealed.
#[derive(Debug)]
pub(crate) struct Repeats {
    window: Duration,
    /// By run, then by position.
    places: Vec<Place>,
    /// Copies that are in a part, or in this one as far as it is written; of identities that have
    /// several.
    held: HashMap<Identity, Vec<HeldEvents>>,
    kept: Vec<Kept>,
    /// How many events of each run were left out.
    left_out: Vec<u64>,
    /// The place of the last event.
    last: usize,
}

impl Repeats {
    /// Learns what `runs` say of their own events, and which of these other parts hold. What is
    /// damaged is told, by the number of its run.
    pub(crate) fn learn(
        data: &DataDir,
        minute: Minute,
        window: Duration,
        runs: &[RunReader],
        mut damaged: impl FnMut(usize, wal::Damage),
    ) -> wal::Result<Self> {
        let mut places = Vec::new();
        for (run, reader) in runs.iter().enumerate() {
            let number = u32::try_from(run).unwrap_or(u32::MAX);
            for record in reader.identified() {
                match record {
                    Ok(record) => places.extend(record.into_iter().map(|at| Place {
                        run: number,
                        copied: false,
                        at,
                    })),
                    Err(damage) => damaged(run, damage),
                }
            }
        }
        places.sort_unstable_by_key(|place| (place.run, place.at.first));
        let mut this = Self {
            window,
            places,
            held: HashMap::new(),
            kept: Vec::new(),
            left_out: vec![0; runs.len()],
            last: 0,
        };
        this.find_copies(data, minute)?;
        Ok(this)
    }

    fn find_copies(&mut self, data: &DataDir, minute: Minute) -> wal::Result<()> {
        let mut identities: Vec<Identity> =
            self.places.iter().map(|place| place.at.identity).collect();
        identities.sort_unstable();
        for pair in identities.windows(2) {
            if let [one, other] = pair
                && one == other
            {
                self.held.entry(*one).or_default();
            }
        }
        identities.dedup();
        let held = &mut self.held;
        held_near(data, minute, self.window, &identities, |copy| {
            held.entry(copy.identity).or_default().push(copy);
        })?;
        for place in &mut self.places {
            place.copied = self.held.contains_key(&place.at.identity);
        }
        Ok(())
    }

    /// Judges the event at a position of a run. What is to be kept counts as written: events are
    /// asked about in the order in which they are, each once.
    pub(crate) fn judge(&mut self, run: usize, position: u32) -> Verdict {
        let Some((index, place)) = self.place(run, position) else { return Verdict::Keep };
        let at = place.at;
        let number = at.number.saturating_add(position - at.first.get());
        if place.copied && self.is_held(&at, number) {
            if let Some(left_out) = self.left_out.get_mut(run) {
                *left_out += 1;
            }
            return Verdict::Repeat;
        }
        match self.kept.last_mut() {
            Some(kept) if kept.place == index && kept.number + kept.events == number => {
                kept.events += 1;
            }
            _ => self.kept.push(Kept { place: index, number, events: 1 }),
        }
        if place.copied {
            let copies = self.held.entry(at.identity).or_default();
            match copies.last_mut() {
                Some(last) if last.time == at.time && last.number + last.events == number => {
                    last.events += 1;
                }
                _ => copies.push(HeldEvents {
                    identity: at.identity,
                    number,
                    events: 1,
                    time: at.time,
                }),
            }
        }
        Verdict::Keep
    }

    /// The place that a position belongs to. Most events lie beside the one before.
    fn place(&mut self, run: usize, position: u32) -> Option<(usize, Place)> {
        let run = u32::try_from(run).ok()?;
        let holds = |place: &Place| {
            place.run == run
                && position.checked_sub(place.at.first.get()).is_some_and(|at| at < place.at.events)
        };
        if let Some(place) = self.places.get(self.last)
            && holds(place)
        {
            return Some((self.last, *place));
        }
        let after = |place: &Place| (place.run, place.at.first.get()) <= (run, position);
        let index = self.places.partition_point(after).checked_sub(1)?;
        let place = self.places.get(index).filter(|place| holds(place))?;
        self.last = index;
        Some((index, *place))
    }

    fn is_held(&self, at: &IdentifiedPlace, number: u32) -> bool {
        let copies = self.held.get(&at.identity).map_or(&[][..], Vec::as_slice);
        copies.iter().any(|copy| {
            number.checked_sub(copy.number).is_some_and(|number| number < copy.events)
                && apart(copy.time, at.time) <= self.window
        })
    }

    /// Whether no event came with an identity: then none is a repeat.
    pub(crate) fn are_none(&self) -> bool {
        self.places.is_empty()
    }

    /// How many events of each run were left out.
    pub(crate) fn left_out(&self) -> &[u64] {
        &self.left_out
    }

    /// Writes what the part in `dir` holds, durably; `None` where there is nothing to say.
    pub(crate) fn finish(mut self, dir: &Path) -> wal::Result<Option<SealedIdentities>> {
        if self.kept.is_empty() && self.left_out.iter().all(|events| *events == 0) {
            return Ok(None);
        }
        let places = &self.places;
        let held = |kept: &Kept| {
            places.get(kept.place).map(|Place { at, .. }| HeldEvents {
                identity: at.identity,
                number: kept.number,
                events: kept.events,
                time: at.time,
            })
        };
        self.kept.sort_unstable_by_key(held);
        let mut entries = 0;
        if !self.kept.is_empty() {
            let mut writer = IdentitiesWriter::create(dir)?;
            for held in self.kept.iter().filter_map(held) {
                writer.push(&held)?;
            }
            entries = writer.finish()?;
        }
        Ok(Some(SealedIdentities { entries, repeats: self.left_out }))
    }
}

fn apart(one: UnixMillis, other: UnixMillis) -> Duration {
    one.since(other).max(other.since(one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Seq;

    fn place(run: u32, byte: u8, number: u32, first: u32, events: u32, time: u64) -> Place {
        let identity = Identity::new([byte; 16]);
        let (first, time) = (Seq::new(first), UnixMillis::new(time));
        let at = IdentifiedPlace { identity, number, first, events, time };
        Place { run, copied: false, at }
    }

    fn repeats(places: Vec<Place>) -> Repeats {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::create(dir.path()).unwrap();
        let minute = Minute::containing(UnixMillis::new(0), model::Interval::default());
        let mut repeats = Repeats {
            window: Duration::from_millis(100),
            places,
            held: HashMap::new(),
            kept: Vec::new(),
            left_out: vec![0; 2],
            last: 0,
        };
        repeats.find_copies(&data, minute).unwrap();
        repeats
    }

    fn judge(repeats: &mut Repeats, run: usize, positions: std::ops::Range<u32>) -> String {
        positions
            .map(|position| match repeats.judge(run, position) {
                Verdict::Keep => 'k',
                Verdict::Repeat => 'r',
            })
            .collect()
    }

    fn written(repeats: Repeats) -> Vec<(u32, u32)> {
        let dir = tempfile::tempdir().unwrap();
        repeats.finish(dir.path()).unwrap();
        let mut entries = Vec::new();
        if let Some(mut reader) = wal::IdentitiesReader::open(dir.path()).unwrap() {
            while let Some(entry) = reader.next_entry().unwrap() {
                entries.push((entry.number, entry.events));
            }
        }
        entries
    }

    #[test]
    fn a_copy_gives_what_the_first_one_lacks_and_no_more() {
        let mut repeats = repeats(vec![place(0, 1, 0, 5, 4, 10), place(1, 1, 0, 2, 4, 20)]);
        // The third event of the first copy could not be read.
        assert_eq!(judge(&mut repeats, 0, 3..7), "kkkk");
        assert_eq!(judge(&mut repeats, 0, 8..10), "kk");
        assert_eq!(judge(&mut repeats, 1, 0..8), "kkrrkrkk");
        assert_eq!(repeats.left_out(), [0, 3]);
        assert_eq!(written(repeats), [(0, 2), (2, 1), (3, 1)]);
    }

    #[test]
    fn the_window_is_from_copy_to_copy() {
        let mut repeats = repeats(vec![
            place(0, 1, 0, 0, 1, 0),
            place(0, 1, 0, 1, 1, 100),
            place(0, 1, 0, 2, 1, 101),
            place(0, 1, 0, 3, 1, 201),
            place(0, 1, 0, 4, 1, 202),
            place(0, 2, 0, 5, 1, 202),
        ]);
        assert_eq!(judge(&mut repeats, 0, 0..6), "krkrkk");
        assert_eq!(written(repeats).len(), 4);
    }

    #[test]
    fn the_same_key_at_other_numbers_is_another_event() {
        let mut repeats = repeats(vec![place(0, 1, 0, 0, 2, 0), place(0, 1, 2, 7, 2, 0)]);
        assert_eq!(judge(&mut repeats, 0, 0..9), "kkkkkkkkk");
        assert_eq!(written(repeats), [(0, 2), (2, 2)]);
    }

    #[test]
    fn without_identities_there_is_nothing_to_write() {
        let mut repeats = repeats(Vec::new());
        assert_eq!(judge(&mut repeats, 0, 0..3), "kkk");
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(repeats.finish(dir.path()).unwrap(), None);
        assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none());
    }
}
