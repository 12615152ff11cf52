//! `admin verify --objects`: delivered objects read back and compared with their receipts.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures::stream::{self, StreamExt as _};
use indicatif::{ProgressBar, ProgressStyle};
use model::{Bucket, Minute, ObjectKey, Prefix, UnixMillis};
use serde::Serialize;
use store::{S3Store, Trouble};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use wal::Inspector;
use wal::inspect::{ReceiptQuery, ReceiptRow};

use crate::compare;
use crate::error::{Error, Result};
use crate::human;
use crate::place;
use crate::progress::Late;
use crate::screen::{Listing, Screen};
use crate::table::{Align, Mood, Report, coloured, lines, plain};
use crate::unread::{NoBuckets, Obstacle, unread};

/// So many objects are read at a time.
const OBJECTS_AT_ONCE: usize = 8;

/// So many receipts wait for their turn.
const RECEIPTS_AHEAD: usize = 64;

/// So many pieces of an object, each some kilobytes, wait to be unpacked.
const PIECES_AHEAD: usize = 4;

/// How often an object is tried to be read, and how long after the first try.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(250);

/// So many rows are aligned with each other: a table has to be held in memory.
const ROWS_A_TABLE: usize = 10_000;

/// Which delivered objects are wanted.
#[derive(Clone, Debug, Default)]
pub struct ObjectsQuery {
    /// Those of these receipts.
    pub receipts: ReceiptQuery,
    /// Those of the minutes that hold this time.
    pub time: Option<UnixMillis>,
}

/// What became of a delivered object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Same,
    Differs,
    Missing,
    Unknown,
}

#[derive(Debug, Serialize)]
struct Row {
    bucket: Bucket,
    prefix: Prefix,
    key: ObjectKey,
    minute: Minute,
    events: u64,
    bytes: u64,
    state: State,
    detail: Option<String>,
    #[serde(skip)]
    obstacle: Option<Obstacle>,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Checked {
    objects: u64,
    same: u64,
    differing: u64,
    missing: u64,
    unknown: u64,
    /// Those of `unknown` whose bucket does not exist.
    no_bucket: u64,
    events: u64,
    bytes: u64,
    #[serde(skip)]
    denied: u64,
}

impl Checked {
    fn add(&mut self, row: &Row) {
        self.objects += 1;
        match row.state {
            State::Same => {
                self.same += 1;
                self.events += row.events;
                self.bytes += row.bytes;
            }
            State::Differs => self.differing += 1,
            State::Missing => self.missing += 1,
            State::Unknown => self.unknown += 1,
        }
        match row.obstacle {
            Some(Obstacle::Denied) => self.denied += 1,
            Some(Obstacle::NoBucket) => self.no_bucket += 1,
            None => {}
        }
    }

