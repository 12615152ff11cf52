//! All that is known of one event: each of its deliveries with the receipt, and its payload while it
//! is in the log.

use std::io;
use std::time::Duration;

use model::{EventId, EventName, Minute, UnixMillis};
use serde::Serialize;

use crate::deliveries::Outcome;
use crate::error::{Error, Result};
use crate::index::IndexReader;
use crate::inspect::NameFilter;
use crate::inspect::census::{self, MinuteDirs};
use crate::inspect::event_list::NAMESAKES;
use crate::inspect::part::Shelf;
use crate::inspect::parts::PartLook;
use crate::inspect::row::Delivery;
use crate::inspect::segment::ObjectBytes;
use crate::inspect::stream::{Stream, StreamRow, last_id, near};
use crate::inspect::stream_scan::{StreamScan, copy_of};
use crate::inspect::window::Window;
use crate::layout::{RunName, SEGMENTS_FILE, Stage};
use crate::live::{LiveAround, live_around};
use crate::manifest::{ManifestReader, SealedObject};
use crate::reader::Around;
use crate::regular::open_file;

/// So many bytes of an object are unpacked for one of its lines.
const MAX_UNPACKED_BYTES: u64 = 64 * 1024 * 1024;

/// How long after an event others under its name are looked for: no minute is longer than half of it.
const NEAR: Duration = Duration::from_mins(30);

/// All that is known of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventDetail {
    /// Its row.
    #[serde(flatten)]
    pub row: StreamRow,
    /// What is known of each of its deliveries, in their order.
    pub objects: Vec<Option<DeliveryObject>>,
    /// What could not be read.
    pub warnings: Vec<String>,
}

/// The object that a delivery is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeliveryObject {
    /// When its bytes and its key were fixed.
    pub sealed_at: UnixMillis,
    /// How many events are in it.
    pub events: u64,
    /// Its bytes.
    pub bytes: u64,
    /// When S3 confirmed it.
    pub delivered_at: Option<UnixMillis>,
    /// What S3 called it.
    pub etag: Option<String>,
    /// Its checksum.
    pub checksum: Option<String>,
    /// When its last error was first met.
    pub failed_at: Option<UnixMillis>,
}

/// The payload of an event, or why it cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum EventPayload {
    /// Here.
    Shown {
        /// The payload, or the beginning of it.
        text: String,
        /// All its bytes.
        bytes: u64,
        /// Whether that is not all of it.
        cut: bool,
    },
    /// Nowhere here any more: its object is in S3.
    Delivered,
    /// Too far within its object to be looked for.
    TooFar,
    /// It is not known here.
    Unknown,
}

impl EventPayload {
    fn shown(payload: &[u8], max_bytes: usize) -> Self {
        let shown = payload.get(..max_bytes).unwrap_or(payload);
        let text = String::from_utf8_lossy(shown).into_owned();
        Self::Shown { text, bytes: payload.len() as u64, cut: shown.len() < payload.len() }
    }
}

/// Where an event was found.
enum At {
    /// In this object of a part.
    Object(Box<PartLook>, usize),
    /// In a run.
    Run(RunName),
}

impl Stream {
    /// All that is known of the event with this id; `None` where nothing is.
    pub fn event(&self, id: EventId) -> Result<Option<EventDetail>> {
        let minutes = census::take(&self.data)?;
        let mut scan = StreamScan::new(self, id, Window::around(id, 1));
        for (minute, dirs) in minutes.iter().rev().filter(|(minute, _)| minute.contains(id.time()))
        {
            scan.minute(*minute, dirs);
        }
        let line = scan.window.lines().find(|line| line.id == id).cloned();
        let Some(line) = line else { return Ok(None) };
        let name = line.name.clone().map(NameFilter::Is);
        let mut around = match &name {
            None => scan,
            Some(name) => {
                let top = last_id(id.time().after(NEAR));
                let mut around = StreamScan::new(self, top, Window::around(id, NAMESAKES));
                around.name = Some(name);
                let text = line.name.as_ref().map(EventName::as_str);
                let (number, bytes) = (line.number, line.bytes);
                around.window.offer_sized(id, text, number, bytes, &line.place);
                for (minute, dirs) in
                    minutes.iter().rev().filter(|(minute, _)| near(id.time(), **minute))
                {
                    around.minute(*minute, dirs);
                }
                around.warnings.append(&mut scan.warnings);
                around
            }
        };
        let Some(row) = around.row_of(id) else { return Ok(None) };
        let objects = row.row.deliveries.iter().map(|delivery| self.object(delivery)).collect();
        let warnings = std::mem::take(&mut around.warnings).into_iter().collect();
        Ok(Some(EventDetail { row, objects, warnings }))
    }

    /// The payload of an event, up to `max_bytes` of it.
    pub fn payload(&self, id: EventId, max_bytes: usize) -> Result<EventPayload> {
        for (minute, dirs) in census::take(&self.data)? {
            if !minute.contains(id.time()) {
                continue;
            }
            match self.find(minute, &dirs, id)? {
                Some(At::Run(run)) => return self.payload_in_run(run, id, max_bytes),
                Some(At::Object(look, object)) => {
                    return self.payload_in_object(&look, object, id, max_bytes);
                }
                None => {}
            }
        }
        Ok(EventPayload::Unknown)
    }

