//! A body of `POST /v1/send/s3` on its way into a batch, and what of it may be a repeat.

use wal::Batch;

use crate::auth::Grant;
use crate::idempotency::{Content, EventKey, KeyHash, MAX_IDS, Scope};
use crate::payload::Limit;
use crate::problem::{Kind, Problem};
use crate::send;

/// A body, and whose it is.
#[derive(Debug)]
pub(crate) struct SentBody {
    pub(crate) bytes: Vec<u8>,
    pub(crate) limit: Limit,
    pub(crate) grant: Grant,
}

/// What was read of a body.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) batch: Batch,
    pub(crate) once: Once,
}

/// What a repeat would be known by.
#[derive(Debug)]
pub(crate) enum Once {
    /// Nothing: whatever is sent again is another event.
    No,
    /// The request has a key.
    Request(KeyHash, Content),
    /// Some of its events have. The body is kept, to be read again without those that are known.
    Events(Vec<EventKey>, SentBody),
}

impl SentBody {
    /// Reads all of it.
    pub(crate) fn read(self, key: Option<KeyHash>) -> Result<Sent, Problem> {
        let mut batch = Batch::new();
        let mut keys = Vec::new();
        let mut scope = None;
        send::parse(&self.bytes, self.limit, &self.grant, |event| {
            batch.push(event.to, event.name, event.payload);
            let Some(id) = event.id else { return Ok(()) };
            if key.is_some() {
                return Err(both());
            }
            if keys.len() == MAX_IDS {
                return Err(too_many_ids());
            }
            let key = scope.get_or_insert_with(|| Scope::of(&self.grant)).event(id);
            let content = Content::of_event(event.to, event.name, event.payload);
            batch.identify_last(key.identity(content));
            let (index, in_array) = (batch.events() - 1, event.in_array);
            keys.push(EventKey { index, in_array, key, content });
            Ok(())
        })?;
        batch.pack();
        let once = match key {
            Some(key) => Once::Request(key, Content::of_request(&[b"send"], &self.bytes)),
            None if keys.is_empty() => Once::No,
            None => Once::Events(keys, self),
        };
        Ok(Sent { batch, once })
    }

    /// Reads it again, without the events in `known`, which are in their order.
    pub(crate) fn read_without(&self, known: &[u32]) -> Result<Batch, Problem> {
        let mut batch = Batch::new();
        let mut scope = None;
        let (mut index, mut known) = (0, known.iter().peekable());
        send::parse(&self.bytes, self.limit, &self.grant, |event| {
            index += 1;
            if known.next_if(|known| **known == index - 1).is_some() {
                return Ok(());
            }
            batch.push(event.to, event.name, event.payload);
            if let Some(id) = event.id {
                let key = scope.get_or_insert_with(|| Scope::of(&self.grant)).event(id);
                let content = Content::of_event(event.to, event.name, event.payload);
                batch.identify_last(key.identity(content));
            }
            Ok(())
        })?;
        batch.pack();
        Ok(batch)
    }
}

fn both() -> Problem {
    let detail = "the request has an `Idempotency-Key`, and the event an `id`: send one of the two";
    Problem::new(Kind::InvalidRequest, detail).field("id")
}

fn too_many_ids() -> Problem {
    let detail = format!(
        "the request has more than {MAX_IDS} events with an id: send them in several requests, or \
         with an `Idempotency-Key` for all"
    );
    Problem::new(Kind::TooManyIds, detail).field("id")
}
