//! The demo's events, and their way to ingest.

use std::net::SocketAddr;

use model::{Bucket, EventId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::failure::{Code, Failure};

/// Up to that many events are sent each in a request of its own.
const SINGLE_REQUESTS: usize = 1000;

/// How many events a request has where there are more.
const BATCH: usize = 1000;

const CITIES: [&str; 5] = ["Zürich", "Tokyo", "São Paulo", "Nairobi", "Reykjavík"];

/// The payloads, each as the line that it must be in the object.
pub(super) fn lines(count: u32) -> Vec<String> {
    (1..=count)
        .zip(CITIES.iter().cycle())
        .map(|(number, city)| {
            let cents = u64::from(number) * 7919 % 100_000;
            let order = 1000 + u64::from(number);
            format!(
                r#"{{"n":{number},"event":"order.created","order":"A-{order}","total":{}.{:02},"city":"{city}"}}"#,
                cents / 100,
                cents % 100
            )
        })
        .collect()
}

/// A client of ingest.
pub(super) struct Sender {
    client: reqwest::Client,
    url: String,
    bucket: Bucket,
    prefix: &'static str,
}

#[derive(Serialize)]
struct Event<'a> {
    bucket: &'a Bucket,
    prefix: &'a str,
    payload: &'a RawValue,
}

#[derive(Deserialize)]
struct Accepted {
    ids: Vec<String>,
}

impl Sender {
    /// Sends to the ingest at `address`, for this destination.
    pub(super) fn new(address: SocketAddr, bucket: &Bucket, prefix: &'static str) -> Self {
        let url = format!("http://{address}/v1/send/s3");
        Self { client: reqwest::Client::new(), url, bucket: bucket.clone(), prefix }
    }

    /// How many requests that many events take.
    pub(super) fn requests(events: usize) -> usize {
        events.div_ceil(events_per_request(events))
    }

    /// Sends one event after the other, so that their order is certain. Returns their ids.
    pub(super) async fn send(&self, lines: &[String]) -> Result<Vec<EventId>, Failure> {
        let mut ids = Vec::with_capacity(lines.len());
        for batch in lines.chunks(events_per_request(lines.len())) {
            ids.extend(self.post(batch).await?);
        }
        if ids.len() == lines.len() {
            return Ok(ids);
        }
        let what = format!(
            "ingest: {} events sent, {} ids answered: report this defect",
            lines.len(),
            ids.len()
        );
        Err(Failure::new(Code::Internal, what))
    }

    async fn post(&self, lines: &[String]) -> Result<Vec<EventId>, Failure> {
        let body = self.body(lines).map_err(|error| self.failed(&error))?;
        let answer = self
            .client
            .post(&self.url)
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .map_err(|error| self.failed(&error))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| self.failed(&error))?;
        if !status.is_success() {
            return Err(self.failed(&format!("{status} {text}")));
        }
        let accepted: Accepted =
            serde_json::from_str(&text).map_err(|error| self.failed(&error))?;
        accepted.ids.iter().map(|id| id.parse().map_err(|error| self.failed(&error))).collect()
    }

    fn body(&self, lines: &[String]) -> serde_json::Result<String> {
        let event = |line| {
            let payload = serde_json::from_str(line)?;
            Ok(Event { bucket: &self.bucket, prefix: self.prefix, payload })
        };
        match lines {
            [line] => serde_json::to_string(&event(line)?),
            lines => {
                let events: serde_json::Result<Vec<_>> =
                    lines.iter().map(|line| event(line)).collect();
                serde_json::to_string(&events?)
            }
        }
    }

    fn failed(&self, why: &dyn std::fmt::Display) -> Failure {
        let what = format!("POST {}: {why}: try again, and report it if it stays", self.url);
        Failure::new(Code::Unavailable, what)
    }
}

fn events_per_request(events: usize) -> usize {
    if events <= SINGLE_REQUESTS { 1 } else { BATCH }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_json_and_differ() {
        let mut lines = lines(1000);
        for line in &lines {
            assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
        }
        lines.sort();
        lines.dedup();
        assert_eq!(lines.len(), 1000);
    }

    #[test]
    fn a_body_holds_the_lines_to_the_letter() {
        let bucket = Bucket::new("abc").unwrap();
        let sender = Sender::new(([127, 0, 0, 1], 1).into(), &bucket, "p/");
        let body = sender.body(&[r#"{"b":1,"a":0.10}"#.into()]).unwrap();
        assert_eq!(body, r#"{"bucket":"abc","prefix":"p/","payload":{"b":1,"a":0.10}}"#);
        let body = sender.body(&["1".into(), "2".into()]).unwrap();
        assert!(body.starts_with('[') && body.contains(r#""payload":1}"#), "{body}");
    }
}
