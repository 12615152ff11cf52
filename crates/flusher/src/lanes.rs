//! How many objects are under way at a time, and who waits for whom.
//!
//! What works takes the fast lane. What has failed before takes the slow lane, if there is room
//! right now. An upload that is long under way gives its place in the fast lane back: a slow
//! destination delays no other. A bucket of which many are long under way takes the slow lane too,
//! before the first of them has failed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::Bucket;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long an upload keeps its place in the fast lane.
const FAST_FOR: Duration = Duration::from_secs(5);

/// For each place in the fast lane, so many uploads may be under way that have left it.
const OVERDUE_PER_PLACE: usize = 3;

/// The places for uploads.
#[derive(Clone, Debug)]
pub(crate) struct Lanes {
    fast: Arc<Semaphore>,
    slow: Arc<Semaphore>,
    overdue: Arc<Semaphore>,
    /// How many uploads of a bucket are long under way, where any are.
    long_of: Arc<Mutex<HashMap<Bucket, usize>>>,
    concurrency: usize,
}

/// Counts an upload that is long under way, until it is dropped.
struct Long<'l> {
    lanes: &'l Lanes,
    bucket: &'l Bucket,
}

/// A place in a lane, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Lanes {
    /// Lanes for `concurrency` uploads at a time, a quarter as many of what has failed before, and
    /// three times as many that take long.
    pub(crate) fn new(concurrency: usize) -> Self {
        let places = |places: usize| Arc::new(Semaphore::new(places.max(1)));
        Self {
            fast: places(concurrency),
            slow: places(concurrency / 4),
            overdue: places(concurrency * OVERDUE_PER_PLACE),
            long_of: Arc::default(),
            concurrency,
        }
    }

    /// Whether as many uploads of the bucket are long under way as there are places in the fast
    /// lane. More of it there would take all places, and hold them, once no more may leave.
    pub(crate) fn is_slow(&self, bucket: &Bucket) -> bool {
        self.long(|long| long.get(bucket).is_some_and(|count| *count >= self.concurrency))
    }

    fn long<T>(&self, with: impl FnOnce(&mut HashMap<Bucket, usize>) -> T) -> T {
        with(&mut self.long_of.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for a place in the fast lane.
    pub(crate) async fn fast(&self) -> Place {
        let permit = Arc::clone(&self.fast).acquire_owned().await;
        Place { _permit: permit.expect("the lanes are never closed") }
    }

    /// A place in the slow lane, if there is one right now.
    pub(crate) fn slow(&self) -> Option<Place> {
        Arc::clone(&self.slow).try_acquire_owned().ok().map(|permit| Place { _permit: permit })
    }

    /// Does `work` for `bucket` on a place, and gives the place back with what came of it. Where it
    /// takes long, its place goes to others, if the number of those who take long allows it.
    pub(crate) async fn run<T>(
        &self,
        place: Place,
        bucket: &Bucket,
        work: impl Future<Output = T>,
    ) -> (T, Place) {
        tokio::pin!(work);
        tokio::select! {
            done = &mut work => return (done, place),
            () = tokio::time::sleep(FAST_FOR) => {}
        }
        let long = Long::begin(self, bucket);
        let held = match Arc::clone(&self.overdue).try_acquire_owned() {
            Ok(overdue) => {
                drop(place);
                Place { _permit: overdue }
            }
            Err(_) => place,
        };
        let done = work.await;
        drop(long);
        (done, held)
    }
}

impl<'l> Long<'l> {
    fn begin(lanes: &'l Lanes, bucket: &'l Bucket) -> Self {
        lanes.long(|long| *long.entry(bucket.clone()).or_default() += 1);
        Self { lanes, bucket }
    }
}

impl Drop for Long<'_> {
    fn drop(&mut self) {
        self.lanes.long(|long| {
            if let Some(count) = long.get_mut(self.bucket) {
                *count -= 1;
                if *count == 0 {
                    long.remove(self.bucket);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_takes_long_gives_its_place_back() {
        let lanes = Lanes::new(1);
        let place = lanes.fast().await;
        let of = lanes.clone();
        let bucket = Bucket::new("slow-bucket").unwrap();
        let work = std::future::pending::<()>();
        let slow = tokio::spawn(async move { of.run(place, &bucket, work).await });
        let waiting = tokio::time::timeout(FAST_FOR * 2, lanes.fast()).await;
        assert!(waiting.is_ok());
        let [slow_one, other] = ["slow-bucket", "other"].map(|name| Bucket::new(name).unwrap());
        assert!(lanes.is_slow(&slow_one) && !lanes.is_slow(&other));
        slow.abort();
        assert!(slow.await.is_err());
        assert!(!lanes.is_slow(&slow_one));
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_failed_never_waits_in_line() {
        let lanes = Lanes::new(4);
        let place = lanes.slow();
        assert!(place.is_some());
        assert!(lanes.slow().is_none());
        drop(place);
        assert!(lanes.slow().is_some());
    }
}
