use std::io;
use std::task::Poll;

use async_compression::Level;
use async_compression::tokio::write::{DeflateEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use async_compression::zstd::CParameter;
use axum::body::Body;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::HeaderMap;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};

use super::*;

const MAX: usize = 1024 * 1024;

#[derive(Clone, Copy, Debug)]
enum Format {
    Plain,
    Gzip,
    Zlib,
    RawDeflate,
    Zstd,
}

const FORMATS: [Format; 5] =
    [Format::Plain, Format::Gzip, Format::Zlib, Format::RawDeflate, Format::Zstd];

impl Format {
    fn encoding(self) -> Encoding {
        match self {
            Self::Plain => Encoding::Identity,
            Self::Gzip => Encoding::Gzip,
            Self::Zlib | Self::RawDeflate => Encoding::Deflate,
            Self::Zstd => Encoding::Zstd,
        }
    }

    async fn encode(self, data: &[u8]) -> Vec<u8> {
        macro_rules! with {
            ($encoder:ident) => {{
                let mut encoder = $encoder::new(Vec::new());
                encoder.write_all(data).await.unwrap();
                encoder.shutdown().await.unwrap();
                encoder.into_inner()
            }};
        }
        match self {
            Self::Plain => data.to_vec(),
            Self::Gzip => with!(GzipEncoder),
            Self::Zlib => with!(ZlibEncoder),
            Self::RawDeflate => with!(DeflateEncoder),
            Self::Zstd => with!(ZstdEncoder),
        }
    }
}

fn upload(body: Body) -> Upload {
    Upload::new(&HeaderMap::new(), body)
}

fn in_chunks(wire: &[u8], size: usize) -> Upload {
    let chunks: Vec<_> =
        wire.chunks(size).map(|it| Ok::<_, io::Error>(Bytes::copy_from_slice(it))).collect();
    upload(Body::from_stream(stream::iter(chunks)))
}

async fn read(wire: &[u8], encoding: Encoding) -> Result<Vec<u8>, Problem> {
    let mut upload = in_chunks(wire, 64 * 1024);
    Ok(Reader::new(MAX).read(&mut upload, encoding, None).await?.bytes)
}

fn text(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b"abcdefgh \n"[usize::try_from(state >> 16).unwrap() % 10]
    };
    std::iter::repeat_with(&mut next).take(length).collect()
}

#[tokio::test]
async fn every_encoding_comes_back_whole_in_pieces_of_any_size() {
    let data = text(100_000);
    for format in FORMATS {
        let wire = format.encode(&data).await;
        for size in [1, 2, 3, 1000, wire.len()] {
            let reader = Reader::new(MAX);
            let mut upload = in_chunks(&wire, size);
            let loaded = reader.read(&mut upload, format.encoding(), None).await.unwrap();
            assert!(loaded.bytes == data, "{format:?} in pieces of {size}");
        }
    }
}

#[tokio::test]
async fn members_and_frames_in_a_row_are_all_read() {
    for format in [Format::Gzip, Format::Zstd] {
        let wire =
            [format.encode(b"one\n").await, format.encode(b"").await, format.encode(b"two").await];
        assert_eq!(read(&wire.concat(), format.encoding()).await.unwrap(), b"one\ntwo");
    }
}

#[tokio::test]
async fn a_body_cut_anywhere_is_refused() {
    let data = text(300);
    for format in [Format::Gzip, Format::Zlib, Format::RawDeflate, Format::Zstd] {
        let wire = format.encode(&data).await;
        let twice = [wire.clone(), wire.clone()].concat();
        for cut in 1..wire.len() {
            let outcome = read(&wire[..cut], format.encoding()).await;
            assert_eq!(outcome.unwrap_err().kind(), Kind::BrokenBody, "{format:?} cut at {cut}");
            let outcome = read(&twice[..wire.len() + cut], format.encoding()).await;
            assert_eq!(outcome.unwrap_err().kind(), Kind::BrokenBody, "{format:?} 2nd at {cut}");
        }
    }
}

#[tokio::test]
async fn bytes_after_the_end_and_damage_within_are_refused() {
    let data = text(3000);
    for format in [Format::Gzip, Format::Zlib, Format::RawDeflate, Format::Zstd] {
        let mut wire = format.encode(&data).await;
        wire.push(b'x');
        let outcome = read(&wire, format.encoding()).await;
        assert_eq!(outcome.unwrap_err().kind(), Kind::BrokenBody, "{format:?}");
        let outcome = read(b"{\"plain\": \"text\"}", format.encoding()).await;
        assert_eq!(outcome.unwrap_err().kind(), Kind::BrokenBody, "{format:?}");
    }
    // The checksum of gzip and of zlib.
    for format in [Format::Gzip, Format::Zlib] {
        let mut wire = format.encode(&data).await;
        let last = wire.len() - 5;
        wire[last + if matches!(format, Format::Gzip) { 0 } else { 2 }] ^= 1;
        let outcome = read(&wire, format.encoding()).await;
        assert_eq!(outcome.unwrap_err().kind(), Kind::BrokenBody, "{format:?}");
    }
}

