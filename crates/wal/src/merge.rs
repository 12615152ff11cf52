//! All runs of a minute read as one: destination by destination, in the order of acknowledgement.
//!
//! Every run has its destinations in the same order, so that this is a merge: it holds one record
//! of each run at a time, however many destinations and events there are.

use model::Destination;

use crate::reader::{Damage, DestinationId, Record, RunReader};

/// Damage, and in which of the runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDamage {
    /// The number of the run, in the order in which the runs were given.
    pub run: usize,
    /// What is wrong with it.
    pub damage: Damage,
}

/// Reads the runs of one minute together.
#[derive(Debug)]
pub struct MinuteReader {
    runs: Vec<RunReader>,
}

impl MinuteReader {
    /// Reads these runs as one.
    pub fn new(runs: Vec<RunReader>) -> Self {
        let all = runs.len() as u64;
        for run in &runs {
            run.is_one_of(all);
        }
        Self { runs }
    }

    /// The runs, in the order in which they were given.
    pub fn runs(&self) -> &[RunReader] {
        &self.runs
    }

    /// Every destination of any run once, in the order of their keys.
    pub fn destinations(
        &self,
    ) -> impl Iterator<Item = Result<(DestinationId, Destination), RunDamage>> {
        let each = self.runs.iter().map(RunReader::destinations);
        let mut merge = Merge::new(each, |(id, _): &(DestinationId, Destination)| *id);
        let mut last = None;
        std::iter::from_fn(move || {
            loop {
                match merge.next()? {
                    Ok((id, _)) if last == Some(id) => {}
                    Ok((id, destination)) => {
                        last = Some(id);
                        return Some(Ok((id, destination)));
                    }
                    Err(damage) => return Some(Err(damage)),
                }
            }
        })
    }

    /// The records of a destination from all runs, in the order of their first ids.
    pub fn records(
        &self,
        destination: DestinationId,
    ) -> impl Iterator<Item = Result<Record, RunDamage>> + use<> {
        self.records_of(destination, &|_| true)
    }

    /// The same from the runs whose numbers `wanted` accepts.
    pub fn records_of(
        &self,
        destination: DestinationId,
        wanted: &dyn Fn(usize) -> bool,
    ) -> impl Iterator<Item = Result<Record, RunDamage>> + use<> {
        let each = self.runs.iter().enumerate().map(|(run, reader)| {
            let records = wanted(run).then(|| reader.records(destination));
            records.into_iter().flatten()
        });
        Merge::new(each.collect::<Vec<_>>(), Record::first_id)
    }
}

/// A merge of iterators that are each in order. Damage comes out as soon as it is met.
struct Merge<I, T, K, F>
where
    I: Iterator<Item = Result<T, Damage>>,
{
    sources: Vec<Source<I, T, K>>,
    key: F,
}

struct Source<I, T, K> {
    rest: I,
    head: Option<(K, T)>,
    /// Whether there may be something after the head.
    more: bool,
}

impl<I, T, K, F> Merge<I, T, K, F>
where
    I: Iterator<Item = Result<T, Damage>>,
    K: Ord,
    F: Fn(&T) -> K,
{
    fn new(each: impl IntoIterator<Item = I>, key: F) -> Self {
        let sources = each.into_iter().map(|rest| Source { rest, head: None, more: true });
        Self { sources: sources.collect(), key }
    }
}

impl<I, T, K, F> Iterator for Merge<I, T, K, F>
where
    I: Iterator<Item = Result<T, Damage>>,
    K: Ord,
    F: Fn(&T) -> K,
{
    type Item = Result<T, RunDamage>;

    fn next(&mut self) -> Option<Self::Item> {
        for (run, source) in self.sources.iter_mut().enumerate() {
            if source.head.is_none() && source.more {
                match source.rest.next() {
                    Some(Ok(item)) => source.head = Some(((self.key)(&item), item)),
                    Some(Err(damage)) => return Some(Err(RunDamage { run, damage })),
                    None => source.more = false,
                }
            }
        }
        let with_heads = self.sources.iter_mut().filter(|source| source.head.is_some());
        let first = with_heads.min_by(|a, b| key_of(a).cmp(&key_of(b)))?;
        first.head.take().map(|(_, item)| Ok(item))
    }
}

fn key_of<I, T, K>(source: &Source<I, T, K>) -> Option<&K> {
    source.head.as_ref().map(|(key, _)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(sources: Vec<Vec<Result<u32, Damage>>>) -> Vec<Result<u32, usize>> {
        let each = sources.into_iter().map(Vec::into_iter);
        Merge::new(each, |item: &u32| *item).map(|item| item.map_err(|e| e.run)).collect()
    }

    #[test]
    fn merges_in_order_and_tells_damage() {
        let damage = || Err(Damage { missing: 1, what: "x".to_owned() });
        assert_eq!(
            merged(vec![vec![Ok(1), Ok(4)], vec![], vec![Ok(2), damage(), Ok(3)]]),
            [Ok(1), Ok(2), Err(2), Ok(3), Ok(4)]
        );
    }
}
