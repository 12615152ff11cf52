//! The objects that S3 has confirmed.

use std::cmp::Reverse;

use model::{Bucket, Digest, Minute, ObjectKey, Prefix, UnixMillis};
use serde::Serialize;

use crate::deliveries::{Outcome, Receipt};
use crate::error::Result;
use crate::inspect::Destinations;
use crate::inspect::census;
use crate::inspect::part::PartView;
use crate::layout::{DataDir, PartName};
use crate::manifest::SealedObject;

/// Which receipts are wanted.
#[derive(Clone, Debug, Default)]
pub struct ReceiptQuery {
    /// Those of objects delivered at this time or later.
    pub since: Option<UnixMillis>,
    /// Those for these destinations.
    pub destinations: Destinations,
}

/// Proof that S3 holds an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReceiptRow {
    /// The bucket.
    pub bucket: Bucket,
    /// The prefix.
    pub prefix: Prefix,
    /// The key.
    pub key: ObjectKey,
    /// The `ETag` that S3 gave, if it told one.
    pub etag: Option<String>,
    /// The checksum that S3 has verified, as `crc32:<base64>`; `none` where that is switched off.
    pub checksum: String,
    /// How many events, each one line.
    pub events: u64,
    /// The bytes of the object.
    pub bytes: u64,
    /// When S3 confirmed it.
    pub delivered_at: UnixMillis,
    /// The minute in which its events were accepted.
    pub minute: Minute,
    /// Whether S3 said that it was there already: an answer had been lost.
    pub already_there: bool,
    /// CRC-32 of the object's bytes.
    #[serde(skip)]
    pub crc32: u32,
    /// The bytes of its lines, uncompressed, with their newlines.
    #[serde(skip)]
    pub lines_bytes: u64,
    /// BLAKE3 of its lines, uncompressed.
    #[serde(skip)]
    pub lines_digest: Digest,
}

impl ReceiptRow {
    fn new(minute: Minute, object: SealedObject, receipt: &Receipt) -> Self {
        Self {
            bucket: object.destination.bucket().clone(),
            prefix: object.destination.prefix().clone(),
            key: object.key,
            etag: receipt.etag.clone(),
            checksum: receipt.checksum.clone(),
            events: object.events,
            bytes: object.extents.length(),
            delivered_at: UnixMillis::new(receipt.at_ms),
            minute,
            already_there: receipt.already_there,
            crc32: object.crc32,
            lines_bytes: object.lines_bytes,
            lines_digest: object.lines_digest,
        }
    }
}

/// Calls `each` with the receipts until it answers `false`: the newest minute first, and within a
/// minute the latest delivery. Returns what could not be read.
pub(crate) fn receipts(
    data: &DataDir,
    query: &ReceiptQuery,
    each: &mut dyn FnMut(ReceiptRow) -> bool,
) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    for (_, dirs) in census::take(data)?.into_iter().rev() {
        let mut rows = Vec::new();
        for part in dirs.parts {
            if let Err(error) = read(data, part, query, &mut rows) {
                warnings.push(error.to_string());
            }
        }
        rows.sort_by_key(|row| Reverse(row.delivered_at));
        for row in rows {
            if !each(row) {
                return Ok(warnings);
            }
        }
    }
    Ok(warnings)
}

fn read(
    data: &DataDir,
    name: PartName,
    query: &ReceiptQuery,
    rows: &mut Vec<ReceiptRow>,
) -> Result<()> {
    let Some(mut view) = PartView::open(data, name)? else { return Ok(()) };
    let since = query.since.unwrap_or_default();
    let is_wanted = |outcome: &Outcome| match outcome {
        Outcome::Delivered(receipt) => UnixMillis::new(receipt.at_ms) >= since,
        _ => false,
    };
    if !view.outcomes.values().any(is_wanted) {
        return Ok(());
    }
    while let Some((number, object)) = view.manifest.next_object()? {
        if let Some(Outcome::Delivered(receipt)) =
            view.outcomes.get(&number).filter(|outcome| is_wanted(outcome))
            && query.destinations.contain(&object.destination)
        {
            rows.push(ReceiptRow::new(name.minute, object, receipt));
        }
    }
    Ok(())
}