#[tokio::test]
async fn the_limit_holds_after_decompression() {
    for format in FORMATS {
        let wire = format.encode(&vec![b' '; MAX]).await;
        assert_eq!(read(&wire, format.encoding()).await.unwrap().len(), MAX, "{format:?}");
        for bytes in [MAX + 1, 64 * MAX] {
            let wire = format.encode(&vec![0; bytes]).await;
            let problem = read(&wire, format.encoding()).await.unwrap_err();
            assert_eq!(problem.kind(), Kind::RequestTooLarge, "{format:?} of {bytes}");
        }
    }
    // Members that hold nothing would never reach it.
    let empty = Format::Gzip.encode(b"").await;
    let problem = read(&empty.repeat(2 * MAX / empty.len()), Encoding::Gzip).await.unwrap_err();
    assert_eq!(problem.kind(), Kind::RequestTooLarge);
}

#[tokio::test]
async fn a_length_above_the_limit_is_refused_before_anything_is_read() {
    let unread = Body::from_stream(stream::poll_fn(|_| -> Poll<Option<io::Result<Bytes>>> {
        panic!("the body was read");
    }));
    let length = u64::try_from(MAX).unwrap() + 1;
    let outcome =
        Reader::new(MAX).read(&mut upload(unread), Encoding::Identity, Some(length)).await;
    assert_eq!(outcome.unwrap_err().kind(), Kind::RequestTooLarge);
}

#[tokio::test]
async fn a_zstd_window_beyond_rfc_9659_is_refused() {
    for (log, fine) in [(23, true), (24, false)] {
        let window = [CParameter::window_log(log)];
        let mut encoder = ZstdEncoder::with_quality_and_params(Vec::new(), Level::Default, &window);
        encoder.write_all(b"1").await.unwrap();
        encoder.flush().await.unwrap();
        encoder.write_all(b"2").await.unwrap();
        encoder.shutdown().await.unwrap();
        let outcome = read(&encoder.into_inner(), Encoding::Zstd).await;
        assert_eq!(outcome.is_ok(), fine, "window of 2^{log}: {outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stands_still_or_trickles_is_refused() {
    for (pause_seconds, refused_after) in [(11, 10), (5, 60)] {
        let trickle = stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from_static(b" ")));
        let trickle = trickle.then(move |it| async move {
            sleep(Duration::from_secs(pause_seconds)).await;
            it
        });
        let start = Instant::now();
        let mut upload = upload(Body::from_stream(trickle));
        let outcome = Reader::new(MAX).read(&mut upload, Encoding::Identity, None).await;
        assert_eq!(outcome.unwrap_err().kind(), Kind::SlowBody);
        assert_eq!(start.elapsed().as_secs(), refused_after);
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let parts = [Ok(Bytes::from_static(b"1")), Err(io::Error::other("reset"))];
    let mut upload = upload(Body::from_stream(stream::iter(parts)));
    let outcome = Reader::new(MAX).read(&mut upload, Encoding::Identity, Some(2)).await;
    assert_eq!(outcome.unwrap_err().kind(), Kind::BrokenBody);
}

#[tokio::test]
async fn a_body_takes_memory_for_what_it_holds_and_gives_it_back() {
    let reader = Reader::new(MAX);
    let before = reader.pool.free_bytes();
    let wire = Format::Zstd.encode(&text(100_000)).await;
    let loaded = reader.read(&mut in_chunks(&wire, 999), Encoding::Zstd, None).await.unwrap();
    let held = before - reader.pool.free_bytes();
    assert!((100_000..300_000).contains(&held), "{held} bytes");
    drop(loaded);
    assert_eq!(reader.pool.free_bytes(), before);
}

#[tokio::test]
async fn a_body_is_whole_whether_it_is_there_at_once_or_not() {
    let data = text(1000);
    let at_once = || upload(Body::from(data.clone()));
    for mut upload in [at_once(), in_chunks(&data, 1000), in_chunks(&data, 999)] {
        let reader = Reader::new(MAX);
        let before = reader.pool.free_bytes();
        let loaded = reader.read(&mut upload, Encoding::Identity, Some(1000)).await.unwrap();
        assert!(loaded.bytes == data);
        assert_eq!(before - reader.pool.free_bytes(), 1024, "its share");
        drop(loaded);
        assert_eq!(reader.pool.free_bytes(), before);
    }
    // As HTTP/2 may have it, where the length is what somebody says.
    for announced in [1, 999, 1001] {
        let mut upload = at_once();
        let loaded = Reader::new(MAX).read(&mut upload, Encoding::Identity, Some(announced)).await;
        assert!(loaded.unwrap().bytes == data, "{announced} announced");
    }
    assert!(at_once().at_once(1000).await.is_some(), "what is there takes no timer");
    let mut read = at_once();
    assert!(read.at_once(1001).await.is_none());
    let outcome = Reader::new(999).read(&mut read, Encoding::Identity, None).await;
    assert_eq!(outcome.unwrap_err().kind(), Kind::RequestTooLarge, "what was looked at counts");
}
