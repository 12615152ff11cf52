//! The events that are sent: lines of 512 bytes of JSON, as a web service writes of its requests.
//!
//! How fast gzip is and what it makes of them depends on their contents: half of each event are
//! numbers and ids, which differ, the other half names and words, which come back.

use std::fmt::Write as _;

use bytes::{Bytes, BytesMut};

/// The size of an event without the line break after it.
pub(crate) const EVENT_BYTES: usize = 512;

/// So many different bodies or requests are made before the first comes again: their text is far
/// longer than the 32 KiB that gzip looks back.
const DIFFERENT: usize = 64;

const SERVICES: [&str; 8] =
    ["checkout", "catalog", "search", "accounts", "payments", "shipping", "mail", "images"];
const PATHS: [&str; 6] = ["orders", "items", "customers", "carts", "invoices", "sessions"];
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Safari/605.1.15",
    "okhttp/4.12.0",
    "curl/8.14.1",
];
const WORDS: [&str; 24] = [
    "accepted", "after", "before", "cache", "client", "closed", "database", "deadline", "from",
    "gateway", "index", "into", "message", "not", "queue", "refused", "request", "retry", "row",
    "server", "timeout", "upstream", "was", "with",
];

/// Makes events.
#[derive(Debug)]
pub(crate) struct Events {
    state: u64,
    made: u64,
}

impl Events {
    /// Two of one seed make the same events.
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed, made: 0 }
    }

    /// `SplitMix64` (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random() % limit
    }

    fn one_of<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        let which = usize::try_from(self.below(texts.len() as u64)).unwrap_or(0);
        texts.get(which).copied().unwrap_or_default()
    }

    /// One event, a JSON object of exactly [`EVENT_BYTES`].
    pub(crate) fn event(&mut self) -> String {
        self.made += 1;
        let (seconds, micros) = (self.made / 10_000 % 60, self.made % 10_000 * 100);
        let mut line = String::with_capacity(EVENT_BYTES);
        let service = self.one_of(&SERVICES);
        let host = self.below(40);
        let (id, more) = (self.random(), self.random());
        let user = self.below(100_000_000);
        let (path, number) = (self.one_of(&PATHS), self.below(10_000_000));
        let status =
            [200, 200, 200, 201, 304, 404, 500].get(usize::try_from(self.below(7)).unwrap_or(0));
        let status = status.copied().unwrap_or(200);
        let (ms, micro, bytes) = (self.below(800), self.below(1000), self.below(200_000));
        let ip = self.random().to_be_bytes();
        let agent = self.one_of(&AGENTS);
        write!(
            line,
            "{{\"time\":\"2026-11-22T10:15:{seconds:02}.{micros:06}Z\",\"level\":\"info\",\
             \"service\":\"{service}\",\"host\":\"web-{host:02}.eu-west-1\",\
             \"request_id\":\"{id:016x}{more:016x}\",\"user\":\"u-{user:08}\",\
             \"path\":\"/api/v2/{path}/{number}\",\"status\":{status},\
             \"duration_ms\":{ms}.{micro:03},\"bytes\":{bytes},\
             \"ip\":\"10.{}.{}.{}\",\"agent\":\"{agent}\",\"message\":\"",
            ip[0], ip[1], ip[2],
        )
        .expect("a text takes what is written");
        loop {
            let word = self.one_of(&WORDS);
            if line.len() + word.len() + 3 > EVENT_BYTES {
                break;
            }
            line.push_str(word);
            line.push(' ');
        }
        while line.len() + 2 < EVENT_BYTES {
            line.push('.');
        }
        line.push_str("\"}");
        line
    }

    /// Bodies of so many lines each.
    pub(crate) fn bodies(&mut self, events: u64) -> Vec<Bytes> {
        (0..DIFFERENT).map(|_| self.body(events)).collect()
    }

    /// A body of so many lines.
    pub(crate) fn body(&mut self, events: u64) -> Bytes {
        let mut body = BytesMut::new();
        for _ in 0..events {
            body.extend_from_slice(self.event().as_bytes());
            body.extend_from_slice(b"\n");
        }
        body.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_json_of_one_size_and_differ() {
        let (mut one, mut same) = (Events::new(7), Events::new(7));
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1000 {
            let event = one.event();
            assert_eq!(event.len(), EVENT_BYTES, "{event}");
            assert!(serde_json::from_str::<serde_json::Value>(&event).unwrap().is_object());
            assert_eq!(event, same.event());
            assert!(seen.insert(event));
        }
    }
}
