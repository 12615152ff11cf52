//! Bodies in memory: read, decompressed and held within the limits.

use std::io::Cursor;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_compression::tokio::bufread::{DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use bytes::BufMut;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt};
use tokio_util::io::StreamReader;

use crate::content::Encoding;
use crate::memory::{Pool, Share};
use crate::problem::{Kind, Problem};
use crate::source::{Fault, Upload};

/// The memory for all bodies together.
const POOL_BYTES: usize = 64 * 1024 * 1024;
/// The first allocation for a body that says nothing of its length, and the largest for one that does.
const FIRST_BYTES: usize = 16 * 1024;
const FIRST_BYTES_MAX: usize = 256 * 1024;
/// How much is read or decompressed at a time.
const STEP_BYTES: usize = 64 * 1024;
/// After how much decompressed data other requests get their turn on the thread.
const YIELD_BYTES: usize = 1024 * 1024;
/// What a body may be longer on the wire than decompressed: headers of incompressible data.
const WIRE_SLACK_BYTES: usize = 64 * 1024;
/// 2^23 bytes: the largest window that RFC 9659 lets a zstd content encoding have.
const ZSTD_WINDOW_LOG: u32 = 23;
/// What a decoder holds besides its output.
const ZSTD_STATE_BYTES: usize = (1 << ZSTD_WINDOW_LOG) + 512 * 1024;
const INFLATE_STATE_BYTES: usize = 64 * 1024;
/// When to come back if there was no memory.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Reads bodies.
#[derive(Debug)]
pub(crate) struct Reader {
    pool: Arc<Pool>,
    max_bytes: usize,
}

/// A whole body, and its share of the memory.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The body after decompression.
    pub(crate) bytes: Vec<u8>,
    /// To be held for as long as anything made of the body is.
    pub(crate) share: Share,
}

impl Reader {
    /// A reader of bodies of up to `max_bytes` after decompression.
    pub(crate) fn new(max_bytes: usize) -> Self {
        let largest = max_bytes.saturating_add(ZSTD_STATE_BYTES + STEP_BYTES);
        Self { pool: Pool::new(POOL_BYTES, largest), max_bytes }
    }

    /// Reads a body to its end. `announced` is what its `Content-Length` says.
    pub(crate) async fn read(
        &self,
        upload: &mut Upload,
        encoding: Encoding,
        announced: Option<u64>,
    ) -> Result<Loaded, Problem> {
        self.load(upload, encoding, announced).await.map_err(|fault| self.problem(&fault))
    }

    async fn load(
        &self,
        upload: &mut Upload,
        encoding: Encoding,
        announced: Option<u64>,
    ) -> Result<Loaded, Fault> {
        let plain = encoding == Encoding::Identity;
        let wire_limit = if plain { self.max_bytes } else { self.max_bytes + WIRE_SLACK_BYTES };
        let announced = announced.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        if announced.is_some_and(|bytes| bytes > wire_limit) {
            return Err(Fault::TooLarge(self.max_bytes));
        }
        let mut share = self.pool.share();
        if let (Encoding::Identity, Some(length @ 1..=FIRST_BYTES_MAX)) = (encoding, announced) {
            share.grow(length).await?;
            if let Some(bytes) = upload.at_once(length).await {
                // A copy: the piece keeps the whole buffer of its connection.
                return Ok(Loaded { bytes: bytes.to_vec(), share });
            }
        }
        let (first, state_bytes) = match encoding {
            Encoding::Identity => (announced.map_or(FIRST_BYTES, |bytes| bytes + 1), 0),
            Encoding::Gzip | Encoding::Deflate => (FIRST_BYTES, INFLATE_STATE_BYTES),
            Encoding::Zstd => (FIRST_BYTES, ZSTD_STATE_BYTES),
        };
        let mut sink = Sink {
            bytes: Vec::new(),
            share,
            state_bytes,
            first: first.min(FIRST_BYTES_MAX),
            expected: announced.filter(|_| plain).unwrap_or(self.max_bytes),
            max_bytes: self.max_bytes,
        };
        let source = pin!(upload.stream(wire_limit));
        decode(encoding, StreamReader::new(source), &mut sink).await?;
        sink.share.shrink(sink.bytes.capacity());
        Ok(Loaded { bytes: sink.bytes, share: sink.share })
    }

