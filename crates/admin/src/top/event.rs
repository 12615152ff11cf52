//! One event: each of its destinations with what happened there, and its payload while it is in the
//! log.

use model::UnixMillis;
use ratatui::text::Line;
use wal::inspect::{DeliveryObject, EventPayload};
use wal::{Delivery, DeliveryState};

use crate::human;
use crate::top::app::App;
use crate::top::ink::{Palette, Tone, wrap};
use crate::top::lists::{destination_name, event_size};
use crate::top::reader::OpenEvent;
use crate::view::ServiceState;

/// So many destinations are shown (T4).
const MAX_DELIVERIES: usize = 200;

/// The names of facts stand in so many columns.
const NAMES: usize = 10;

/// The lines of the open event.
pub(crate) fn event(app: &App, columns: usize) -> Vec<Line<'static>> {
    let mut page = Page { palette: app.palette, columns, lines: Vec::new() };
    match app.shown.event.as_ref().filter(|(id, _)| Some(*id) == app.open) {
        None => page.text("Reading …", Tone::Plain),
        Some((_, None)) => page.text(
            "No such event any more: its receipt has expired, or its log data is quarantined.",
            Tone::Waiting,
        ),
        Some((_, Some(open))) => whole(&mut page, open),
    }
    page.lines
}

fn whole(page: &mut Page, open: &OpenEvent) {
    let (detail, row) = (&open.event.detail, &open.event.detail.row.row);
    match &row.event {
        Some(name) => page.fact("Event", name.as_str(), Tone::Strong),
        None => page.fact("Event", "without a name", Tone::Muted),
    }
    page.fact("Id", &row.id.to_string(), Tone::Plain);
    page.fact("Accepted", &moment(row.accepted_at), Tone::Plain);
    page.fact("Size", &event_size(&detail.row), Tone::Plain);
    let dest = format!("{}/{} delivered", row.dest.delivered, row.dest.total);
    page.fact("Dest", &dest, Tone::Plain);
    for warning in &detail.warnings {
        page.text(&format!("Not all of it could be read: {warning}"), Tone::Waiting);
    }
    let objects = detail.objects.iter().chain(std::iter::repeat(&None));
    let next_tries = open.event.next_tries.iter().copied().chain(std::iter::repeat(None));
    let mut deliveries: Vec<_> = row.deliveries.iter().zip(objects).zip(next_tries).collect();
    // What asks for somebody comes first.
    deliveries.sort_by_key(|((delivery, _), _)| (rank(delivery), delivery.id));
    let left_out = deliveries.len().saturating_sub(MAX_DELIVERIES);
    for ((it, object), next_try) in deliveries.into_iter().take(MAX_DELIVERIES) {
        page.blank();
        delivery(page, it, object.as_ref(), next_try, open);
    }
    if left_out > 0 {
        page.blank();
        let all = format!("and {left_out} more: minutelog admin events --id {}", row.id);
        page.text(&all, Tone::Muted);
    }
    page.blank();
    payload(page, open);
}

fn rank(delivery: &Delivery) -> (u8, bool) {
    let state = match delivery.state {
        DeliveryState::Quarantined => 0,
        DeliveryState::Parked => 1,
        DeliveryState::Sealed => 2,
        DeliveryState::Logged => 3,
        DeliveryState::Delivered => 4,
    };
    (state, delivery.error.is_none())
}