    /// What is worst decides: an object that is another, one whose bucket does not exist, one that
    /// may not be read, one that could not be read this time, a receipt that could not be read.
    fn verdict(self, no_buckets: &NoBuckets, warnings: usize) -> Result<()> {
        match self {
            Self { differing, missing, .. } if differing + missing > 0 => {
                Err(Error::Differ { differing, missing })
            }
            Self { no_bucket: receipts @ 1.., .. } => {
                Err(Error::NoBucket { receipts, which: no_buckets.summary() })
            }
            Self { denied: denied @ 1.., .. } => Err(Error::Unreadable(denied)),
            Self { unknown: unknown @ 1.., .. } => Err(Error::NotCompared(unknown)),
            _ if warnings > 0 => Err(Error::NotLookedAt(warnings)),
            _ => Ok(()),
        }
    }
}

/// Reads the objects that `query` wants back from `store`, and prints which of them are not what
/// their receipts say. Memory does not grow with their number or size.
///
/// [`Error::Differ`], [`Error::NoBucket`], [`Error::Unreadable`] or [`Error::NotCompared`] once that
/// is done.
pub async fn verify_objects(
    inspector: &Inspector,
    query: &ObjectsQuery,
    store: Arc<S3Store>,
    screen: &mut Screen<'_>,
) -> Result<()> {
    place::check(inspector.data_dir())?;
    let bar = bar(inspector, query, screen).await?;
    let (mut receipts, warnings) = receipts(inspector, query);
    let rows = stream::poll_fn(|cx| receipts.poll_recv(cx))
        .map(|receipt| check(&store, receipt, bar.bar()))
        .buffered(OBJECTS_AT_ONCE);
    let mut rows = std::pin::pin!(rows);
    let (mut checked, mut listing, mut wrong) = (Checked::default(), Listing::default(), vec![]);
    let mut no_buckets = NoBuckets::default();
    if screen.json {
        listing.begin(screen.out, "{\"objects\":")?;
    }
    while let Some(row) = bar.while_waiting(rows.next()).await {
        checked.add(&row);
        let is_told = row.obstacle == Some(Obstacle::NoBucket) && no_buckets.count(&row.bucket);
        if screen.json {
            listing.item(screen.out, &row)?;
        } else if !is_told && (row.state != State::Same || row.detail.is_some()) {
            wrong.push(row);
            if wrong.len() == ROWS_A_TABLE {
                print(&std::mem::take(&mut wrong), &NoBuckets::default(), screen)?;
            }
        }
    }
    bar.end();
    let warnings = warnings.await??;
    screen.warn(&warnings)?;
    if screen.json {
        let checked = serde_json::to_string(&checked)?;
        listing.end_with(screen.out, &format!(",\"checked\":{checked}"))?;
    } else {
        print(&wrong, &no_buckets, screen)?;
        sum_up(checked, screen)?;
    }
    checked.verdict(&no_buckets, warnings.len())
}

fn wants(query: &ObjectsQuery, receipt: &ReceiptRow) -> bool {
    query.time.is_none_or(|time| receipt.minute.contains(time))
}

type Warnings = tokio::task::JoinHandle<wal::Result<Vec<String>>>;

/// Hands the receipts out, as they are asked for; in the end what could not be read of them.
fn receipts(inspector: &Inspector, query: &ObjectsQuery) -> (mpsc::Receiver<ReceiptRow>, Warnings) {
    let (sender, receiver) = mpsc::channel(RECEIPTS_AHEAD);
    let (inspector, query) = (inspector.clone(), query.clone());
    let warnings = spawn_blocking(move || {
        inspector.receipts(&query.receipts, |receipt| {
            !wants(&query, &receipt) || sender.blocking_send(receipt).is_ok()
        })
    });
    (receiver, warnings)
}

/// A bar of the bytes to be read, where anybody would see it.
async fn bar(inspector: &Inspector, query: &ObjectsQuery, screen: &Screen<'_>) -> Result<Late> {
    if !screen.moving || screen.json {
        return Ok(Late::never());
    }
    let (inspector, query) = (inspector.clone(), query.clone());
    let total = spawn_blocking(move || {
        let mut bytes = 0;
        let counted = inspector.receipts(&query.receipts, |receipt| {
            bytes += if wants(&query, &receipt) { receipt.bytes } else { 0 };
            true
        });
        counted.map(|_| bytes)
    });
    let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes}  {eta} left");
    Ok(Late::new(total.await??, style.unwrap_or_else(|_| ProgressStyle::default_bar())))
}

async fn check(store: &Arc<S3Store>, receipt: ReceiptRow, bar: ProgressBar) -> Row {
    let mut tried = 1;
    let found = loop {
        match compare_once(store, &receipt, &bar).await {
            Err(trouble) if trouble.may_pass() && tried < TRIES => {
                tokio::time::sleep(PAUSE * tried).await;
                tried += 1;
            }
            other => break other,
        }
    };
    let (state, detail, obstacle) = match found {
        Ok(Found { wrong, is_rewritten: false }) if wrong.is_empty() => (State::Same, None, None),
        Ok(Found { wrong, .. }) if wrong.is_empty() => {
            let note = "the same bytes, written again since: its ETag is another";
            (State::Same, Some(note.to_owned()), None)
        }
        Ok(Found { wrong, .. }) => (State::Differs, Some(wrong.join("; ")), None),
        Err(trouble) => {
            let (state, detail, obstacle) = unread(&trouble);
            (state, Some(detail), obstacle)
        }
    };
    let ReceiptRow { bucket, prefix, key, minute, events, bytes, .. } = receipt;
    Row { bucket, prefix, key, minute, events, bytes, state, detail, obstacle }
}

