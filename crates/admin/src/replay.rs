//! `admin replay`: what was delivered is delivered again, from the sealed bytes that were kept, under
//! new keys.
//!
//! The new key is derived from the old one and the new bucket. So a replay that was broken off can be
//! run again: what it has delivered is there already, and is not sent twice.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use indicatif::{ProgressBar, ProgressStyle};
use model::{Bucket, Destination, Identifier, Minute, ObjectKey, Prefix, UnixMillis};
use serde::Serialize;
use store::{Class, Proof, Store};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use wal::ObjectBytes;
use wal::inspect::Destinations;

use crate::error::{Error, Result};
use crate::human;
use crate::kept::{Kept, Standing};
use crate::place;
use crate::progress::Late;
use crate::screen::{Listing, Screen};
use crate::table::{Align, Mood, Report, coloured, lines, plain};

/// So many objects are sent at a time.
const OBJECTS_AT_ONCE: usize = 8;

/// So many objects wait for their turn.
const OBJECTS_AHEAD: usize = 64;

/// How often an object is tried, and how long after the first try.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(250);

/// So many rows are aligned with each other: a table has to be held in memory.
const ROWS_A_TABLE: usize = 10_000;

/// What the keys of a replay are derived with.
const KEYS: &str = "minutelog 2026-11-26 keys of a replay";

/// What is to be delivered again.
#[derive(Clone, Debug)]
pub struct ReplayQuery {
    /// Events of minutes that end after this.
    pub since: UnixMillis,
    /// Events of minutes that begin before this.
    pub until: UnixMillis,
    /// Those for these destinations.
    pub destinations: Destinations,
    /// Where they go; where they went before if nothing is said.
    pub to_bucket: Option<Bucket>,
    /// Before this, receipts are gone: nobody knows what was delivered.
    pub known_since: UnixMillis,
}

impl ReplayQuery {
    pub(crate) fn wants(&self, minute: Minute) -> bool {
        minute.end() > self.since && minute.start() < self.until
    }
}

/// What became of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// Its bytes are there; nothing was sent, as that was not asked for.
    Found,
    /// Delivered again.
    Delivered,
    /// It was there under its new key already.
    There,
    /// It waits for its first delivery.
    Waits,
    /// Its bytes are gone.
    Gone,
    /// It could not be sent.
    Failed,
}

#[derive(Debug, Serialize)]
struct Row {
    minute: Minute,
    bucket: Bucket,
    prefix: Prefix,
    key: ObjectKey,
    to_bucket: Bucket,
    to_key: ObjectKey,
    events: u64,
    bytes: u64,
    state: State,
    detail: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Replayed {
    objects: u64,
    found: u64,
    delivered: u64,
    there: u64,
    waits: u64,
    gone: u64,
    failed: u64,
    /// Of what was found, delivered, or there.
    events: u64,
    bytes: u64,
}

impl Replayed {
    fn add(&mut self, row: &Row) {
        self.objects += 1;
        *match row.state {
            State::Found => &mut self.found,
            State::Delivered => &mut self.delivered,
            State::There => &mut self.there,
            State::Waits => &mut self.waits,
            State::Gone => &mut self.gone,
            State::Failed => &mut self.failed,
        } += 1;
        if matches!(row.state, State::Found | State::Delivered | State::There) {
            self.events += row.events;
            self.bytes += row.bytes;
        }
    }

