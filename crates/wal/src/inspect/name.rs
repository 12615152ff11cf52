//! Which names of events are wanted.

use memchr::memmem;
use model::EventName;
use serde::{Deserialize, Serialize};

/// Which names are wanted. An event without a name fits none of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameFilter {
    /// This one.
    Is(EventName),
    /// Those that have this text in them.
    Contains(String),
}

impl NameFilter {
    /// Whether a name is wanted.
    pub fn fits(&self, name: &str) -> bool {
        match self {
            Self::Is(wanted) => wanted.as_str() == name,
            Self::Contains(text) => !name.is_empty() && name.contains(text.as_str()),
        }
    }

    /// Whether a wanted name can be among these bytes: where it is not, they need not be decoded.
    pub(crate) fn may_be_in(&self, bytes: &[u8]) -> bool {
        let text = match self {
            Self::Is(name) => name.as_str(),
            Self::Contains(text) => text,
        };
        memmem::find(bytes, text.as_bytes()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_whole_or_in_part() {
        let is = NameFilter::Is(EventName::new("order-17").unwrap());
        let contains = NameFilter::Contains("der-1".to_owned());
        for (name, whole, part) in
            [("order-17", true, true), ("order-171", false, true), ("x", false, false)]
        {
            assert_eq!((is.fits(name), contains.fits(name)), (whole, part), "{name}");
        }
        assert!(!NameFilter::Contains(String::new()).fits(""));
        assert!(contains.may_be_in(b"\x08order-17") && !contains.may_be_in(b"\x08order-27"));
    }
}
