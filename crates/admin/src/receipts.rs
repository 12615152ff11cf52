//! `admin receipts`: the objects delivered.

use wal::Inspector;
use wal::inspect::{ReceiptQuery, ReceiptRow};

use crate::error::Result;
use crate::human;
use crate::place;
use crate::screen::{Listing, Screen};
use crate::table::{Align, Report, plain};

/// So many receipts are aligned with each other: a table has to be held in memory.
const ROWS_A_TABLE: usize = 10_000;

/// Prints the receipts that `query` wants, those of the newest minute first.
pub fn receipts(
    inspector: &Inspector,
    query: &ReceiptQuery,
    screen: &mut Screen<'_>,
) -> Result<()> {
    place::check(inspector.data_dir())?;
    let warnings = if screen.json {
        documents(inspector, query, screen)?
    } else {
        tables(inspector, query, screen)?
    };
    Ok(screen.warn(&warnings)?)
}

fn documents(
    inspector: &Inspector,
    query: &ReceiptQuery,
    screen: &mut Screen<'_>,
) -> Result<Vec<String>> {
    let mut listing = Listing::default();
    listing.begin(screen.out, "{\"receipts\":")?;
    let mut written = Ok(());
    let warnings = inspector.receipts(query, |row| {
        written = listing.item(screen.out, &row);
        written.is_ok()
    })?;
    written?;
    listing.end(screen.out)?;
    Ok(warnings)
}

fn tables(
    inspector: &Inspector,
    query: &ReceiptQuery,
    screen: &mut Screen<'_>,
) -> Result<Vec<String>> {
    let mut rows = Vec::new();
    let (mut written, mut any) = (Ok(()), false);
    let warnings = inspector.receipts(query, |row| {
        any = true;
        rows.push(row);
        if rows.len() == ROWS_A_TABLE {
            written = print(&std::mem::take(&mut rows), screen);
        }
        written.is_ok()
    })?;
    written?;
    if any {
        print(&rows, screen)?;
    } else {
        screen.line("No receipts: nothing was delivered, or the receipts have expired.")?;
    }
    Ok(warnings)
}

fn print(rows: &[ReceiptRow], screen: &mut Screen<'_>) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let columns = [
        ("DELIVERED (UTC)", Align::Left),
        ("EVENTS", Align::Right),
        ("SIZE", Align::Right),
        ("OBJECT", Align::Left),
        ("ETAG", Align::Left),
        ("CHECKSUM", Align::Left),
    ];
    let mut report = Report::new(&columns, screen.colour);
    for row in rows {
        report.row([
            plain(human::millisecond(row.delivered_at)),
            plain(row.events.to_string()),
            plain(human::size(row.bytes)),
            plain(format!("s3://{}/{}", row.bucket, row.key)),
            plain(row.etag.as_deref().unwrap_or("-").trim_matches('"')),
            plain(&*row.checksum),
        ]);
    }
    Ok(report.print(screen)?)
}
