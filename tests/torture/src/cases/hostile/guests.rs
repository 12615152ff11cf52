//! A good client among bad ones, with a watch.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tests::{Ledger, Sent};

use super::raw::{connect, post_whole, read_answer};

/// Its number among the senders of the ledger.
const SENDER: usize = 1000;

const REST: Duration = Duration::from_millis(50);

/// Sends one event after the other, each on a connection of its own.
#[derive(Debug)]
pub(super) struct Guest {
    shared: Arc<Shared>,
    thread: JoinHandle<Ledger>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    served: AtomicU64,
    slowest_ms: AtomicU64,
}

impl Guest {
    pub(super) fn start(address: SocketAddr) -> Self {
        let shared = Arc::<Shared>::default();
        let of_thread = Arc::clone(&shared);
        Self { shared, thread: thread::spawn(move || send(address, &of_thread)) }
    }

    /// How many of its events were acknowledged.
    pub(super) fn served(&self) -> u64 {
        self.shared.served.load(Ordering::SeqCst)
    }

    /// The longest that it waited for an answer since it was last asked, in milliseconds.
    pub(super) fn slowest_ms(&self) -> u64 {
        self.shared.slowest_ms.swap(0, Ordering::SeqCst)
    }

    pub(super) fn stop(self) -> Ledger {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("it panics at nothing")
    }
}

fn send(address: SocketAddr, shared: &Shared) -> Ledger {
    let mut ledger = Ledger::default();
    for number in 0.. {
        if shared.stop.load(Ordering::SeqCst) {
            break;
        }
        let payload = format!(r#"{{"guest":"{number:09}"}}"#);
        let body = format!(r#"{{"bucket":"my-bucket","prefix":"guest","payload":{payload}}}"#);
        let start = Instant::now();
        let mut stream = connect(address);
        let request = post_whole("/v1/send/s3", "Connection: close\r\n", body);
        let written = std::io::Write::write_all(&mut stream, &request);
        let answer = written.ok().and_then(|()| read_answer(&mut stream));
        let waited = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        shared.slowest_ms.fetch_max(waited, Ordering::SeqCst);
        let id = answer.filter(|answer| answer.status == 200).and_then(|answer| answer.first_id());
        shared.served.fetch_add(u64::from(id.is_some()), Ordering::SeqCst);
        let (bucket, prefix) = ("my-bucket".to_owned(), "guest".to_owned());
        ledger.note(Sent { bucket, prefix, payload, sender: SENDER }, id);
        thread::sleep(REST);
    }
    ledger
}
