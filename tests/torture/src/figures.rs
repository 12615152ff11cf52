//! What a case reached, in numbers.

use std::fmt;

/// Named counts, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures(Vec<Figure>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Figure {
    name: &'static str,
    value: u64,
    /// Whether it is the largest of what was noted, not the sum.
    is_highest: bool,
}

impl Figures {
    /// Counts something.
    pub(crate) fn add(&mut self, name: &'static str, count: u64) {
        self.note(Figure { name, value: count, is_highest: false });
    }

    /// Notes the largest.
    pub(crate) fn highest(&mut self, name: &'static str, value: u64) {
        self.note(Figure { name, value, is_highest: true });
    }

    /// Adds what another round counted, and keeps the larger of what each has as its largest.
    pub(crate) fn join(&mut self, other: &Self) {
        other.0.iter().for_each(|figure| self.note(*figure));
    }

    fn note(&mut self, new: Figure) {
        match self.0.iter_mut().find(|known| known.name == new.name) {
            Some(known) if new.is_highest => known.value = known.value.max(new.value),
            Some(known) => known.value += new.value,
            None => self.0.push(new),
        }
    }

    /// A count; 0 where nothing was counted.
    pub(crate) fn get(&self, name: &str) -> u64 {
        self.0.iter().find(|figure| figure.name == name).map_or(0, |figure| figure.value)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|figure| (figure.name, figure.value))
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (name, count)) in self.iter().enumerate() {
            let separator = if number == 0 { "" } else { ", " };
            write!(f, "{separator}{name} {count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_add_up_in_the_order_in_which_they_came() {
        let mut figures = Figures::default();
        figures.add("runs", 1);
        figures.add("kills", 2);
        figures.join(&figures.clone());
        figures.highest("lag_ms", 7);
        figures.highest("lag_ms", 5);
        let mut other = Figures::default();
        other.highest("lag_ms", 6);
        figures.join(&other);
        assert_eq!(figures.to_string(), "runs 2, kills 4, lag_ms 7");
        assert_eq!((figures.get("kills"), figures.get("lost")), (4, 0));
    }
}
