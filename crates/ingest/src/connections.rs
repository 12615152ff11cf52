//! The connections that are open: no more than so many, and of those that only wait the oldest
//! gives way to a new one.
//!
//! A connection is idle from its beginning until its first request, and from the answer to one
//! request until the next. Whoever holds thousands of idle connections keeps nobody out with them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::metrics::{Metrics, OpenConnection};

/// How long a client may take from connecting to the end of its first request's headers, a TLS
/// handshake included.
const FIRST_HEADERS: Duration = Duration::from_secs(10);
/// How long a connection may be idle between two requests. It is longer than the 60 s for which
/// load balancers keep idle connections, or they would now and then send a request into a closed
/// one.
const IDLE: Duration = Duration::from_secs(75);
/// When to look for another idle connection, if there is still no room.
const EVICT_AGAIN: Duration = Duration::from_millis(10);
/// Of how many there is to be one free ahead of need, and how many at most: an idle connection
/// takes a moment to end, and nobody is to wait for it.
const SPARE: usize = 50;
const SPARE_MAX: usize = 100;
/// How long a connection that is to end has for what it still sends.
const LINGER: Duration = Duration::from_secs(5);

/// All connections of one server.
#[derive(Debug)]
pub(crate) struct Connections {
    room: Arc<Semaphore>,
    spare: usize,
    metrics: Option<Arc<Metrics>>,
    idle: Mutex<IdleOrder>,
}

/// Those that are idle, by when they became so.
#[derive(Debug, Default)]
struct IdleOrder {
    next: u64,
    waiting: BTreeMap<u64, Arc<Notify>>,
}

/// One connection, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Connection {
    all: Arc<Connections>,
    state: Mutex<State>,
    evicted: Arc<Notify>,
    _room: OwnedSemaphorePermit,
    _counted: Option<OpenConnection>,
}

#[derive(Debug)]
struct State {
    /// Whether there was a request yet.
    began: bool,
    in_flight: u32,
    idle_since: Instant,
    /// Where it stands in the order of those that are idle.
    place: Option<u64>,
}

/// One request that is being answered.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Connection>);

/// Why a connection is to end that nobody asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// The first request did not come in time.
    First,
    /// No further request came in time.
    Next,
}

impl Connections {
    /// At most `limit` connections; counted where `metrics` are given.
    pub(crate) fn new(limit: usize, metrics: Option<Arc<Metrics>>) -> Arc<Self> {
        let room = Arc::new(Semaphore::new(limit.clamp(1, Semaphore::MAX_PERMITS)));
        let spare = (limit / SPARE).min(SPARE_MAX);
        Arc::new(Self { room, spare, metrics, idle: Mutex::default() })
    }

    /// Waits for room for a new connection, and has idle ones end for it.
    pub(crate) async fn open(self: &Arc<Self>) -> Arc<Connection> {
        let room = loop {
            if let Ok(room) = Arc::clone(&self.room).try_acquire_owned() {
                break room;
            }
            self.evict();
            if let Ok(room) = timeout(EVICT_AGAIN, Arc::clone(&self.room).acquire_owned()).await {
                break room.expect("this semaphore is never closed");
            }
        };
        if self.room.available_permits() < self.spare {
            self.evict();
        }
        let connection = Arc::new(Connection {
            all: Arc::clone(self),
            state: Mutex::new(State {
                began: false,
                in_flight: 0,
                idle_since: Instant::now(),
                place: None,
            }),
            evicted: Arc::new(Notify::new()),
            _room: room,
            _counted: self.metrics.as_ref().map(|metrics| metrics.connected()),
        });
        connection.rest(&mut connection.state());
        connection
    }

