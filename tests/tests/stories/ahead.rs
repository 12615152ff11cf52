//! A minute of several runs is compressed while it lasts; whoever dies in between, its events arrive once.

use tests::{Client, Ledger, Objects, Random, Sent, Setup, Site, until, wait_for};

/// Incompressible, so that a minute with some of them is several runs.
const PAYLOAD_DIGITS: usize = 20_000;

struct Sender {
    ledger: Ledger,
    random: Random,
    sent: usize,
}

impl Sender {
    fn new() -> Self {
        Self { ledger: Ledger::default(), random: Random::new(15), sent: 0 }
    }

    /// To two destinations in turn.
    fn send(&mut self, client: &Client) {
        let prefix = ["p", "q/r"][self.sent % 2].to_owned();
        let payload = format!("\"{:06} {}\"", self.sent, self.random.hex(PAYLOAD_DIGITS));
        let id = client.send("my-bucket", &prefix, &payload);
        let bucket = "my-bucket".to_owned();
        self.ledger.note(Sent { bucket, prefix, payload, sender: 0 }, Some(id));
        self.sent += 1;
    }

    /// Until something is compressed of the minute that is open.
    fn send_until_ahead(&mut self, client: &Client, site: &Site) {
        until("something that is compressed ahead", || {
            self.send(client);
            is_ahead(site).then_some(())
        });
    }
}

fn is_ahead(site: &Site) -> bool {
    let Ok(entries) = std::fs::read_dir(site.data().join("sealing")) else { return false };
    let segments = entries.flatten().map(|entry| entry.path().join("segments"));
    let ahead = segments.filter(|path| path.to_string_lossy().contains(".ahead/"));
    ahead.flat_map(std::fs::metadata).any(|metadata| metadata.len() > 0)
}

#[test]
fn a_flusher_that_dies_over_it_begins_anew() {
    let site = Site::with(&Setup { interval: "5s", ..Setup::default() });
    let (ingest, flusher) = (site.ingest(), site.flusher());
    let mut sender = Sender::new();
    sender.send_until_ahead(&ingest.client(), &site);
    flusher.kill();
    sender.send(&ingest.client());
    let flusher = site.flusher();
    sender.send_until_ahead(&ingest.client(), &site);
    wait_for("an object", || flusher.metric("minutelog_flusher_objects_delivered_total") > 0.0);
    assert_eq!(ingest.terminate(), Some(0));
    site.wait_until_drained();
    let objects = Objects::read(&site.s3);
    sender.ledger.judge(&objects, 5);
    objects.assert_one_per_minute();
    site.admin(&["verify"]).exits(0);
}

#[test]
fn an_ingest_that_dies_goes_on_in_the_same_objects() {
    let site = Site::with(&Setup { interval: "5s", ..Setup::default() });
    let (mut ingest, flusher) = (site.ingest(), site.flusher());
    let mut sender = Sender::new();
    for _ in 0..3 {
        sender.send_until_ahead(&ingest.client(), &site);
        ingest.kill();
        ingest = site.ingest();
        sender.send(&ingest.client());
    }
    // What is open can be looked at, run by run.
    let events = site.admin(&["events", "--limit", "5"]).exits(0).json();
    assert_eq!(events["events"].as_array().map(Vec::len), Some(5));
    assert_eq!(ingest.terminate(), Some(0));
    site.wait_until_drained();
    assert_eq!(flusher.terminate(), Some(0));
    let objects = Objects::read(&site.s3);
    sender.ledger.judge(&objects, 5);
    objects.assert_one_per_minute();
    site.admin(&["verify"]).exits(0);
}