    fn verdict(self, unread: usize) -> Result<()> {
        match self {
            Self { failed: failed @ 1.., .. } => Err(Error::NotReplayed(failed)),
            Self { gone: gone @ 1.., .. } => Err(Error::Gone(gone)),
            _ if unread > 0 => Err(Error::NotLookedAt(unread)),
            _ => Ok(()),
        }
    }
}

/// Delivers what `query` wants again to `store`; without one says what there is, and sends nothing.
/// Memory does not grow with the number of objects or their sizes.
///
/// [`Error::NotReplayed`] or [`Error::Gone`] once the rest is done.
pub async fn replay(
    data_dir: &Path,
    query: &ReplayQuery,
    store: Option<Arc<dyn Store>>,
    screen: &mut Screen<'_>,
) -> Result<()> {
    place::check(data_dir)?;
    let bar = bar(data_dir, query, screen).await?;
    let (mut objects, unread) = objects(data_dir, query);
    let rows = stream::poll_fn(|cx| objects.poll_recv(cx))
        .map(|kept| again(store.as_ref(), query, kept, bar.bar()))
        .buffered(OBJECTS_AT_ONCE);
    let mut rows = std::pin::pin!(rows);
    let (mut replayed, mut listing, mut table) = (Replayed::default(), Listing::default(), vec![]);
    if screen.json {
        listing.begin(screen.out, "{\"objects\":")?;
    }
    while let Some(row) = bar.while_waiting(rows.next()).await {
        replayed.add(&row);
        if screen.json {
            listing.item(screen.out, &row)?;
        } else {
            table.push(row);
            if table.len() == ROWS_A_TABLE {
                print(&std::mem::take(&mut table), screen)?;
            }
        }
    }
    bar.end();
    let unread = unread.await??;
    screen.warn(&unread)?;
    if query.since < query.known_since {
        screen.warn(&[format!(
            "receipts are kept since {} (flusher.receipt_retention): what was delivered before is not known",
            human::second(query.known_since)
        )])?;
    }
    if screen.json {
        let replayed = serde_json::to_string(&replayed)?;
        listing.end_with(screen.out, &format!(",\"replayed\":{replayed}"))?;
    } else {
        print(&table, screen)?;
        sum_up(replayed, screen)?;
    }
    replayed.verdict(unread.len())
}

type Unread = tokio::task::JoinHandle<wal::Result<Vec<String>>>;

/// Hands the objects out, as they are asked for; in the end what could not be read.
fn objects(data_dir: &Path, query: &ReplayQuery) -> (mpsc::Receiver<Kept>, Unread) {
    let (sender, receiver) = mpsc::channel(OBJECTS_AHEAD);
    let (data_dir, query) = (data_dir.to_owned(), query.clone());
    let unread = spawn_blocking(move || {
        crate::kept::each(&data_dir, &query, |kept| sender.blocking_send(kept).is_ok())
    });
    (receiver, unread)
}

/// A bar of the bytes to be sent, where anybody would see it.
async fn bar(data_dir: &Path, query: &ReplayQuery, screen: &Screen<'_>) -> Result<Late> {
    if !screen.moving || screen.json {
        return Ok(Late::never());
    }
    let (data_dir, query) = (data_dir.to_owned(), query.clone());
    let total = spawn_blocking(move || {
        let mut bytes = 0;
        let each = crate::kept::each(&data_dir, &query, |kept| {
            bytes += if kept.standing == Standing::Kept { kept.object.length } else { 0 };
            true
        });
        each.map(|_| bytes)
    });
    let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes}  {eta} left");
    Ok(Late::new(total.await??, style.unwrap_or_else(|_| ProgressStyle::default_bar())))
}

/// Delivers one object under its new key.
async fn again(
    store: Option<&Arc<dyn Store>>,
    query: &ReplayQuery,
    kept: Kept,
    bar: ProgressBar,
) -> Row {
    let Kept { mut object, sealed_at, standing } = kept;
    let before = (object.destination.clone(), object.key.clone());
    let bucket = query.to_bucket.as_ref().unwrap_or(before.0.bucket());
    object.destination = Destination::new(bucket.clone(), before.0.prefix().clone());
    let nonce = blake3::derive_key(KEYS, before.1.as_str().as_bytes());
    let identifier = Identifier::derive(&object.destination, &object.lines_digest, &nonce);
    object.key = ObjectKey::new(before.0.prefix(), sealed_at, &identifier);
    let (state, detail) = match standing {
        Standing::Waits => (State::Waits, None),
        Standing::Gone => (State::Gone, None),
        Standing::Kept => send(store, &object).await,
    };
    if standing == Standing::Kept {
        bar.inc(object.length);
    }
    Row {
        minute: object.minute,
        bucket: before.0.bucket().clone(),
        prefix: before.0.prefix().clone(),
        key: before.1,
        to_bucket: object.destination.bucket().clone(),
        to_key: object.key,
        events: object.events,
        bytes: object.length,
        state,
        detail,
    }
}

