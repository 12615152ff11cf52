//! What a client sends again under the same key is one event, whatever dies in between.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tests::{
    Answer, Client, Fault, Load, LoadPlan, Objects, Pair, Random, Rule, Setup, Site, until,
};

use crate::crash::{kill, seed};

fn event(prefix: &str, payload: &str) -> String {
    format!(r#"{{"bucket":"my-bucket","prefix":"{prefix}","payload":{payload}}}"#)
}

fn event_with_id(prefix: &str, payload: &str, id: &str) -> String {
    event(prefix, payload).replacen('{', &format!(r#"{{"id":"{id}","#), 1)
}

/// Delivers what there is, and reads it.
fn deliver(site: &Site) -> Objects {
    let flusher = site.flusher();
    site.wait_until_drained();
    assert_eq!(flusher.terminate(), Some(0));
    site.admin(&["verify"]).exits(0);
    Objects::read(&site.s3)
}

/// Delivers a minute that is not over.
fn deliver_early(site: &Site) -> Objects {
    site.flush_once().exits(0);
    site.admin(&["verify"]).exits(0);
    Objects::read(&site.s3)
}

#[test]
fn a_repeat_gets_the_first_answer_and_is_one_event() {
    let site = Site::with(&Setup::long_minute());
    let ingest = site.ingest();
    let client = ingest.client();
    let send = |key: &str, body: &str| client.clone().with_key(key).post_send(body);
    let body = format!("[{},{}]", event("p", "1"), event("q", "2"));
    let first = send("k-1", &body);
    assert_eq!(first.ids().len(), 2);
    for _ in 0..3 {
        assert_eq!(send("k-1", &body).text, first.text);
    }
    send("k-1", &event("p", "3")).problem(409, "idempotency-key-reused");
    assert_ne!(send("k-2", &body).text, first.text, "another key is another request");
    send(&"k".repeat(256), &body).problem(400, "invalid-idempotency-key");

    let bulk = |key: &str, to: &str, body: &str| {
        client.clone().with_key(key).post_bulk(to, "text/plain", body)
    };
    let to = "my-bucket?prefix=bulk";
    bulk("k-1", to, "a\nb\n").problem(409, "idempotency-key-reused");
    let first = bulk("k-3", to, "a\nb\n");
    assert_eq!(first.json()["accepted"], 2);
    assert_eq!(bulk("k-3", to, "a\nb\n").text, first.text);
    bulk("k-3", to, "a\nb").problem(409, "idempotency-key-reused");
    bulk("k-3", "my-bucket?prefix=else", "a\nb\n").problem(409, "idempotency-key-reused");
    assert!((ingest.metric("minutelog_ingest_repeats_total") - 8.0).abs() < 0.5);
    assert_eq!(ingest.terminate(), Some(0));

    let objects = deliver_early(&site);
    assert_eq!(objects.lines("my-bucket", "p"), ["1", "1"]);
    assert_eq!(objects.lines("my-bucket", "q"), ["2", "2"]);
    assert_eq!(objects.lines("my-bucket", "bulk"), ["a", "b"]);
    assert_eq!(objects.0.len(), 3);
}

#[test]
fn an_event_with_an_id_is_one_in_whatever_request_it_comes() {
    let site = Site::with(&Setup::long_minute());
    let ingest = site.ingest();
    let client = ingest.client();
    let [a, b, c] = ["a", "b", "c"].map(|id| event_with_id("p", &format!("\"{id}\""), id));
    let plain = event("p", "\"plain\"");
    let first = client.post_send(format!("[{a},{plain},{b},{a}]")).ids();
    assert_eq!(first[0], first[3], "one event, told twice");
    let second = client.post_send(format!("[{c},{b},{plain},{a}]")).ids();
    assert_eq!((&second[1], &second[3]), (&first[2], &first[0]));
    assert!(!first.contains(&second[0]) && !first.contains(&second[2]), "{first:?} {second:?}");
    assert_eq!(client.post_send(&*c).ids(), second[..1]);

    let other = event_with_id("p", "\"other\"", "a");
    let answer = client.post_send(format!("[{plain},{other}]"));
    assert_eq!(answer.problem(409, "idempotency-key-reused")["field"], "[1].id");
    assert_eq!(client.post_send(other).problem(409, "idempotency-key-reused")["field"], "id");
    let [one, two] = ["1", "2"].map(|payload| event_with_id("p", payload, "d"));
    let answer = client.post_send(format!("[{one},{two}]"));
    assert_eq!(answer.problem(409, "idempotency-key-reused")["field"], "[1].id");
    let answer = client.clone().with_key("k").post_send(&*a);
    assert_eq!(answer.problem(400, "invalid-request")["field"], "id");
    let answer = client.post_send(event_with_id("p", "1", ""));
    assert_eq!(answer.problem(422, "invalid-id")["field"], "id");
    assert_eq!(ingest.terminate(), Some(0));

    // Another life of ingest knows nothing of them; the seal does.
    let ingest = site.ingest();
    let third = ingest.client().post_send(format!("[{b},{a}]")).ids();
    assert!(third.iter().all(|id| !first.contains(id)), "{third:?}");
    assert_eq!(ingest.terminate(), Some(0));
    let objects = deliver_early(&site);
    let lines = objects.lines("my-bucket", "p");
    assert_eq!(lines, ["\"a\"", "\"plain\"", "\"b\"", "\"c\"", "\"plain\""]);
}

#[test]
fn a_repeat_after_a_crash_is_left_out_of_its_own_minute() {
    let site = Site::with(&Setup::long_minute());
    let body = format!("[{},{},{}]", event("p", "1"), event("q", "2"), event("p", "3"));
    let mut ids = BTreeSet::new();
    for _ in 0..3 {
        let ingest = site.ingest();
        ids.extend(ingest.client().with_key("k").post_send(&*body).ids());
        ingest.kill();
    }
    assert_eq!(ids.len(), 9, "nothing is left of the first answer");
    let objects = deliver_early(&site);
    assert_eq!(objects.lines("my-bucket", "p"), ["1", "3"]);
    assert_eq!(objects.lines("my-bucket", "q"), ["2"]);
    assert_eq!(objects.0.len(), 2);
}

#[test]
fn a_repeat_after_a_crash_is_left_out_of_a_later_minute() {
    let site = Site::new();
    let ingest = site.ingest();
    let send = |client: Client| client.with_key("k").post_send(event("p", "1")).ids().remove(0);
    let first = send(ingest.client());
    ingest.kill();
    // The first copy is in S3, and another flusher meets the second one.
    deliver(&site);
    let ingest = site.ingest();
    let client = ingest.client();
    let second = send(client.clone());
    let other = client.send("my-bucket", "p", "2");
    assert_ne!(first, second);
    let objects = deliver(&site);
    assert_eq!(objects.lines("my-bucket", "p"), ["1", "2"]);
    assert_eq!(site.event(&client, &first)["dest"]["delivered"], 1);
    assert_eq!(site.event(&client, &other)["dest"]["delivered"], 1);
    client.get(&format!("/v1/events/{second}")).problem(404, "not-found");
}

#[test]
fn repeats_that_come_at_once_get_one_answer() {
    let site = Site::with(&Setup::long_minute());
    let ingest = site.ingest();
    let client = ingest.client();
    let body = format!("{}\n", "x".repeat(1000)).repeat(1000);
    for round in 0..5 {
        let key = format!("k-{round}");
        let send = || client.clone().with_key(&key).post_bulk("my-bucket", "text/plain", &*body);
        let answers: Vec<Answer> = thread::scope(|scope| {
            let senders: Vec<_> = (0..8).map(|_| scope.spawn(send)).collect();
            senders.into_iter().map(|sender| sender.join().unwrap()).collect()
        });
        for answer in &answers {
            assert_eq!((answer.status, &answer.text), (200, &answers[0].text));
        }
    }
    assert_eq!(ingest.terminate(), Some(0));
    assert_eq!(deliver_early(&site).lines("my-bucket", "").len(), 5 * 1000);
}

#[test]
fn a_key_belongs_to_its_token() {
    let hash = |token: &str| blake3::hash(token.as_bytes()).to_hex().to_string();
    let block = |name: &str| {
        let hash = hash(name);
        format!(
            "[[token]]\nname = \"{name}\"\nhash = \"blake3:{hash}\"\nallow = [\"my-bucket/*\"]\n"
        )
    };
    let rest = ["one", "two"].map(block).concat();
    let site = Site::with(&Setup { ingest: String::new(), rest, ..Setup::long_minute() });
    let ingest = site.ingest();
    let client = |token: &str| ingest.client().with_token(token).with_key("k");
    let first = client("one").post_send(event("p", "1")).ids();
    let other = client("two").post_send(event("p", "2")).ids();
    assert_eq!(client("one").post_send(event("p", "1")).ids(), first);
    assert_eq!(client("two").post_send(event("p", "2")).ids(), other);
    client("two").post_send(event("p", "1")).problem(409, "idempotency-key-reused");
    assert_eq!(ingest.terminate(), Some(0));
    assert_eq!(deliver_early(&site).lines("my-bucket", "p"), ["1", "2"]);
}

/// The senders stop whatever happens, or the failure would never be told.
struct StopOnDrop<'s>(&'s AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn retries_until_an_answer_comes_send_each_event_once() {
    let seed = seed();
    let site = Site::new();
    site.s3.add(Rule::new(Fault::LoseAnswer).on("PutObject").times(5));
    site.s3.add(Rule::new(Fault::Delay(Duration::from_millis(100))).on("PutObject"));
    let (address, stop) = (RwLock::new(None), AtomicBool::new(false));
    let (mut sent, mut tries) = (BTreeSet::new(), 0);
    thread::scope(|scope| {
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let random = Random::new(seed + sender);
                let mut sender = Sender { number: sender, random, address: &address, tries: 0 };
                let stop = &stop;
                scope.spawn(move || (sender.send_until(stop), sender.tries))
            })
            .collect();
        let stop = StopOnDrop(&stop);
        // It carries nothing: the senders are the ones above.
        let none = Load::start(&LoadPlan { senders: 0, ..LoadPlan::new(seed) });
        kill(&mut Pair::new(&site, &none), Random::new(seed), |ingest| {
            *address.write().unwrap() = Some(ingest);
        });
        // What has no answer yet gets one from this life.
        let ingest = site.ingest();
        *address.write().unwrap() = Some(ingest.address());
        drop(stop);
        for sender in senders {
            let (payloads, tried) = sender.join().unwrap();
            sent.extend(payloads);
            tries += tried;
        }
        assert_eq!(ingest.terminate(), Some(0));
    });
    let objects = deliver(&site);
    println!("{} events, {tries} requests that had no answer", sent.len());
    assert!(sent.len() > 100, "there was no load");
    let mut lines: BTreeMap<&str, usize> = BTreeMap::new();
    for line in objects.0.iter().flat_map(|object| &object.lines) {
        *lines.entry(line).or_default() += 1;
    }
    let wrong: Vec<_> =
        sent.iter().filter(|payload| lines.get(payload.as_str()) != Some(&1)).collect();
    assert!(wrong.is_empty(), "not on one line: {wrong:?}");
    assert_eq!(lines.len(), sent.len(), "nobody sent the others");
    objects.assert_one_per_minute();
}

/// Sends one request after the other, each again and again until it is answered.
struct Sender<'s> {
    number: u64,
    random: Random,
    address: &'s RwLock<Option<SocketAddr>>,
    /// How many requests had no answer.
    tries: u64,
}

