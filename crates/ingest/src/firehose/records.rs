//! Records on their way into a batch.
//!
//! A record is text, and each line of it is an event. The newline at its end is the end of its last
//! line, as in a file: whether a sender ends its records with one or not, what stands in the object is
//! the record's bytes, ended by one newline at least. A record without any bytes is an empty line.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::{Destination, EventName};
use wal::Batch;

use super::call::{Record, invalid, required};
use super::fault::{Fault, Name};
use crate::bulk::MAX_EVENTS;
use crate::payload::{Limit, utf8};
use crate::problem::Problem;

/// Firehose's limits: the bytes of a record, the records of a batch, and the bytes of all of them.
pub(crate) const MAX_RECORD_BYTES: usize = 1000 * 1024;
pub(crate) const MAX_RECORDS: usize = 500;
pub(crate) const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// What was read of a request.
#[derive(Debug)]
pub(crate) struct Records {
    /// The events of all records that are taken.
    pub(crate) batch: Batch,
    /// What becomes of each record, in the order of the request.
    pub(crate) outcomes: Vec<Outcome>,
}

/// What becomes of a record.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is so many events.
    Taken(usize),
    /// It can't be taken, while others can.
    Refused(Fault),
}

/// Where records go, and what they may be.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) destination: Destination,
    /// The stream's name: their events can be found by it.
    pub(crate) name: Option<EventName>,
    pub(crate) limit: Limit,
}

impl Way {
    /// Reads records, `field` being what they are called. Fails where Firehose would refuse the
    /// request; what only this service refuses is refused record by record.
    pub(crate) fn read(&self, records: &[Record<'_>], field: &str) -> Result<Records, Fault> {
        let (mut batch, mut outcomes) = (Batch::new(), Vec::with_capacity(records.len()));
        let (mut record, mut total, mut events) = (Vec::new(), 0, 0);
        for (number, Record { data }) in (1..).zip(records) {
            let field = format!("{field}.{number}.member.data");
            decode(&required(data.as_ref(), &field)?.0, &field, &mut record)?;
            total += record.len();
            if total > MAX_BATCH_BYTES {
                let message = format!(
                    "the records have more than {MAX_BATCH_BYTES} bytes (4 MiB) together: send \
                     them in several batches"
                );
                return Err(Fault::new(Name::InvalidArgument, message));
            }
            outcomes.push(match self.lines(&record) {
                Err(problem) => Outcome::Refused(problem.into()),
                Ok(lines) => {
                    let before = events;
                    for line in lines {
                        batch.push(&self.destination, self.name.as_ref(), line);
                        events += 1;
                    }
                    Outcome::Taken(events - before)
                }
            });
            if events > MAX_EVENTS {
                let message = format!(
                    "the records have more than {MAX_EVENTS} lines, the limit of a request: send \
                     them in several"
                );
                return Err(Fault::new(Name::InvalidArgument, message));
            }
        }
        batch.pack();
        Ok(Records { batch, outcomes })
    }

    /// The lines of a record, if it is text and none of them is too long.
    fn lines<'r>(&self, record: &'r [u8]) -> Result<impl Iterator<Item = &'r [u8]>, Problem> {
        utf8(record).map_err(|problem| {
            let detail = format!(
                "the record is not text: {}; one that is compressed is not taken, as objects have \
                 lines and are compressed here: turn compression off at the sender",
                problem.detail()
            );
            Problem::new(problem.kind(), detail)
        })?;
        let lines = || record.strip_suffix(b"\n").unwrap_or(record).split(|byte| *byte == b'\n');
        lines().try_for_each(|line| self.limit.check(line))?;
        Ok(lines())
    }
}

/// Decodes a record into `bytes`, in place of what was there.
fn decode(text: &str, field: &str, bytes: &mut Vec<u8>) -> Result<(), Fault> {
    bytes.clear();
    STANDARD.decode_vec(text, bytes).map_err(|error| {
        let message = format!("`{field}` is not base64 with its padding: {error}");
        Fault::new(Name::Serialization, message)
    })?;
    if bytes.len() <= MAX_RECORD_BYTES {
        return Ok(());
    }
    let why = format!("must have length less than or equal to {MAX_RECORD_BYTES}");
    Err(invalid(field, &why))
}
