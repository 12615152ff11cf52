//! One budget of memory for all bodies that are in the service at a time.
//!
//! A body takes its share as it grows, so that a slow client holds no more than it has sent.
//! Bodies that grow while they hold something could wait for each other for ever. So a part of the
//! budget, as large as the largest body, is kept aside and given to one body at a time: whoever
//! has it never waits again, and gives back what it held before. All others wait for either part,
//! and give up after a while.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a body waits for memory.
const WAIT: Duration = Duration::from_secs(10);
/// Semaphores count in 32 bits; in KiB they reach further than any machine.
const UNIT_BYTES: usize = 1024;

/// The budget.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Semaphore>,
    shared_units: u32,
    reserve: Arc<Semaphore>,
    reserve_units: u32,
}

/// What one body has of it. Given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    pool: Arc<Pool>,
    shared: Option<OwnedSemaphorePermit>,
    reserve: Option<OwnedSemaphorePermit>,
}

/// The budget was used up for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no memory for the body within {} s", WAIT.as_secs())]
pub(crate) struct Exhausted;

impl Pool {
    /// A budget of `total_bytes` for bodies that need up to `largest_bytes`; twice that where the
    /// total is less, so that one large body leaves room for others.
    pub(crate) fn new(total_bytes: usize, largest_bytes: usize) -> Arc<Self> {
        let reserve_units = units(largest_bytes);
        let shared_units = units(total_bytes).saturating_sub(reserve_units).max(reserve_units);
        let permits = usize::try_from(shared_units).unwrap_or(usize::MAX);
        Arc::new(Self {
            shared: Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))),
            shared_units,
            reserve: Arc::new(Semaphore::new(1)),
            reserve_units,
        })
    }

    /// What is free of the shared part.
    #[cfg(test)]
    pub(crate) fn free_bytes(&self) -> usize {
        self.shared.available_permits() * UNIT_BYTES
    }

    /// A share of nothing yet.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share { pool: Arc::clone(self), shared: None, reserve: None }
    }
}

impl Share {
    /// Makes the share cover `bytes` in all; waits for them for up to 10 s.
    pub(crate) async fn grow(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let wanted = units(bytes);
        if self.reserve.is_some() {
            return if wanted <= self.pool.reserve_units { Ok(()) } else { Err(Exhausted) };
        }
        let missing = wanted.saturating_sub(self.shared_units());
        if missing > 0 && !self.take(missing) {
            timeout(WAIT, self.wait(missing)).await.map_err(|_| Exhausted)
        } else {
            Ok(())
        }
    }

    /// Gives back what goes beyond `bytes`.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let excess = self.shared_units().saturating_sub(units(bytes));
        if let Some(permit) = &mut self.shared
            && let Ok(excess) = usize::try_from(excess)
        {
            drop(permit.split(excess));
        }
    }

    fn shared_units(&self) -> u32 {
        let permits = self.shared.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        u32::try_from(permits).unwrap_or(u32::MAX)
    }

    /// Takes what is missing if it is free. Those who wait are served first: what is free is what
    /// they leave.
    fn take(&mut self, missing: u32) -> bool {
        let permit = Arc::clone(&self.pool.shared).try_acquire_many_owned(missing);
        permit.map(|permit| self.hold(permit)).is_ok()
    }

    fn hold(&mut self, permit: OwnedSemaphorePermit) {
        match &mut self.shared {
            Some(held) => held.merge(permit),
            None => self.shared = Some(permit),
        }
    }

    async fn wait(&mut self, missing: u32) {
        let pool = Arc::clone(&self.pool);
        let open = "the semaphores of a pool are never closed";
        // Asking for more than there ever is would stand in everybody's way.
        let fits = missing <= pool.shared_units;
        tokio::select! {
            biased;
            permit = Arc::clone(&pool.shared).acquire_many_owned(missing), if fits => {
                self.hold(permit.expect(open));
            }
            permit = Arc::clone(&pool.reserve).acquire_owned() => {
                self.reserve = Some(permit.expect(open));
                self.shared = None;
            }
        }
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[tokio::test(start_paused = true)]
    async fn what_is_used_up_is_waited_for_and_then_refused() {
        let pool = Pool::new(4 * MIB, MIB);
        let mut first = pool.share();
        first.grow(3 * MIB).await.unwrap();
        let mut second = pool.share();
        second.grow(MIB).await.unwrap();
        assert!(second.reserve.is_some(), "the shared part is used up");
        let mut third = pool.share();
        assert_eq!(third.grow(1).await, Err(Exhausted));
        first.shrink(2 * MIB);
        assert_eq!(third.grow(MIB).await, Ok(()));
        drop((first, second, third));
        let mut all = pool.share();
        assert_eq!(all.grow(3 * MIB).await, Ok(()));
        assert!(all.reserve.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_served_before_who_comes_later() {
        let pool = Pool::new(4 * MIB, MIB);
        let (mut first, mut second, mut third) = (pool.share(), pool.share(), pool.share());
        first.grow(3 * MIB).await.unwrap();
        second.grow(MIB).await.unwrap();
        assert!(second.reserve.is_some(), "nothing is left");
        let mut waiting = Box::pin(third.grow(2 * MIB));
        assert!(timeout(Duration::from_secs(1), &mut waiting).await.is_err());
        first.shrink(2 * MIB);
        assert!(!pool.share().take(1), "that is for the one who waits");
        first.shrink(MIB);
        assert_eq!(waiting.await, Ok(()));
        first.shrink(0);
        assert!(pool.share().take(1));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_gets_the_reserve_gives_back_what_it_held() {
        let pool = Pool::new(4 * MIB, 2 * MIB);
        let (mut first, mut second) = (pool.share(), pool.share());
        first.grow(MIB).await.unwrap();
        second.grow(MIB).await.unwrap();
        first.grow(2 * MIB).await.unwrap();
        assert!(first.reserve.is_some());
        assert_eq!(pool.free_bytes(), MIB);
        assert_eq!(first.grow(3 * MIB).await, Err(Exhausted), "the reserve has an end");
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_that_all_grow_at_once_all_get_through() {
        let pool = Pool::new(4 * MIB, MIB);
        let mut bodies = tokio::task::JoinSet::new();
        for _ in 0..12 {
            let mut share = pool.share();
            bodies.spawn(async move {
                for quarter in 1..=4 {
                    share.grow(quarter * MIB / 4).await?;
                    tokio::task::yield_now().await;
                }
                Ok::<_, Exhausted>(())
            });
        }
        while let Some(body) = bodies.join_next().await {
            assert_eq!(body.unwrap(), Ok(()));
        }
    }
}
