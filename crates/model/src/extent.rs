//! Where the bytes of an object lie in a file.

use serde::{Deserialize, Serialize};

/// Bytes of a file that lie together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Where they begin.
    pub offset: u64,
    /// How many there are.
    pub length: u64,
}

impl Extent {
    /// Where they end.
    pub fn end(self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

/// Where the bytes of an object lie in a file: extent after extent, in their order. Other objects' may
/// lie between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Extents(Vec<Extent>);

impl Extents {
    /// Bytes that lie together.
    pub fn one(offset: u64, length: u64) -> Self {
        Self(vec![Extent { offset, length }])
    }

    /// Goes on with `extent`. What follows what is there already makes that longer.
    pub fn push(&mut self, extent: Extent) {
        match self.0.last_mut() {
            Some(last) if last.end() == extent.offset => {
                last.length = last.length.saturating_add(extent.length);
            }
            _ => self.0.push(extent),
        }
    }

    /// How many bytes there are.
    pub fn length(&self) -> u64 {
        self.0.iter().fold(0, |length, extent| length.saturating_add(extent.length))
    }

    /// How long the file must be at least.
    pub fn end(&self) -> u64 {
        self.0.iter().map(|extent| extent.end()).max().unwrap_or(0)
    }

    /// Each of them, in the order of the object's bytes.
    pub fn iter(&self) -> impl Iterator<Item = Extent> {
        self.0.iter().copied()
    }

    /// Where `length` bytes of the object lie from its byte `from` on; fewer where it ends before.
    #[must_use]
    pub fn within(&self, mut from: u64, mut length: u64) -> Self {
        let mut within = Self::default();
        for extent in self.iter() {
            let skipped = from.min(extent.length);
            from -= skipped;
            let taken = (extent.length - skipped).min(length);
            length -= taken;
            if taken > 0 {
                within
                    .push(Extent { offset: extent.offset.saturating_add(skipped), length: taken });
            }
        }
        within
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn extents(each: &[(u64, u64)]) -> Extents {
        let mut extents = Extents::default();
        for (offset, length) in each {
            extents.push(Extent { offset: *offset, length: *length });
        }
        extents
    }

    /// The places of its bytes, one by one.
    fn places(extents: &Extents) -> Vec<u64> {
        extents.iter().flat_map(|extent| extent.offset..extent.end()).collect()
    }

    #[test]
    fn what_lies_together_is_one() {
        let some = extents(&[(5, 3), (8, 2), (20, 1)]);
        assert_eq!(some.iter().count(), 2);
        assert_eq!((some.length(), some.end()), (6, 21));
        assert_eq!(Extents::default().end(), 0);
    }

    #[test]
    fn numbers_that_do_not_fit_are_cut() {
        let some = extents(&[(u64::MAX, 3), (0, u64::MAX)]);
        assert_eq!((some.length(), some.end()), (u64::MAX, u64::MAX));
        assert_eq!(some.within(2, 5).length(), 5);
    }

    proptest! {
        #[test]
        fn a_part_lies_where_the_bytes_of_the_whole_do(
            each in prop::collection::vec((0_u64..50, 0_u64..9), 0..6),
            from in 0_u64..60,
            length in 0_u64..60,
        ) {
            let whole = extents(&each);
            let skip = usize::try_from(from).unwrap();
            let take = usize::try_from(length).unwrap();
            let expected: Vec<u64> = places(&whole).into_iter().skip(skip).take(take).collect();
            prop_assert_eq!(places(&whole.within(from, length)), expected);
        }
    }
}
