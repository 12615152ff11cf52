//! The keys that were seen, and the answers to them.
//!
//! A key is claimed before its events are appended and settled after it, or given back where they
//! were refused. Whoever comes with a claimed key waits until it is one or the other. Settled keys
//! go after the window, or the oldest first where there are too many; memory is bounded by
//! [`MAX_KEYS`], [`MAX_POSITIONS`] and [`MAX_CLAIMED`], together 32 MiB.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use wal::Origin;

use crate::idempotency::key::{Content, KeyHash};

/// So many keys with their answers: as many as fit into a hash map of 2^18 places. A place has
/// about 64 bytes there and 32 bytes in the queue: 24 MiB.
const MAX_KEYS: usize = 229_376;

/// So many positions of answers with several destinations: 4 bytes each, 4 MiB.
const MAX_POSITIONS: usize = 1 << 20;

/// So many keys whose events are being appended, with about 64 bytes each: 2 MiB.
const MAX_CLAIMED: usize = 28_672;

/// What became of keys that were asked for together.
#[derive(Debug)]
pub(crate) enum Claimed {
    /// For each key what it was answered before, if it was; the others are claimed.
    Done { answers: Vec<Option<Origin>>, claim: Claim },
    /// One of them is claimed by somebody else: wait for this to be cancelled, and ask again.
    InFlight(CancellationToken),
    /// The one with this number has another content.
    Reused(usize),
    /// Too many keys are claimed.
    Full,
}

/// The keys that are seen.
#[derive(Debug)]
pub(crate) struct Table {
    state: Mutex<State>,
    window: Duration,
    max_keys: usize,
    max_positions: usize,
}

#[derive(Debug, Default)]
struct State {
    settled: HashMap<KeyHash, Settled>,
    /// The settled ones, oldest first.
    order: VecDeque<(Instant, KeyHash)>,
    /// How many positions the settled ones have outside of the map.
    positions: usize,
    claimed: HashMap<KeyHash, InFlight>,
}

#[derive(Debug)]
struct Settled {
    content: Content,
    origin: Origin,
}

#[derive(Debug)]
struct InFlight {
    content: Content,
    settled: CancellationToken,
}

impl Table {
    /// A table that remembers for `window`.
    pub(crate) fn new(window: Duration) -> Arc<Self> {
        let (max_keys, max_positions) = (MAX_KEYS, MAX_POSITIONS);
        Arc::new(Self { state: Mutex::default(), window, max_keys, max_positions })
    }

    /// Asks for keys, each there once: all of them are claimed, or none.
    pub(crate) fn claim(self: &Arc<Self>, keys: &[(KeyHash, Content)], now: Instant) -> Claimed {
        let mut state = self.lock();
        state.forget_until(|_, at| now.saturating_duration_since(at) > self.window);
        let mut answers = Vec::with_capacity(keys.len());
        for (number, (key, content)) in keys.iter().enumerate() {
            if let Some(other) = state.claimed.get(key) {
                if other.content != *content {
                    return Claimed::Reused(number);
                }
                return Claimed::InFlight(other.settled.clone());
            }
            match state.settled.get(key) {
                Some(settled) if settled.content != *content => return Claimed::Reused(number),
                settled => answers.push(settled.map(|settled| settled.origin.clone())),
            }
        }
        let answered = answers.iter().map(Option::is_some);
        let new = keys.iter().zip(answered).filter(|(_, answered)| !answered);
        let keys: Vec<(KeyHash, Content)> = new.map(|(key, _)| *key).collect();
        if state.claimed.len() + keys.len() > MAX_CLAIMED {
            return Claimed::Full;
        }
        let settled = CancellationToken::new();
        for (key, content) in &keys {
            let claim = InFlight { content: *content, settled: settled.clone() };
            state.claimed.insert(*key, claim);
        }
        Claimed::Done { answers, claim: Claim { table: Arc::clone(self), keys, settled } }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn len(&self) -> (usize, usize) {
        let state = self.lock();
        assert_eq!(state.settled.len(), state.order.len());
        (state.settled.len(), state.claimed.len())
    }
}

impl State {
    /// Forgets the oldest ones for as long as `too_old` says so.
    fn forget_until(&mut self, too_old: impl Fn(&Self, Instant) -> bool) {
        while let Some((at, key)) = self.order.front().copied()
            && too_old(self, at)
        {
            self.order.pop_front();
            if let Some(settled) = self.settled.remove(&key) {
                self.positions -= settled.origin.boxed_positions();
            }
        }
    }
}

/// Keys that are being dealt with. Dropped, they are as if they had never been sent.
#[derive(Debug)]
pub(crate) struct Claim {
    table: Arc<Table>,
    keys: Vec<(KeyHash, Content)>,
    settled: CancellationToken,
}

impl Claim {
    /// Whether there is anything to be dealt with.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Notes the answers, one for each of the keys that had none, in their order.
    pub(crate) fn settle(mut self, origins: impl Iterator<Item = Origin>, now: Instant) {
        let keys = std::mem::take(&mut self.keys);
        let mut state = self.table.lock();
        for ((key, content), origin) in keys.into_iter().zip(origins) {
            state.claimed.remove(&key);
            let positions = origin.boxed_positions();
            let (max_keys, max_positions) = (self.table.max_keys, self.table.max_positions);
            state.forget_until(|state, _| {
                state.settled.len() >= max_keys || state.positions + positions > max_positions
            });
            state.positions += positions;
            state.settled.insert(key, Settled { content, origin });
            state.order.push_back((now, key));
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.keys.is_empty() {
            let mut state = self.table.lock();
            for (key, _) in &self.keys {
                state.claimed.remove(key);
            }
        }
        self.settled.cancel();
    }
}

#[cfg(test)]
mod tests;
