//! What was read of files that never change, kept for the next look: as much as fits, the least
//! recently used of it goes first.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Things by their keys, up to a weight of all together.
#[derive(Debug)]
pub(crate) struct Keep<K, V> {
    max_weight: usize,
    inner: Mutex<Inner<K, V>>,
}

#[derive(Debug)]
struct Inner<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// The keys, the one that was used the longest ago first.
    order: BTreeMap<u64, K>,
    uses: u64,
    weight: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: Arc<V>,
    weight: usize,
    used: u64,
}

impl<K: Eq + Hash + Clone, V> Keep<K, V> {
    /// Keeps nothing yet, and never more than `max_weight`.
    pub(crate) fn new(max_weight: usize) -> Self {
        let (entries, order) = (HashMap::new(), BTreeMap::new());
        Self { max_weight, inner: Mutex::new(Inner { entries, order, uses: 0, weight: 0 }) }
    }

    /// What is kept under a key, or what `make` makes with its weight. Two that ask for the same at
    /// the same time may both make it.
    pub(crate) fn get_or<E>(
        &self,
        key: &K,
        make: impl FnOnce() -> Result<(V, usize), E>,
    ) -> Result<Arc<V>, E> {
        if let Some(value) = self.inner().get(key) {
            return Ok(value);
        }
        let (value, weight) = make()?;
        let value = Arc::new(value);
        if weight <= self.max_weight {
            self.inner().put(key.clone(), Arc::clone(&value), weight, self.max_weight);
        }
        Ok(value)
    }

    fn inner(&self) -> MutexGuard<'_, Inner<K, V>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone, V> Inner<K, V> {
    fn get(&mut self, key: &K) -> Option<Arc<V>> {
        let entry = self.entries.get_mut(key)?;
        self.uses += 1;
        self.order.remove(&entry.used);
        entry.used = self.uses;
        self.order.insert(self.uses, key.clone());
        Some(Arc::clone(&entry.value))
    }

    fn put(&mut self, key: K, value: Arc<V>, weight: usize, max_weight: usize) {
        self.uses += 1;
        let used = self.uses;
        if let Some(old) = self.entries.insert(key.clone(), Entry { value, weight, used }) {
            self.order.remove(&old.used);
            self.weight -= old.weight;
        }
        self.order.insert(used, key);
        self.weight += weight;
        while self.weight > max_weight
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.weight -= self.entries.remove(&oldest).map_or(0, |entry| entry.weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(keep: &Keep<u32, u32>, key: u32, weight: usize) -> bool {
        let mut made = false;
        let value = keep.get_or(&key, || {
            made = true;
            Ok::<_, ()>((key * 10, weight))
        });
        assert_eq!(*value.unwrap(), key * 10);
        made
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_goes() {
        let keep = Keep::new(10);
        assert!(make(&keep, 1, 4) && make(&keep, 2, 4));
        assert!(!make(&keep, 1, 4), "it is kept");
        assert!(make(&keep, 3, 4));
        assert!(!make(&keep, 1, 4) && !make(&keep, 3, 4));
        assert!(make(&keep, 2, 4), "it went");
        assert!(make(&keep, 4, 11) && make(&keep, 4, 11), "it is larger than all that is kept");
    }
}
