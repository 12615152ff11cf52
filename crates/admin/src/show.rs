//! `admin show`: the events of a minute that are still in the log.

use std::borrow::Cow;

use model::{Bucket, EventId, EventName, Minute, Prefix};
use serde::Serialize;
use wal::Inspector;
use wal::inspect::{ShowQuery, Shown, ShownEvent};

use crate::error::{Error, Result};
use crate::human;
use crate::place;
use crate::screen::{Listing, Screen};

#[derive(Serialize)]
struct Item<'e> {
    id: EventId,
    event: Option<&'e EventName>,
    bucket: &'e Bucket,
    prefix: &'e Prefix,
    payload: Cow<'e, str>,
}

/// Prints the events that `query` wants: their lines, exactly as they will be delivered, or one
/// JSON document.
///
/// [`Error::Damaged`] once that is done, where something of the minute is damaged: of a damaged
/// object nothing is printed. [`Error::NotLookedAt`] where something could not be read.
pub fn show(inspector: &Inspector, query: &ShowQuery, screen: &mut Screen<'_>) -> Result<()> {
    place::check(inspector.data_dir())?;
    let (mut listing, mut written) = (Listing::default(), Ok(()));
    let json = screen.json;
    let shown = inspector.show(query, |event| {
        written = if json { item(&mut listing, &event, screen) } else { line(&event, screen) };
        written.is_ok()
    })?;
    written?;
    screen.warn(&shown.warnings)?;
    screen.damaged(&shown.damaged)?;
    if json {
        let minute = quoted(shown.minute)?;
        listing.begin(screen.out, &format!("{{\"minute\":{minute},\"events\":"))?;
        listing.end(screen.out)?;
    } else if shown.damaged.is_empty() && shown.warnings.is_empty() {
        note(query, &shown, screen)?;
    }
    match (&*shown.damaged, shown.warnings.len()) {
        ([], 0) => Ok(()),
        ([], count) => Err(Error::NotLookedAt(count)),
        (damaged, _) => Err(Error::damaged(damaged)),
    }
}

/// Tells people why there is nothing.
fn note(query: &ShowQuery, shown: &Shown, screen: &mut Screen<'_>) -> Result<()> {
    // To standard error: what stands on standard output is lines of events, and nothing else.
    match shown.minute {
        None => screen.note(format!(
            "No minute with {} UTC is on disk: nothing was accepted in it, or its receipts have expired.",
            human::second(query.time)
        ))?,
        Some(minute) if shown.events == 0 => screen.note(format!(
            "No such events of {} UTC are in the log: see `minutelog admin receipts` for what is delivered.",
            human::second(minute.start())
        ))?,
        Some(_) => {}
    }
    Ok(())
}

fn line(event: &ShownEvent<'_>, screen: &mut Screen<'_>) -> Result<()> {
    screen.out.write_all(event.payload)?;
    Ok(screen.out.write_all(b"\n")?)
}

fn item(listing: &mut Listing, shown: &ShownEvent<'_>, screen: &mut Screen<'_>) -> Result<()> {
    let minute = quoted(Some(shown.minute))?;
    listing.begin(screen.out, &format!("{{\"minute\":{minute},\"events\":"))?;
    let item = Item {
        id: shown.id,
        event: shown.event,
        bucket: shown.destination.bucket(),
        prefix: shown.destination.prefix(),
        payload: String::from_utf8_lossy(shown.payload),
    };
    listing.item(screen.out, &item)
}

fn quoted(minute: Option<Minute>) -> Result<String> {
    Ok(serde_json::to_string(&minute)?)
}