    /// Asks the connection that has been idle the longest to end.
    fn evict(&self) {
        if let Some((_, oldest)) = self.idle().waiting.pop_first() {
            oldest.notify_one();
            if let Some(metrics) = &self.metrics {
                metrics.evicted();
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, IdleOrder> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// A request has come; it is over when the result is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        let mut state = self.state();
        state.began = true;
        state.in_flight += 1;
        if let Some(place) = state.place.take() {
            self.all.idle().waiting.remove(&place);
        }
        InFlight(Arc::clone(self))
    }

    /// Whether there was a request yet.
    pub(crate) fn has_begun(&self) -> bool {
        self.state().began
    }

    /// Resolves when the connection is to end because another one needs its room.
    pub(crate) async fn evicted(&self) {
        self.evicted.notified().await;
    }

    /// Resolves when the client has taken too long to send a request.
    pub(crate) async fn late(&self) -> Late {
        loop {
            let until = {
                let state = self.state();
                let now = Instant::now();
                let (until, late) = if state.began {
                    (state.idle_since + IDLE, Late::Next)
                } else {
                    (state.idle_since + FIRST_HEADERS, Late::First)
                };
                if state.in_flight > 0 {
                    now + IDLE
                } else if until <= now {
                    return late;
                } else {
                    until
                }
            };
            sleep_until(until).await;
        }
    }

    /// Resolves when a connection that was asked to end has had its time, and answers nothing.
    pub(crate) async fn lingered(&self) {
        loop {
            sleep(LINGER).await;
            if self.state().in_flight == 0 {
                return;
            }
        }
    }

    /// It has nothing to answer: it joins the others that are idle, at the end.
    fn rest(&self, state: &mut State) {
        state.idle_since = Instant::now();
        let mut idle = self.all.idle();
        let place = idle.next;
        idle.next += 1;
        idle.waiting.insert(place, Arc::clone(&self.evicted));
        state.place = Some(place);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.in_flight -= 1;
        if state.in_flight == 0 {
            self.0.rest(&mut state);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let place = self.state().place.take();
        if let Some(place) = place {
            self.all.idle().waiting.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_evicted(connection: &Connection) -> bool {
        timeout(Duration::from_millis(1), connection.evicted()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_has_been_idle_the_longest_gives_way() {
        let all = Connections::new(3, None);
        let (first, second, third) = (all.open().await, all.open().await, all.open().await);
        // The first has just been busy, and the second is.
        drop(first.begin());
        let busy = second.begin();
        let mut opening = Box::pin(all.open());
        assert!(timeout(Duration::from_millis(1), &mut opening).await.is_err());
        assert!(is_evicted(&third).await);
        assert!(!is_evicted(&first).await && !is_evicted(&second).await);
        drop(third);
        let fourth = opening.await;
        assert_eq!(all.idle().waiting.len(), 2);
        drop((first, busy, second, fourth));
        assert_eq!(all.idle().waiting.len(), 0, "nothing is kept of what is gone");
        assert_eq!(all.room.available_permits(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_made_ahead_of_need() {
        let all = Connections::new(100, None);
        let mut open = Vec::new();
        for _ in 0..98 {
            open.push(all.open().await);
        }
        assert!(!is_evicted(&open[0]).await, "two are free");
        open.push(all.open().await);
        assert!(is_evicted(&open[0]).await);
        open.push(all.open().await);
        assert!(is_evicted(&open[1]).await && !is_evicted(&open[2]).await);
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_are_busy_a_new_one_waits() {
        let all = Connections::new(1, None);
        let only = all.open().await;
        let busy = only.begin();
        let mut opening = Box::pin(all.open());
        assert!(timeout(Duration::from_secs(100), &mut opening).await.is_err());
        drop(busy);
        assert!(timeout(Duration::from_secs(1), &mut opening).await.is_err());
        assert!(is_evicted(&only).await, "it is asked as soon as it is idle");
        drop(only);
        opening.await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_has_its_time_for_the_first_request_and_for_the_next() {
        let all = Connections::new(1, None);
        let connection = all.open().await;
        let start = Instant::now();
        assert_eq!(connection.late().await, Late::First);
        assert_eq!(start.elapsed(), FIRST_HEADERS);
        let busy = connection.begin();
        assert!(timeout(IDLE * 3, connection.late()).await.is_err(), "a request may take long");
        drop(busy);
        let start = Instant::now();
        assert_eq!(connection.late().await, Late::Next);
        assert_eq!(start.elapsed(), IDLE);
    }
}