    fn object(&self, delivery: &Delivery) -> Option<DeliveryObject> {
        let key = delivery.key.as_ref()?;
        let minutes = census::take(&self.data).ok()?;
        let of = minutes.into_iter().filter(|(minute, _)| minute.contains(delivery.id.time()));
        for name in of.flat_map(|(_, dirs)| dirs.parts) {
            let Ok(Some(look)) = self.parts.look(&self.data, name) else { continue };
            let mut objects = look.table.objects.iter().enumerate();
            if let Some((number, object)) = objects.find(|(_, object)| object.key == *key) {
                let mut known = DeliveryObject {
                    sealed_at: look.table.head.sealed_at,
                    events: object.events,
                    bytes: object.bytes,
                    delivered_at: None,
                    etag: None,
                    checksum: None,
                    failed_at: None,
                };
                match look.outcome(number) {
                    Some(Outcome::Delivered(receipt)) => {
                        known.delivered_at = Some(UnixMillis::new(receipt.at_ms));
                        known.etag.clone_from(&receipt.etag);
                        known.checksum = Some(receipt.checksum.clone());
                    }
                    Some(
                        Outcome::Failed(why) | Outcome::Parked(why) | Outcome::Quarantined(why),
                    ) => known.failed_at = Some(UnixMillis::new(why.at_ms)),
                    None => {}
                }
                return Some(known);
            }
        }
        None
    }

    fn find(&self, minute: Minute, dirs: &MinuteDirs, id: EventId) -> Result<Option<At>> {
        for name in &dirs.parts {
            let Some((look, mut index)) = self.parts.open(&self.data, *name)? else { continue };
            if !look.table.head.runs.contains(&id.run()) {
                continue;
            }
            for number in 0..look.table.objects.len() {
                if self.line_in(&look, &mut index, number, id)?.is_some() {
                    return Ok(Some(At::Object(Box::new(look), number)));
                }
            }
            return Ok(None);
        }
        let run = RunName { minute, run: id.run() };
        Ok(dirs.runs.contains(&run).then_some(At::Run(run)))
    }

    /// The number of an event's line in an object, from 1.
    fn line_in(
        &self,
        look: &PartLook,
        index: &mut IndexReader,
        number: usize,
        id: EventId,
    ) -> Result<Option<u64>> {
        let Some(object) = look.table.objects.get(number) else { return Ok(None) };
        if id < object.first || object.last < id {
            return Ok(None);
        }
        let chunks = look.table.chunks_of(number, index)?;
        let up_to = self.parts.chunks_up_to(look, index, &chunks, id)?;
        let Some(at) = up_to.checked_sub(1).and_then(|last| chunks.get(last)) else {
            return Ok(None);
        };
        let mut found = None;
        self.parts.chunk(look, index, *at)?.lines_down(&look.table.head, id, |line| {
            found = (line.id == id).then_some(line.line);
            false
        });
        Ok(found)
    }

    fn payload_in_run(&self, run: RunName, id: EventId, max_bytes: usize) -> Result<EventPayload> {
        let mut found = EventPayload::Unknown;
        let wanted = LiveAround {
            run: run.to_string(),
            centre: id,
            before: 0,
            after: 1,
            name: None,
            destination: None,
            payload: true,
        };
        let (live, _) = self.live();
        if live.contains(&run)
            && live_around(&self.data, wanted, |event| {
                if let Some(payload) = event.payload.filter(|_| event.id == id) {
                    found = EventPayload::shown(payload.as_bytes(), max_bytes);
                }
            })?
        {
            return Ok(found);
        }
        if let Ok(copy) = copy_of(self, run)? {
            // It may be within a record that begins before it.
            let (before, after) = (1, 1);
            let around = Around { centre: id, before, after, name: None, destination: None };
            let mut show = |_: &_, event: &crate::reader::EventRef<'_>| {
                if event.id == id {
                    found = EventPayload::shown(event.payload, max_bytes);
                }
            };
            copy.around(&around, &mut show, &mut |_| {});
        }
        Ok(found)
    }

    fn payload_in_object(
        &self,
        look: &PartLook,
        number: usize,
        id: EventId,
        max_bytes: usize,
    ) -> Result<EventPayload> {
        let is_delivered = matches!(look.outcome(number), Some(Outcome::Delivered(_)));
        if is_delivered || look.shelf == Shelf::Stage(Stage::Receipts) {
            return Ok(EventPayload::Delivered);
        }
        let mut index = IndexReader::open(&look.dir, &look.table.head)?;
        let Some(line) = self.line_in(look, &mut index, number, id)? else {
            return Ok(EventPayload::Unknown);
        };
        let path = look.dir.join(SEGMENTS_FILE);
        let mut manifest = ManifestReader::open(&look.dir)?;
        let sealed = loop {
            match manifest.next_object()? {
                Some((at, object)) if usize::try_from(at) == Ok(number) => break object,
                Some(_) => {}
                None => return Ok(EventPayload::Unknown),
            }
        };
        match line_of(&open_file(&path)?, &sealed, line).map_err(Error::io(&path))? {
            Some(payload) => Ok(EventPayload::shown(&payload, max_bytes)),
            None => Ok(EventPayload::TooFar),
        }
    }
}

/// A line of an object; `None` where too much would have to be unpacked for it.
fn line_of(
    segments: &std::fs::File,
    object: &SealedObject,
    line: u64,
) -> io::Result<Option<Vec<u8>>> {
    let mut lines = ObjectBytes::new(segments, &object.extents).lines();
    let mut unpacked = 0;
    for _ in 1..line {
        unpacked += lines.next()?.map_or(0, <[u8]>::len) as u64;
        if unpacked > MAX_UNPACKED_BYTES {
            return Ok(None);
        }
    }
    Ok(lines.next()?.map(<[u8]>::to_vec))
}
