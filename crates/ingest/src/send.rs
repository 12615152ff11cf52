//! The body of `POST /v1/send/s3`: one event, or an array of events.

use std::borrow::Cow;
use std::fmt;

use model::{Destination, EventName};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::auth::Grant;
use crate::destinations::{Destinations, event_name, shown};
use crate::idempotency::check_id;
use crate::payload::{Limit, complaint, json_text, one_line};
use crate::problem::{Kind, Problem};

/// One event of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event<'e> {
    /// Where it goes; the sender may reach it.
    pub(crate) to: &'e Destination,
    /// The caller's name for it.
    pub(crate) name: Option<&'e EventName>,
    /// One line.
    pub(crate) payload: &'e [u8],
    /// What a repeat of it is known by.
    pub(crate) id: Option<&'e str>,
    /// Whether it stands in an array.
    pub(crate) in_array: bool,
}

/// Reads a body and hands each event to `take`, in order. If this fails, what `take` got is void.
pub(crate) fn parse(
    body: &[u8],
    limit: Limit,
    grant: &Grant,
    take: impl FnMut(Event<'_>) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let text = json_text(body)?;
    let mut parser =
        Parser { limit, destinations: Destinations::new(grant), take, index: None, refusal: None };
    let mut json = serde_json::Deserializer::from_str(text);
    let outcome = Body(&mut parser).deserialize(&mut json).and_then(|()| json.end());
    match (outcome, parser.refusal.take()) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(refusal)) => Err(parser.place(refusal)),
        (Err(error), None) => Err(parser.place(not_this_form(&error))),
    }
}

/// The state of reading one body.
struct Parser<'g, F> {
    limit: Limit,
    destinations: Destinations<'g>,
    take: F,
    /// Which event of the array is being read; `None` outside an array.
    index: Option<u64>,
    /// Why the body is refused, where `serde_json`'s error can't say it.
    refusal: Option<Problem>,
}

/// The members of one event, as their texts.
#[derive(Default)]
struct Members<'de> {
    bucket: Option<&'de RawValue>,
    prefix: Option<&'de RawValue>,
    payload: Option<&'de RawValue>,
    event: Option<&'de RawValue>,
    id: Option<&'de RawValue>,
}

impl<F: FnMut(Event<'_>) -> Result<(), Problem>> Parser<'_, F> {
    fn read_event<'de, A: MapAccess<'de>>(&mut self, mut map: A) -> Result<(), A::Error> {
        let mut members = Members::default();
        while let Some(name) = map.next_key::<Text<'de>>()? {
            let name = name.0;
            let slot = match &*name {
                "bucket" => &mut members.bucket,
                "prefix" => &mut members.prefix,
                "payload" => &mut members.payload,
                "event" => &mut members.event,
                "id" => &mut members.id,
                other => return Err(self.refuse(unknown_member(other))),
            };
            if slot.is_some() {
                let detail = format!("the field `{name}` is there twice: send it once");
                return Err(self.refuse(Problem::new(Kind::InvalidRequest, detail).field(&*name)));
            }
            *slot = Some(map.next_value()?);
        }
        self.take_event(&members).map_err(|problem| self.refuse(problem))
    }

    fn take_event(&mut self, members: &Members<'_>) -> Result<(), Problem> {
        let bucket = text(members.bucket, Kind::InvalidBucket, "bucket")?.ok_or_else(|| {
            let detail = "the field `bucket` is missing: name the S3 bucket";
            Problem::new(Kind::InvalidBucket, detail).field("bucket")
        })?;
        let prefix = text(members.prefix, Kind::InvalidPrefix, "prefix")?.unwrap_or_default();
        let name = text(members.event, Kind::InvalidEventName, "event")?;
        let name = name.as_deref().map(event_name).transpose()?;
        let id = text(members.id, Kind::InvalidId, "id")?;
        id.as_deref().map(check_id).transpose()?;
        let payload = members.payload.ok_or_else(|| {
            let detail = "the field `payload` is missing: send any JSON value, `null` included";
            Problem::new(Kind::InvalidRequest, detail).field("payload")
        })?;
        let destination = self.destinations.resolve(&bucket, &prefix)?;
        let payload = one_line(payload.get());
        self.limit.check(payload.as_bytes()).map_err(|problem| problem.field("payload"))?;
        (self.take)(Event {
            to: destination,
            name: name.as_ref(),
            payload: payload.as_bytes(),
            id: id.as_deref(),
            in_array: self.index.is_some(),
        })
    }

    /// Keeps the problem and ends the reading.
    fn refuse<E: serde::de::Error>(&mut self, problem: Problem) -> E {
        self.refusal = Some(problem);
        E::custom("refused")
    }

    fn place(&self, problem: Problem) -> Problem {
        match self.index {
            Some(index) => problem.within(index),
            None => problem,
        }
    }
}

/// A text of the body: a part of it, unless it has escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'t>(#[serde(borrow)] Cow<'t, str>);

/// The value of a text member; `null` is the same as no member.
fn text<'de>(
    raw: Option<&'de RawValue>,
    kind: Kind,
    field: &str,
) -> Result<Option<Cow<'de, str>>, Problem> {
    let Some(raw) = raw else { return Ok(None) };
    let text = serde_json::from_str::<Option<Text<'de>>>(raw.get()).map_err(|error| {
        let detail = format!("the field `{field}` is not a text: {}", complaint(&error));
        Problem::new(kind, detail).field(field)
    })?;
    Ok(text.map(|text| text.0))
}

fn unknown_member(name: &str) -> Problem {
    let name = shown(name);
    let detail = format!(
        "the field `{name}` is not known: an event has `bucket`, `prefix`, `payload`, `event` and \
         `id`"
    );
    Problem::new(Kind::InvalidRequest, detail).field(name)
}

fn not_this_form(error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    let complaint = complaint(error);
    if error.classify() == Category::Data {
        let detail = format!("{complaint}, in column {column} of line {line} of the body");
        return Problem::new(Kind::InvalidRequest, detail);
    }
    let detail =
        format!("the body is not JSON: {complaint}, in column {column} of line {line} of the body");
    Problem::new(Kind::NotJson, detail).line(u64::try_from(line).unwrap_or(u64::MAX))
}

/// The whole body.
struct Body<'p, P>(&'p mut P);
/// One event of an array.
struct Element<'p, P>(&'p mut P);

impl<'de, F> DeserializeSeed<'de> for Body<'_, Parser<'_, F>>
where
    F: FnMut(Event<'_>) -> Result<(), Problem>,
{
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F> Visitor<'de> for Body<'_, Parser<'_, F>>
where
    F: FnMut(Event<'_>) -> Result<(), Problem>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event object or an array of them")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.0.read_event(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        for index in 0.. {
            self.0.index = Some(index);
            if seq.next_element_seed(Element(&mut *self.0))?.is_none() {
                break;
            }
        }
        let empty = self.0.index == Some(0);
        self.0.index = None;
        if empty {
            let detail = "the array is empty: send at least one event";
            return Err(self.0.refuse(Problem::new(Kind::NoEvents, detail)));
        }
        Ok(())
    }
}

impl<'de, F> DeserializeSeed<'de> for Element<'_, Parser<'_, F>>
where
    F: FnMut(Event<'_>) -> Result<(), Problem>,
{
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F> Visitor<'de> for Element<'_, Parser<'_, F>>
where
    F: FnMut(Event<'_>) -> Result<(), Problem>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.0.read_event(map)
    }
}

#[cfg(test)]
mod tests;