struct Found {
    wrong: Vec<String>,
    is_rewritten: bool,
}

async fn compare_once(
    store: &S3Store,
    receipt: &ReceiptRow,
    bar: &ProgressBar,
) -> Result<Found, Trouble> {
    let mut download = store.download(&receipt.bucket, &receipt.key, receipt.bytes).await?;
    let mut wrong = compare::head(download.head(), receipt);
    let is_rewritten = compare::is_rewritten(download.head(), receipt);
    if download.head().length.is_some_and(|length| length != receipt.bytes) {
        return Ok(Found { wrong, is_rewritten });
    }
    let (pieces, receiver) = mpsc::channel(PIECES_AHEAD);
    let expected = receipt.clone();
    let reading =
        spawn_blocking(move || compare::body(Pieces { receiver, piece: Bytes::new() }, &expected));
    loop {
        let piece = download.next().await;
        let is_last = !matches!(piece, Ok(Some(_)));
        bar.inc(piece.as_ref().ok().and_then(Option::as_ref).map_or(0, |it| it.len() as u64));
        let sent = match piece {
            Ok(None) => break,
            Ok(Some(piece)) => pieces.send(Ok(piece)).await,
            Err(trouble) => pieces.send(Err(trouble)).await,
        };
        if is_last || sent.is_err() {
            break;
        }
    }
    drop(pieces);
    match reading.await {
        Ok(Ok(more)) => wrong.extend(more),
        Ok(Err(error)) => return Err(Trouble::no_answer(error.to_string())),
        Err(error) => return Err(Trouble::no_answer(format!("internal: {error}"))),
    }
    Ok(Found { wrong, is_rewritten })
}

/// Pieces that come from an async task, read by a thread.
struct Pieces {
    receiver: mpsc::Receiver<Result<Bytes, Trouble>>,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                None => return Ok(0),
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(trouble)) => return Err(io::Error::other(trouble)),
            }
        }
        let length = self.piece.len().min(buffer.len());
        if let Some(buffer) = buffer.get_mut(..length) {
            self.piece.copy_to_slice(buffer);
        }
        Ok(length)
    }
}

fn print(rows: &[Row], no_buckets: &NoBuckets, screen: &mut Screen<'_>) -> Result<()> {
    if rows.is_empty() && no_buckets.is_empty() {
        return Ok(());
    }
    let columns =
        [("STATE", Align::Left), ("EVENTS", Align::Right), ("OBJECT, WHAT IS WRONG", Align::Left)];
    let mut report = Report::new(&columns, screen.colour);
    for row in rows {
        let (state, mood) = match row.state {
            State::Same => ("same", Mood::Plain),
            State::Differs => ("differs", Mood::Bad),
            State::Missing => ("missing", Mood::Bad),
            State::Unknown => ("unknown", Mood::Waiting),
        };
        report.row([
            coloured(state, mood),
            plain(row.events.to_string()),
            // Beside a key there is no room on most screens.
            lines(vec![
                format!("s3://{}/{}", row.bucket, row.key),
                row.detail.as_deref().unwrap_or("-").to_owned(),
            ]),
        ]);
    }
    for (bucket, what) in no_buckets.iter() {
        let state = coloured("unknown", Mood::Bad);
        report.row([state, plain("-"), lines(vec![format!("s3://{bucket}"), what])]);
    }
    Ok(report.print(screen)?)
}

fn sum_up(checked: Checked, screen: &mut Screen<'_>) -> Result<()> {
    let Checked { objects, same, differing, missing, unknown, events, bytes, .. } = checked;
    if objects == 0 {
        return Ok(screen.line("Nothing to compare: there are no such receipts.")?);
    }
    let all = human::count(objects, "object");
    let read = format!("{}, {} read", human::count(events, "event"), human::size(bytes));
    if same == objects {
        return Ok(screen.line(format!("All is as it was delivered: {all} ({read})."))?);
    }
    Ok(screen.line(format!(
        "Of {all}, {same} as delivered ({read}), {differing} different, {missing} missing, \
         {unknown} not known."
    ))?)
}
