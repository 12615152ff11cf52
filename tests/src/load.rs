//! Load: senders that send one request after the other, each event once, to an ingest that may be
//! dying.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::client::Client;
use crate::ledger::{Ledger, Sent};
use crate::random::Random;

/// How long a sender waits where nobody listens, or where its request was refused.
const SHORT_PAUSE: Duration = Duration::from_millis(5);

/// Who is told of each acknowledgement before it counts, one for each sender.
pub trait Witness: Send + fmt::Debug {
    /// These events were acknowledged. It returns when they can't be forgotten any more.
    fn acknowledged(&mut self, ids: &[String]);
}

/// What is sent.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    /// Two loads of one seed send the same events in the same order.
    pub seed: u64,
    /// How many senders, each of them one thread with one request under way.
    pub senders: usize,
    /// The number of the first one. Loads of one ledger must not share numbers.
    pub first_sender: usize,
    /// Buckets and prefixes, of which each event has one.
    pub destinations: Vec<(String, String)>,
    /// A request has from 1 to so many events.
    pub events_per_request: u64,
    /// A payload has up to so many bytes more than it needs.
    pub pad_bytes: u64,
    /// How long a sender rests after each answer.
    pub rest: Duration,
    /// Whether each request has an `Idempotency-Key` of its own.
    pub keyed: bool,
}

impl LoadPlan {
    /// Four senders of small arrays to three destinations in `my-bucket`.
    pub fn new(seed: u64) -> Self {
        let in_my_bucket = |prefix: &str| ("my-bucket".to_owned(), prefix.to_owned());
        Self {
            seed,
            senders: 4,
            first_sender: 0,
            destinations: ["p", "q", "q/r"].map(in_my_bucket).to_vec(),
            events_per_request: 4,
            pad_bytes: 3000,
            rest: Duration::ZERO,
            keyed: false,
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    address: RwLock<Option<SocketAddr>>,
    stop: AtomicBool,
    acknowledged: AtomicUsize,
}

/// A load that runs until it is stopped.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    senders: Vec<JoinHandle<Ledger>>,
}

impl Load {
    /// Starts the senders. They wait until they are told where to send to.
    pub fn start(plan: &LoadPlan) -> Self {
        Self::start_before(plan, |_| None)
    }

    /// The same with a witness for the sender of each number.
    pub fn start_before(
        plan: &LoadPlan,
        mut witness: impl FnMut(usize) -> Option<Box<dyn Witness>>,
    ) -> Self {
        let shared = Arc::<Shared>::default();
        let senders = (plan.first_sender..plan.first_sender + plan.senders).map(|number| {
            let seed = plan.seed.wrapping_add(number as u64);
            let mut sender = Sender {
                number,
                plan: plan.clone(),
                random: Random::new(seed),
                sent: 0,
                witness: witness(number),
                ledger: Ledger::default(),
            };
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                sender.send_until_told_to_stop(&shared);
                sender.ledger
            })
        });
        let senders = senders.collect();
        Self { shared, senders }
    }

    /// Says where to send to from now on; `None`: nowhere.
    pub fn aim(&self, address: Option<SocketAddr>) {
        *self.shared.address.write().unwrap_or_else(PoisonError::into_inner) = address;
    }

    /// How many events were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.shared.acknowledged.load(Ordering::SeqCst)
    }

    /// Stops the senders, each after the answer that it waits for.
    pub fn stop(mut self) -> Ledger {
        self.shared.stop.store(true, Ordering::SeqCst);
        let mut ledger = Ledger::default();
        for sender in self.senders.drain(..) {
            ledger.join(sender.join().expect("a sender ends without a panic"));
        }
        ledger
    }
}

impl Drop for Load {
    /// They stop whatever happens to the test.
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

struct Sender {
    number: usize,
    plan: LoadPlan,
    random: Random,
    sent: usize,
    witness: Option<Box<dyn Witness>>,
    ledger: Ledger,
}

impl Sender {
    fn send_until_told_to_stop(&mut self, shared: &Shared) {
        while !shared.stop.load(Ordering::SeqCst) {
            let address = *shared.address.read().unwrap_or_else(PoisonError::into_inner);
            let Some(address) = address else {
                thread::sleep(SHORT_PAUSE);
                continue;
            };
            let events = self.events();
            let mut client = Client::new(address);
            if self.plan.keyed {
                client = client.with_key(&format!("{}-{}", self.number, self.sent));
            }
            let ids = acknowledged(&client, &events);
            if ids.is_none() {
                thread::sleep(SHORT_PAUSE);
            }
            let ids = ids.unwrap_or_default();
            if let Some(witness) = &mut self.witness {
                witness.acknowledged(&ids);
            }
            shared.acknowledged.fetch_add(ids.len(), Ordering::SeqCst);
            let mut ids = ids.into_iter();
            for event in events {
                self.ledger.note(event, ids.next());
            }
            thread::sleep(self.plan.rest);
        }
    }

    /// The events of the next request.
    fn events(&mut self) -> Vec<Sent> {
        let count = 1 + self.random.below(self.plan.events_per_request);
        (0..count).map(|_| self.event()).collect()
    }

    fn event(&mut self) -> Sent {
        self.sent += 1;
        let (sender, number) = (self.number, self.sent);
        let destinations = &self.plan.destinations;
        let which = self.random.below(destinations.len() as u64);
        let (bucket, prefix) =
            destinations[usize::try_from(which).expect("it is an index")].clone();
        let digits = self.random.below(self.plan.pad_bytes + 1);
        let pad = self.random.hex(usize::try_from(digits).expect("a payload fits into memory"));
        let payload = format!(r#"{{"sender":{sender},"n":"{number:09}","pad":"{pad}"}}"#);
        Sent { bucket, prefix, payload, sender }
    }
}

/// The ids of the events, if they were acknowledged.
fn acknowledged(client: &Client, events: &[Sent]) -> Option<Vec<String>> {
    let body: Vec<String> = events
        .iter()
        .map(|sent| {
            let (bucket, prefix, payload) = (&sent.bucket, &sent.prefix, &sent.payload);
            format!(r#"{{"bucket":"{bucket}","prefix":"{prefix}","payload":{payload}}}"#)
        })
        .collect();
    let answer = client.try_post_send(format!("[{}]", body.join(","))).ok()?;
    let ids = (answer.status == 200).then(|| answer.ids())?;
    assert_eq!(ids.len(), events.len());
    Some(ids)
}
