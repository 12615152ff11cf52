//! Fences: small keys that are laid ahead of a destination's records, so that sled splits leaves
//! while they are small.
//!
//! sled 0.34 splits a leaf once it has more than 16 entries (`node.rs`, `should_split`) and writes
//! both halves anew, whatever their size: records that are appended one after the other are written
//! four to five times in all. A record that goes into a leaf that is never split any more is
//! written once, as a link behind it.
//!
//! Of a leaf that is split, the first 9 entries stay. So among fences that are laid in ascending
//! order, each leaf but the last has 9 of them, and room for 7 entries more (and sled writes a leaf
//! anew only after 10 links). Records take 7 of each 9 gaps in turn: wherever a leaf begins, there
//! are never more than 7 of them between 9 fences.
//!
//! Fences say nothing: whoever reads passes over them, and a log without them is as good.

/// Of so many gaps between fences in a row …
const GAPS: u32 = 9;
/// … so many have a record.
const RECORDS: u32 = 7;

/// How far ahead of a record there are fences: a leaf that is still growing has 16 entries at most,
/// and none of the records.
const AHEAD: u32 = 16 + GAPS + 1;

/// The last places of a destination have fences from the beginning: they stand between its growing
/// leaf and the records of the destination after it.
const LAST: u32 = 17;

/// Fences cost more than they save where records are few or small. Of records of 2 KiB, 1.3 bytes are
/// written a byte with them, and 3.7 without.
const FEWEST_RECORDS: u32 = 4;
const FEWEST_BYTES: u64 = 32 * 1024;
const SMALLEST_RECORD_BYTES: u64 = 2 * 1024;

/// A place among the fences and records of a destination.
pub(crate) type Place = u32;

/// The fences of one destination in one run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fences {
    records: u32,
    bytes: u64,
    /// The first place that has no fence yet; 0 before there are any.
    next: Place,
}

impl Fences {
    /// The place of the destination's next record, of so many bytes. `lay` is called for each fence
    /// that is to be laid before it.
    pub(crate) fn place<E>(
        &mut self,
        bytes: usize,
        mut lay: impl FnMut(Place) -> Result<(), E>,
    ) -> Result<Place, E> {
        let place = self.records / RECORDS * GAPS + self.records % RECORDS;
        if self.are_worth_it() {
            if self.next == 0 {
                (Place::MAX - LAST..Place::MAX).try_for_each(&mut lay)?;
            }
            for fence in self.next.max(place + 1)..=place + AHEAD {
                lay(fence)?;
            }
            self.next = self.next.max(place + AHEAD + 1);
        }
        self.records += 1;
        self.bytes += bytes as u64;
        Ok(place)
    }

    /// Whether the record that was placed last is the last of its leaf, or near to it: none of those
    /// that follow goes where it is.
    pub(crate) fn a_leaf_is_full(&self) -> bool {
        self.next > 0 && self.records.is_multiple_of(RECORDS)
    }

    fn are_worth_it(&self) -> bool {
        self.records >= FEWEST_RECORDS
            && self.bytes >= FEWEST_BYTES
            && self.bytes >= u64::from(self.records) * SMALLEST_RECORD_BYTES
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn places(records: u32, bytes: usize) -> (Vec<Place>, Vec<Place>) {
        let (mut fences, mut laid) = (Fences::default(), Vec::new());
        let lay = |laid: &mut Vec<Place>, fence| {
            laid.push(fence);
            Ok::<_, Infallible>(())
        };
        let each =
            (0..records).map(|_| fences.place(bytes, |fence| lay(&mut laid, fence)).unwrap());
        (each.collect(), laid)
    }

    #[test]
    fn nine_fences_in_a_row_have_seven_records() {
        let (records, fences) = places(1000, 32 * 1024);
        assert!(records.is_sorted_by(|a, b| a < b));
        let (last, ahead): (Vec<Place>, Vec<Place>) = fences.iter().partition(|it| **it > 1 << 31);
        assert_eq!(last.len(), 17);
        assert!(ahead.is_sorted_by(|a, b| a + 1 == *b), "one after the other");
        for first in 100..1000 {
            let between = records.iter().filter(|it| (first..first + GAPS).contains(*it)).count();
            assert_eq!(between, 7, "from {first}");
        }
    }

    #[test]
    fn few_records_and_small_ones_have_no_fences() {
        assert!(places(4, 32 * 1024).1.is_empty());
        assert!(places(1000, 512).1.is_empty());
        assert!(places(16, 2 * 1024).1.is_empty());
        assert!(!places(17, 2 * 1024).1.is_empty());
        assert!(!places(5, 32 * 1024).1.is_empty());
    }
}
