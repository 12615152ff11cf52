//! Which row of a list is chosen, and which of them are in sight.

use std::ops::Range;

/// Follows its row as others come and go. Where none was chosen, it is the first one, whichever that is.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<K> {
    at: Option<K>,
    index: usize,
    top: usize,
}

impl<K> Default for Cursor<K> {
    fn default() -> Self {
        Self { at: None, index: 0, top: 0 }
    }
}

impl<K: Clone + PartialEq> Cursor<K> {
    /// The number of the chosen row. One that is gone leaves its place to another.
    pub(crate) fn index(&mut self, keys: &[K]) -> usize {
        let found = self.at.as_ref().map(|at| keys.iter().position(|key| key == at));
        self.index = match found {
            None => 0,
            Some(Some(index)) => index,
            Some(None) => self.index.min(keys.len().saturating_sub(1)),
        };
        self.index
    }

    /// The chosen row.
    pub(crate) fn chosen(&mut self, keys: &[K]) -> Option<K> {
        let index = self.index(keys);
        keys.get(index).cloned()
    }

    /// Chooses the row that is so many rows further down, or up.
    pub(crate) fn step(&mut self, keys: &[K], by: isize) {
        let last = keys.len().saturating_sub(1);
        let index = self.index(keys).saturating_add_signed(by).min(last);
        self.at = keys.get(index).cloned();
        self.index = index;
    }

    /// Chooses the first row, whichever it is.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// The rows in sight, where `height` of them have room: the chosen one is among them.
    pub(crate) fn in_sight(&mut self, keys: &[K], height: usize) -> Range<usize> {
        let index = self.index(keys);
        let lowest = keys.len().saturating_sub(height);
        self.top = self.top.min(index).max((index + 1).saturating_sub(height)).min(lowest);
        self.top..keys.len().min(self.top + height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_row_stays_chosen_and_in_sight() {
        let mut cursor = Cursor::default();
        assert_eq!(cursor.chosen(&[]), None);
        assert_eq!(cursor.chosen(&[9, 8, 7]), Some(9));
        assert_eq!(cursor.chosen(&[10, 9, 8, 7]), Some(10), "none was chosen");
        let keys: Vec<u32> = (0..100).rev().collect();
        cursor.step(&keys, 10);
        assert_eq!((cursor.chosen(&keys), cursor.in_sight(&keys, 5)), (Some(89), 6..11));
        let longer: Vec<u32> = (0..103).rev().collect();
        assert_eq!((cursor.chosen(&longer), cursor.in_sight(&longer, 5)), (Some(89), 9..14));
        cursor.step(&longer, isize::MAX);
        assert_eq!((cursor.chosen(&longer), cursor.in_sight(&longer, 5)), (Some(0), 98..103));
        assert_eq!(cursor.chosen(&keys[..50]), Some(50), "it is gone");
        assert_eq!(cursor.in_sight(&keys[..50], 0), 50..50);
        cursor.step(&keys, isize::MIN);
        assert_eq!((cursor.chosen(&keys), cursor.in_sight(&keys, 5)), (Some(99), 0..5));
        cursor.reset();
        assert_eq!(cursor.chosen(&longer), Some(102));
    }
}
