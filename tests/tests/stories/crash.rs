//! `kill -9` at random moments under load: what was acknowledged is delivered exactly once.

use std::env;
use std::net::SocketAddr;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tests::{Client, Fault, Kind, Ledger, Objects, Random, Rule, Sent, Service, Site};

const SENDERS: usize = 4;

/// How often each service is killed. `MINUTELOG_TEST_KILLS` raises it.
fn kills() -> u64 {
    let kills = env::var("MINUTELOG_TEST_KILLS").ok().map(|kills| kills.parse().unwrap());
    kills.unwrap_or(20)
}

/// `MINUTELOG_TEST_SEED` runs a failed test again; its moments depend on the machine all the same.
fn seed() -> u64 {
    let seed = env::var("MINUTELOG_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("MINUTELOG_TEST_SEED={seed}");
    seed
}

#[test]
fn what_is_acknowledged_is_delivered_exactly_once() {
    let seed = seed();
    let site = Site::new();
    // Uploads that take a while, and answers that get lost: moments worth to be killed in.
    site.s3.add(Rule::new(Fault::LoseAnswer).on("PutObject").times(5));
    site.s3.add(Rule::new(Fault::Delay(Duration::from_millis(150))).on("PutObject"));
    let (address, stop) = (RwLock::new(None), AtomicBool::new(false));
    let mut ledger = Ledger::default();
    thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (address, stop) = (&address, &stop);
                scope.spawn(move || send(sender, Random::new(seed + sender as u64), address, stop))
            })
            .collect();
        // They stop whatever happens, or the failure would never be told.
        let stop = StopOnDrop(&stop);
        kill_both(&site, Random::new(seed), &address);
        drop(stop);
        for sender in senders {
            ledger.join(sender.join().unwrap());
        }
    });
    println!("{} events acknowledged", ledger.acknowledged());
    assert!(ledger.acknowledged() > 100, "there was no load");

    // Whatever the last ones left behind, one flusher alone clears it.
    let flusher = site.flusher();
    site.wait_until_drained();
    assert_eq!(flusher.terminate(), Some(0));
    let objects = Objects::read(&site.s3);
    ledger.judge(&objects, 1);
    objects.assert_one_per_minute();
    site.admin(&["verify"]).exits(0);
}

struct StopOnDrop<'s>(&'s AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Starts both services over and over, and kills each at a random moment: in its start, under
/// load, in a seal, in an upload.
fn kill_both(site: &Site, mut random: Random, address: &RwLock<Option<SocketAddr>>) {
    let mut left = [(Kind::Ingest, kills()), (Kind::Flusher, kills())];
    let start = |kind| {
        let service = site.spawn(kind, &[]);
        if kind == Kind::Ingest {
            *address.write().unwrap() = Some(service.address());
        }
        service
    };
    let mut running = [Some(start(Kind::Ingest)), Some(start(Kind::Flusher))];
    while left.iter().any(|(_, kills)| *kills > 0) {
        thread::sleep(Duration::from_millis(random.below(500)));
        let which = usize::try_from(random.below(2)).unwrap();
        let (kind, kills) = &mut left[which];
        if *kills > 0 {
            *kills -= 1;
            if let Some(Ended::Died(why)) = running[which].take().map(end) {
                panic!("{kind:?} died by itself: {why}");
            }
            running[which] = Some(start(*kind));
        }
    }
    thread::sleep(Duration::from_millis(random.below(500)));
    *address.write().unwrap() = None;
}

/// How a service came to its end.
enum Ended {
    Killed,
    /// Somebody took its port between the choice and the start.
    PortTaken,
    /// By itself: its status and its log.
    Died(String),
}

fn end(mut service: Service) -> Ended {
    match service.has_ended() {
        None => {
            service.kill();
            Ended::Killed
        }
        Some(_) if service.log().contains("cannot listen") => Ended::PortTaken,
        Some(status) => Ended::Died(format!("{status}: {}", service.log())),
    }
}

/// Sends one request after the other until it is told to stop: single events and small arrays, to
/// three destinations. Nothing is sent twice.
fn send(
    sender: usize,
    mut random: Random,
    address: &RwLock<Option<SocketAddr>>,
    stop: &AtomicBool,
) -> Ledger {
    let mut ledger = Ledger::default();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let Some(address) = *address.read().unwrap() else {
            thread::sleep(Duration::from_millis(5));
            continue;
        };
        let mut events = Vec::new();
        for _ in 0..=random.below(4) {
            number += 1;
            let prefix = ["p", "q", "q/r"][usize::try_from(random.below(3)).unwrap()];
            let digits = usize::try_from(random.below(3000)).unwrap();
            let pad = random.hex(digits);
            let payload = format!(r#"{{"sender":{sender},"n":"{number:09}","pad":"{pad}"}}"#);
            let bucket = "my-bucket".to_owned();
            events.push(Sent { bucket, prefix: prefix.to_owned(), payload, sender });
        }
        let ids = acknowledged(&Client::new(address), &events);
        if ids.is_none() {
            thread::sleep(Duration::from_millis(5));
        }
        let mut ids = ids.into_iter().flatten();
        for event in events {
            ledger.note(event, ids.next());
        }
    }
    ledger
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