async fn send(store: Option<&Arc<dyn Store>>, object: &store::Object) -> (State, Option<String>) {
    let of = object.clone();
    match spawn_blocking(move || is_whole(&of)).await {
        Ok(Ok(true)) => {}
        // The disk space of some was given back while others of their minute waited.
        Ok(Ok(false)) => return (State::Gone, None),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return (State::Gone, None);
        }
        Ok(Err(error)) => return (State::Failed, Some(error.to_string())),
        Err(error) => return (State::Failed, Some(format!("internal: {error}"))),
    }
    let Some(store) = store else { return (State::Found, None) };
    let mut tried = 1;
    loop {
        match store.put(object).await {
            Ok(confirmation) if confirmation.proof == Proof::AlreadyThere => {
                return (State::There, None);
            }
            Ok(_) => return (State::Delivered, None),
            Err(error) if error.class() == Class::Retry && tried < TRIES => {
                tokio::time::sleep(PAUSE * tried).await;
                tried += 1;
            }
            Err(error) => return (State::Failed, Some(error.message().to_owned())),
        }
    }
}

/// Whether the bytes of an object are those that were sealed.
fn is_whole(object: &store::Object) -> std::io::Result<bool> {
    let file = File::open(&object.path)?;
    Ok(ObjectBytes::new(&file, &object.extents).crc32()? == Some(object.crc32))
}

fn print(rows: &[Row], screen: &mut Screen<'_>) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let columns = [
        ("STATE", Align::Left),
        ("EVENTS", Align::Right),
        ("SIZE", Align::Right),
        ("OBJECT, ITS NEW KEY", Align::Left),
    ];
    let mut report = Report::new(&columns, screen.colour);
    for row in rows {
        let (state, mood) = match row.state {
            State::Found => ("found", Mood::Plain),
            State::Delivered => ("delivered", Mood::Plain),
            State::There => ("there", Mood::Plain),
            State::Waits => ("waits", Mood::Waiting),
            State::Gone => ("gone", Mood::Bad),
            State::Failed => ("failed", Mood::Bad),
        };
        let mut object = vec![format!("s3://{}/{}", row.bucket, row.key)];
        match (row.state, &row.detail) {
            (_, Some(detail)) => object.push(detail.clone()),
            (State::Found | State::Delivered | State::There, None) => {
                object.push(format!("s3://{}/{}", row.to_bucket, row.to_key));
            }
            (State::Waits, None) => object.push("waits for its first delivery".to_owned()),
            (State::Gone | State::Failed, None) => {
                object.push("its bytes are not kept any more".to_owned());
            }
        }
        report.row([
            coloured(state, mood),
            plain(row.events.to_string()),
            plain(human::size(row.bytes)),
            lines(object),
        ]);
    }
    Ok(report.print(screen)?)
}

fn sum_up(replayed: Replayed, screen: &mut Screen<'_>) -> Result<()> {
    let Replayed { objects, found, delivered, there, waits, gone, failed, events, bytes } =
        replayed;
    if objects == 0 {
        return Ok(
            screen.line("Nothing was delivered then to these destinations, as far as is known.")?
        );
    }
    let all = human::count(objects, "object");
    let of = format!("{}, {}", human::count(events, "event"), human::size(bytes));
    let done = if found > 0 {
        format!("{found} can be delivered again ({of}): nothing was sent (--dry-run)")
    } else {
        format!("{delivered} delivered again, {there} there already ({of})")
    };
    let rest: Vec<_> = [
        (waits, "waiting for the first delivery"),
        (gone, "not kept any more"),
        (failed, "failed"),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!(", {count} {what}"))
    .collect();
    let rest = rest.concat();
    Ok(screen.line(format!("Of {all}, {done}{rest}."))?)
}
