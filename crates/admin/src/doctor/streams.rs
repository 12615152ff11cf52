//! A check of the streams that senders of Firehose's records may name.

use super::check::Check;
use crate::human;

/// Streams, and who may send to them.
#[derive(Clone, Debug, Default)]
pub struct Streams {
    /// How many streams there are.
    pub streams: usize,
    /// How many access keys there are.
    pub access_keys: usize,
    /// What does not fit together: `what: why: what to do`.
    pub warnings: Vec<String>,
}

impl Streams {
    /// Nothing where there are neither streams nor keys.
    pub(super) fn check(&self) -> Option<Check> {
        const CHECK: &str = "streams";
        if self.streams == 0 && self.access_keys == 0 {
            return None;
        }
        let Some(first) = self.warnings.first() else {
            let streams = human::count(self.streams as u64, "stream");
            let keys = human::count(self.access_keys as u64, "access key");
            return Some(Check::ok(CHECK, format!("{streams}, {keys}")));
        };
        let (what, advice) = first.rsplit_once(": ").unwrap_or((first, ""));
        let more = match self.warnings.len() - 1 {
            0 => String::new(),
            more => format!(", and {more} more like this, which `minutelog check` tells"),
        };
        Some(Check::warn(CHECK, format!("{what}{more}")).advise(advice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_together_is_told_with_what_to_do() {
        assert_eq!(Streams::default().check(), None);
        let mut streams = Streams { streams: 1, access_keys: 2, warnings: Vec::new() };
        assert_eq!(streams.check(), Some(Check::ok("streams", "1 stream, 2 access keys")));
        streams.warnings = vec!["it is so: because: mend it".to_owned(), "more: x".to_owned()];
        let detail = "it is so: because, and 1 more like this, which `minutelog check` tells";
        let told = Check::warn("streams", detail).advise("mend it");
        assert_eq!(streams.check(), Some(told));
    }
}