impl Sender<'_> {
    /// Returns the payloads. It stops between two requests, and leaves none unanswered.
    fn send_until(&mut self, stop: &AtomicBool) -> Vec<String> {
        let mut payloads = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let events = 1 + self.random.below(4);
            let new: Vec<String> = (0..events)
                .map(|event| {
                    let digits = usize::try_from(self.random.below(2000)).unwrap();
                    let number = payloads.len() as u64 + event;
                    format!("\"{}-{number}-{}\"", self.number, self.random.hex(digits))
                })
                .collect();
            let key = format!("{}-{}", self.number, payloads.len());
            match self.random.below(3) {
                0 => self.send_array(&key, &new),
                1 => self.send_bulk(&key, &new),
                _ => self.send_events(&key, &new),
            }
            payloads.extend(new);
        }
        payloads
    }

    fn send_array(&mut self, key: &str, payloads: &[String]) {
        let prefixes = ["p", "q", "q/r"];
        let events = payloads.iter().zip(prefixes.iter().cycle());
        let events: Vec<String> = events.map(|(payload, prefix)| event(prefix, payload)).collect();
        let body = format!("[{}]", events.join(","));
        self.until_answered(|client| client.with_key(key).try_post_send(body.clone()));
    }

    fn send_bulk(&mut self, key: &str, payloads: &[String]) {
        let body = payloads.join("\n");
        self.until_answered(|client| {
            client.with_key(key).try_post_bulk("my-bucket?prefix=p", "text/plain", &*body)
        });
    }

    /// All at once; what has no answer again, one by one.
    fn send_events(&mut self, key: &str, payloads: &[String]) {
        let event = |number: usize, payload: &String| {
            event_with_id("q", payload, &format!("{key}-{number}"))
        };
        let events: Vec<String> =
            payloads.iter().enumerate().map(|(number, payload)| event(number, payload)).collect();
        if self.try_once(|client| client.try_post_send(format!("[{}]", events.join(",")))) {
            return;
        }
        for event in &events {
            self.until_answered(|client| client.try_post_send(event.clone()));
        }
    }

    fn until_answered(&mut self, send: impl Fn(Client) -> reqwest::Result<Answer>) {
        until("an answer", || self.try_once(&send).then_some(()));
    }

    fn try_once(&mut self, send: impl Fn(Client) -> reqwest::Result<Answer>) -> bool {
        let Some(address) = *self.address.read().unwrap() else { return false };
        match send(Client::new(address)) {
            Ok(answer) if answer.status == 200 => true,
            Ok(answer) => {
                assert_eq!(answer.status, 503, "{}", answer.text);
                false
            }
            Err(_) => {
                self.tries += 1;
                false
            }
        }
    }
}
