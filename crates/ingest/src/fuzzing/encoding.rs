//! Compressed bodies.

use std::cell::RefCell;
use std::io;

use async_compression::tokio::write::{DeflateEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::HeaderMap;
use tokio::io::AsyncWriteExt;
use tokio::runtime::{Builder, Runtime};

use crate::body::Reader;
use crate::content::Encoding;
use crate::fuzzing::assert_refusal;
use crate::problem::Problem;
use crate::source::Upload;

/// The limit on a body after decompression.
const MAX_BYTES: usize = 64 * 1024;

/// The four first bytes of the input say how the rest is encoded, in which pieces it comes, and
/// where it is changed. However it is cut, the outcome is the same, and within the limit. What was
/// compressed comes out as it was; of a gzip body a changed byte never makes another.
pub fn encoding(data: &[u8]) {
    let Some((&[encoding, piece, at, flip], body)) = data.split_first_chunk::<4>() else { return };
    let encoding = match encoding % 4 {
        0 => Encoding::Identity,
        1 => Encoding::Gzip,
        2 => Encoding::Deflate,
        _ => Encoding::Zstd,
    };
    let outcome = read(encoding, body, body.len());
    // In other words, perhaps: what a decoder complains of depends on how far it has come.
    let known = |outcome: &Result<Vec<u8>, Problem>| outcome.clone().map_err(|it| it.kind());
    assert_eq!(known(&outcome), known(&read(encoding, body, usize::from(piece))));
    match &outcome {
        Ok(bytes) => {
            assert!(bytes.len() <= MAX_BYTES);
            assert!(encoding != Encoding::Identity || bytes == body);
        }
        Err(problem) => assert_refusal(problem),
    }
    for mut wire in compressed(encoding, body) {
        assert_eq!(read(encoding, &wire, wire.len()).as_deref(), Ok(body));
        let at = usize::from(at) * wire.len() / 256;
        if let Some(byte) = wire.get_mut(at) {
            *byte ^= flip.max(1);
            let changed = read(encoding, &wire, wire.len());
            let kept =
                encoding != Encoding::Gzip || changed.is_err() || changed.as_deref() == Ok(body);
            assert!(kept, "a changed byte made another body");
        }
    }
}

fn block_on<F: Future>(work: F) -> F::Output {
    thread_local! {
        static RUNTIME: RefCell<Runtime> = RefCell::new(
            Builder::new_current_thread().enable_time().build().expect("it needs no file"),
        );
    }
    RUNTIME.with_borrow(|runtime| runtime.block_on(work))
}

fn read(encoding: Encoding, wire: &[u8], piece: usize) -> Result<Vec<u8>, Problem> {
    let pieces: Vec<_> = wire
        .chunks(piece.max(1))
        .map(|piece| Ok::<_, io::Error>(Bytes::copy_from_slice(piece)))
        .collect();
    let mut upload = Upload::new(&HeaderMap::new(), Body::from_stream(stream::iter(pieces)));
    let reader = Reader::new(MAX_BYTES);
    block_on(reader.read(&mut upload, encoding, None)).map(|loaded| loaded.bytes)
}

/// The body in each format that the encoding stands for.
fn compressed(encoding: Encoding, body: &[u8]) -> Vec<Vec<u8>> {
    macro_rules! with {
        ($encoder:ident) => {
            block_on(async {
                let mut encoder = $encoder::new(Vec::new());
                encoder.write_all(body).await.expect("a Vec takes every byte");
                encoder.shutdown().await.expect("a Vec takes every byte");
                encoder.into_inner()
            })
        };
    }
    match encoding {
        Encoding::Identity => Vec::new(),
        Encoding::Gzip => vec![with!(GzipEncoder)],
        Encoding::Deflate => vec![with!(ZlibEncoder), with!(DeflateEncoder)],
        Encoding::Zstd => vec![with!(ZstdEncoder)],
    }
}