    fn problem(&self, fault: &Fault) -> Problem {
        match fault {
            Fault::Idle | Fault::Slow => {
                Problem::new(Kind::SlowBody, format!("{fault}: send smaller requests, or faster"))
            }
            Fault::Broken(_) => {
                Problem::new(Kind::BrokenBody, format!("{fault}: send the request again"))
            }
            Fault::Corrupt(_) => Problem::new(
                Kind::BrokenBody,
                format!("{fault}: check that the body is what its Content-Encoding says"),
            ),
            Fault::TooLarge(_) => Problem::new(
                Kind::RequestTooLarge,
                format!(
                    "the request has more than {} bytes after decompression, the limit of \
                     `ingest.max_request_bytes`: send its events in several requests",
                    self.max_bytes
                ),
            ),
            Fault::Memory(_) => Problem::new(
                Kind::Overloaded,
                format!("{fault}: too many large requests at a time: send it again later"),
            )
            .retry_after(RETRY_AFTER),
        }
    }
}

/// Where the decompressed bytes go.
struct Sink {
    bytes: Vec<u8>,
    share: Share,
    state_bytes: usize,
    first: usize,
    /// The body is not expected to be longer.
    expected: usize,
    max_bytes: usize,
}

impl Sink {
    /// Takes all that `reader` has, and stops as soon as it is too much.
    async fn fill(&mut self, reader: &mut (impl AsyncRead + Unpin)) -> Result<(), Fault> {
        let mut since_yield = 0;
        loop {
            if self.bytes.len() == self.bytes.capacity() {
                self.make_room().await?;
            }
            let read = reader.read_buf(&mut (&mut self.bytes).limit(STEP_BYTES)).await?;
            if read == 0 {
                return Ok(());
            }
            if self.bytes.len() > self.max_bytes {
                return Err(Fault::TooLarge(self.max_bytes));
            }
            since_yield += read;
            if since_yield >= YIELD_BYTES {
                since_yield = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    /// Doubles the room, up to one byte more than expected, or allowed: that one shows that it is too
    /// much.
    async fn make_room(&mut self) -> Result<(), Fault> {
        let length = self.bytes.len();
        let most = if length <= self.expected { self.expected } else { self.max_bytes };
        let capacity = self.first.max(length.saturating_mul(2)).min(most + 1);
        self.share.grow(capacity + self.state_bytes).await?;
        self.bytes.reserve_exact(capacity - length);
        Ok(())
    }
}

async fn decode(
    encoding: Encoding,
    mut source: impl AsyncBufRead + Unpin,
    sink: &mut Sink,
) -> Result<(), Fault> {
    match encoding {
        Encoding::Identity => sink.fill(&mut source).await,
        Encoding::Gzip => {
            sink.make_room().await?;
            let mut decoder = GzipDecoder::new(&mut source);
            // RFC 1952, 2.2: several members stand for their contents in a row.
            decoder.multiple_members(true);
            sink.fill(&mut decoder).await?;
            expect_end(&mut source).await
        }
        Encoding::Zstd => {
            sink.make_room().await?;
            let limits = [DParameter::window_log_max(ZSTD_WINDOW_LOG)];
            let mut decoder = ZstdDecoder::with_params(&mut source, &limits);
            // RFC 8878, 3: several frames stand for their contents in a row.
            decoder.multiple_members(true);
            sink.fill(&mut decoder).await?;
            expect_end(&mut source).await
        }
        Encoding::Deflate => {
            sink.make_room().await?;
            let (head, zlib) = zlib_head(&mut source).await?;
            let mut source = Cursor::new(head).chain(source);
            if zlib {
                sink.fill(&mut ZlibDecoder::new(&mut source)).await?;
            } else {
                sink.fill(&mut DeflateDecoder::new(&mut source)).await?;
            }
            expect_end(&mut source).await
        }
    }
}

/// The first two bytes, and whether they are a zlib header (RFC 1950, 2.2): the method is 8 and
/// the two, read as a number, are a multiple of 31. No deflate stream from an encoder begins so.
async fn zlib_head(source: &mut (impl AsyncRead + Unpin)) -> Result<(Vec<u8>, bool), Fault> {
    let mut head = Vec::with_capacity(2);
    source.take(2).read_to_end(&mut head).await?;
    let zlib = match head.as_slice() {
        &[method, flags] => {
            method & 0x0f == 8 && u16::from_be_bytes([method, flags]).is_multiple_of(31)
        }
        _ => false,
    };
    Ok((head, zlib))
}

/// Refuses what follows the end of the compressed data: it would be lost without a word.
async fn expect_end(source: &mut (impl AsyncBufRead + Unpin)) -> Result<(), Fault> {
    if source.fill_buf().await?.is_empty() {
        Ok(())
    } else {
        Err(Fault::Corrupt("there are bytes after its end".to_owned()))
    }
}

#[cfg(test)]
mod tests;