fn delivery(
    page: &mut Page,
    delivery: &Delivery,
    object: Option<&DeliveryObject>,
    next_try: Option<UnixMillis>,
    open: &OpenEvent,
) {
    let (state, tone) = (delivery.state, Tone::from(delivery.state));
    let name = destination_name(&delivery.bucket, &delivery.prefix);
    page.text(&format!("{name} – {}", state.as_str()), tone);
    if let Some(error) = &delivery.error {
        let what = if state == DeliveryState::Parked { "Refused" } else { "Error" };
        page.fact(what, error, tone);
    }
    if let Some(at) = object.and_then(|it| it.failed_at) {
        page.fact("Since", &moment(at), Tone::Plain);
    }
    let is_parked = state == DeliveryState::Parked;
    if is_parked || (delivery.error.is_some() && state == DeliveryState::Sealed) {
        let when = match (open.event.flusher, next_try) {
            (ServiceState::Running, Some(at)) => moment(at),
            (ServiceState::Running, None) => "soon".to_owned(),
            _ => "once the flusher runs".to_owned(),
        };
        let now = if is_parked { ", or at once by `minutelog admin retry`" } else { "" };
        page.fact("Next try", &format!("{when}{now}"), Tone::Plain);
    }
    if let Some(key) = &delivery.key {
        page.fact("Key", key.as_str(), Tone::Plain);
    }
    if let Some(line) = delivery.line {
        let of = object.map(|it| format!(" of {}", it.events)).unwrap_or_default();
        page.fact("Line", &format!("{line}{of}"), Tone::Plain);
    }
    if let Some(object) = object {
        if let Some(etag) = &object.etag {
            page.fact("ETag", &etag.replace('"', ""), Tone::Plain);
        }
        if let Some(checksum) = &object.checksum {
            page.fact("Checksum", checksum, Tone::Plain);
        }
        let what = format!("{}, sealed {}", human::size(object.bytes), moment(object.sealed_at));
        page.fact("Object", &what, Tone::Plain);
        if let Some(at) = object.delivered_at {
            page.fact("Delivered", &moment(at), Tone::Plain);
        }
    }
    if delivery.id != open.event.detail.row.row.id {
        page.fact("Id", &delivery.id.to_string(), Tone::Plain);
    }
    if state == DeliveryState::Logged {
        page.fact("Waits for", "the end of its minute, then it is sealed and sent", Tone::Plain);
    }
}

fn payload(page: &mut Page, open: &OpenEvent) {
    page.text("Payload", Tone::Strong);
    match &open.payload {
        EventPayload::Shown { text, bytes, cut } => {
            page.text(text, Tone::Plain);
            if *cut {
                let what =
                    format!("… the beginning of {bytes} bytes: `minutelog admin show` reads it");
                page.text(&what, Tone::Muted);
            }
        }
        EventPayload::Delivered => {
            let first = open.event.detail.row.row.deliveries.first();
            let what = "Every copy is in S3, and the log has let go of it. To read it there:";
            page.text(what, Tone::Muted);
            if let Some((delivery, (key, line))) =
                first.and_then(|it| Some((it, it.key.as_ref().zip(it.line)?)))
            {
                let object = quoted(&format!("s3://{}/{}", delivery.bucket, key.as_str()));
                let read = format!("aws s3 cp {object} - | gunzip | sed -n {line}p");
                page.text(&read, Tone::Plain);
            }
        }
        EventPayload::TooFar => {
            let what = "It stands too far within a large object to be looked for here: `minutelog \
                        admin show` reads it.";
            page.text(what, Tone::Muted);
        }
        EventPayload::Unknown => page.text("It cannot be read.", Tone::Muted),
    }
}

fn moment(time: UnixMillis) -> String {
    format!("{} UTC", human::millisecond(time))
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Lines that are being written.
struct Page {
    palette: Palette,
    columns: usize,
    lines: Vec<Line<'static>>,
}

impl Page {
    fn blank(&mut self) {
        self.lines.push(Line::default());
    }

    fn text(&mut self, text: &str, tone: Tone) {
        for line in wrap(text, self.columns.saturating_sub(2)) {
            self.lines.push(self.palette.line(&format!(" {line}"), tone));
        }
    }

    fn fact(&mut self, name: &str, value: &str, tone: Tone) {
        let lines = wrap(value, self.columns.saturating_sub(NAMES + 4));
        for (number, line) in lines.iter().enumerate() {
            let name = if number == 0 { name } else { "" };
            self.lines.push(Line::from(vec![
                self.palette.span(&format!("  {name:NAMES$} "), Tone::Muted),
                self.palette.span(line, tone),
            ]));
        }
    }
}
