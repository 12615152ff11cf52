//! Compressed bodies that are not what they say.

use std::io::Read as _;

use flate2::Compression;
use flate2::read::{DeflateEncoder, GzEncoder};
use tests::{Client, Objects, Setup, Site};

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    GzEncoder::new(body, Compression::best()).read_to_end(&mut bytes).unwrap();
    bytes
}

fn post(client: &Client, encoding: &str, body: Vec<u8>) -> tests::Answer {
    client.post("/v1/s3/my-bucket?prefix=p", Some("text/plain"), Some(encoding), body)
}

#[test]
fn what_cannot_be_decompressed_is_refused_whole() {
    let site = Site::with(&Setup::long_minute());
    let ingest = site.ingest();
    let client = ingest.client();
    let good = gzip(b"one\ntwo\n");
    let cut = good[..good.len() - 3].to_vec();
    let mut flipped = good.clone();
    let middle = flipped.len() - 6;
    flipped[middle] ^= 1;
    let more = [good.as_slice(), b"more"].concat();
    for bad in [cut, flipped, more, b"no gzip".to_vec()] {
        post(&client, "gzip", bad).problem(400, "broken-body");
    }
    for encoding in ["deflate", "zstd"] {
        post(&client, encoding, b"\x28\xb5\x2f\xfd nothing".to_vec()).problem(400, "broken-body");
    }
    // RFC 1952: members in a row stand for their contents in a row.
    assert_eq!(post(&client, "gzip", [gzip(b"1\n"), gzip(b"2\n")].concat()).json()["accepted"], 2);
    // The bare deflate that some clients send.
    let mut bare = Vec::new();
    DeflateEncoder::new(&b"3\n"[..], Compression::best()).read_to_end(&mut bare).unwrap();
    assert_eq!(post(&client, "deflate", bare).json()["accepted"], 1);

    // 64 MiB of zeros in some KiB.
    let bomb = gzip(&vec![0; 64 * 1024 * 1024]);
    post(&client, "gzip", bomb).problem(413, "request-too-large");
    let bomb = zstd::stream::encode_all(&*vec![0; 64 * 1024 * 1024], 1).unwrap();
    post(&client, "zstd", bomb).problem(413, "request-too-large");

    assert_eq!(ingest.terminate(), Some(0));
    site.flush_once().exits(0);
    assert_eq!(Objects::read(&site.s3).lines("my-bucket", "p"), ["1", "2", "3"]);
}
