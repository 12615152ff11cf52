//! Requests of Firehose's interface.

use std::sync::Arc;

use http::request::Parts;
use model::{EventId, EventName};

use super::{Service, work};
use crate::body::Loaded;
use crate::content::Encoding;
use crate::firehose::{
    Describe, Done, Fault, List, MAX_RECORDS, Name, Operation, Outcome, Put, PutRecord,
    PutRecordBatch, Records, Sender, Way, describe, invalid, read, required,
};
use crate::judge::Judge;
use crate::meter::Meter;
use crate::source::Upload;

/// What a body asks for.
enum Asked {
    Put(Records),
    PutBatch(Records),
    Describe(Describe),
    List(List),
}

impl Service {
    /// `POST /`.
    pub(crate) async fn firehose(
        self: &Arc<Self>,
        parts: &Parts,
        connection: Option<Arc<Meter>>,
        upload: &mut Upload,
    ) -> Result<Done, Fault> {
        let operation = Operation::of(&parts.headers)?;
        let judge = self.judge();
        let sender = Arc::new(judge.firehose.sender(parts)?);
        // The signature is over the body as it was sent, and no client of Firehose compresses it.
        if Encoding::of(&parts.headers)? != Encoding::Identity {
            let message = "the body has a content encoding: send it without any";
            return Err(Fault::new(Name::Serialization, message));
        }
        let Loaded { bytes, share } = self.load(&parts.headers, upload).await?;
        let size = bytes.len();
        let whose = Arc::clone(&sender);
        let verify = move || whose.verify(&bytes).map(|()| bytes);
        let bytes = work(size, verify).await?;
        let meters = sender.count(connection)?;
        let (by, whose) = (Arc::clone(&judge), Arc::clone(&sender));
        let read = move || read_call(&by, operation, &whose, &bytes);
        let (records, in_batch) = match work(size, read).await? {
            Asked::Put(records) => (records, false),
            Asked::PutBatch(records) => (records, true),
            Asked::Describe(Describe { delivery_stream_name }) => {
                let stream = judge.firehose.streams.find(delivery_stream_name, &sender)?;
                return Ok(Done::Described(describe(stream, sender.region())));
            }
            Asked::List(list) => {
                return Ok(Done::Listed(judge.firehose.streams.list(list, &sender)?));
            }
        };
        let Records { batch, outcomes } = records;
        let ids: Vec<EventId> = if batch.is_empty() {
            Vec::new()
        } else {
            self.fits_into_a_minute(&batch)?;
            meters.charge(u64::try_from(size).unwrap_or(u64::MAX), &batch)?;
            self.append(batch, share).await?.ids().collect()
        };
        if in_batch { Ok(Done::batch(outcomes, &ids)) } else { Done::single(outcomes, &ids) }
    }
}

fn read_call(
    judge: &Judge,
    operation: Operation,
    sender: &Sender,
    body: &[u8],
) -> Result<Asked, Fault> {
    match operation {
        Operation::DescribeDeliveryStream => read(body).map(Asked::Describe),
        Operation::ListDeliveryStreams => read(body).map(Asked::List),
        Operation::PutRecord => {
            let PutRecord { delivery_stream_name, record } = read(body)?;
            let record = required(record, "record")?;
            let way = way(judge, delivery_stream_name, sender)?;
            way.read(&[record], "record").map(Asked::Put)
        }
        Operation::PutRecordBatch => {
            let PutRecordBatch { delivery_stream_name, records } = read(body)?;
            let records = required(records, "records")?;
            if !(1..=MAX_RECORDS).contains(&records.len()) {
                let why = format!("must have length 1 to {MAX_RECORDS}");
                return Err(invalid("records", &why));
            }
            let way = way(judge, delivery_stream_name, sender)?;
            way.read(&records, "records").map(Asked::PutBatch)
        }
    }
}

/// Where the records of a stream go.
fn way(judge: &Judge, name: Option<String>, sender: &Sender) -> Result<Way, Fault> {
    let stream = judge.firehose.streams.find(name, sender)?;
    Ok(Way {
        destination: stream.destination.clone(),
        name: EventName::new(stream.name.as_str()).ok(),
        limit: judge.limit,
    })
}

impl Done {
    /// What became of a record that was sent alone. `ids` are those of its events.
    fn single(outcomes: Vec<Outcome>, ids: &[EventId]) -> Result<Self, Fault> {
        match Self::each(outcomes, ids).pop() {
            Some(Ok(record_id)) => Ok(Self::Put { record_id, encrypted: false }),
            Some(Err(fault)) => Err(fault),
            None => Err(Fault::new(Name::InternalFailure, "no record: report this as a defect")),
        }
    }

    /// What became of the records of a batch. `ids` are those of all their events.
    fn batch(outcomes: Vec<Outcome>, ids: &[EventId]) -> Self {
        let put = |outcome: Result<String, Fault>| match outcome {
            Ok(record_id) => Put::Done { record_id },
            Err(fault) => Put::Failed {
                error_code: fault.name().parts().0,
                error_message: fault.message().to_owned(),
            },
        };
        let request_responses: Vec<Put> = Self::each(outcomes, ids).into_iter().map(put).collect();
        let failed = |it: &&Put| matches!(it, Put::Failed { .. });
        let failed_put_count = request_responses.iter().filter(failed).count();
        Self::PutBatch { failed_put_count, encrypted: false, request_responses }
    }

    /// A record is known by the id of its first event.
    fn each(outcomes: Vec<Outcome>, ids: &[EventId]) -> Vec<Result<String, Fault>> {
        let mut rest = ids;
        let id = |outcome| match outcome {
            Outcome::Refused(fault) => Err(fault),
            Outcome::Taken(events) => {
                let (own, others) = rest.split_at_checked(events).unwrap_or((rest, &[]));
                rest = others;
                own.first().map(EventId::to_string).ok_or_else(|| {
                    let message = "a record has no event: report this as a defect";
                    Fault::new(Name::InternalFailure, message)
                })
            }
        };
        outcomes.into_iter().map(id).collect()
    }
}
