//! Whether what S3 holds under a key is the object that was delivered.

use std::io::{self, BufReader, Read};

use flate2::bufread::GzDecoder;
use model::Digest;
use store::Head;
use wal::inspect::ReceiptRow;

/// What is read from S3, and what is decompressed, at a time.
const BUFFER_BYTES: usize = 64 * 1024;

const CONTENT_TYPE: &str = "application/gzip";

/// What the answer's headers say that does not fit the receipt.
pub(crate) fn head(head: &Head, receipt: &ReceiptRow) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Some(length) = head.length.filter(|length| *length != receipt.bytes) {
        wrong.push(format!("it has {length} bytes, not {}", receipt.bytes));
    }
    if let Some(found) = head.content_type.as_deref().filter(|found| *found != CONTENT_TYPE) {
        wrong.push(format!("its Content-Type is {}", quoted(found)));
    }
    for (name, expected) in [
        ("minutelog-minute", receipt.minute.to_string()),
        ("minutelog-events", receipt.events.to_string()),
        ("minutelog-blake3", receipt.lines_digest.to_string()),
    ] {
        match head.metadata.get(name) {
            Some(found) if *found == expected => {}
            Some(found) => wrong.push(format!("its {name} is {}, not {expected}", quoted(found))),
            None => wrong.push(format!("it has no {name}")),
        }
    }
    wrong
}

/// Whether the object was written again since, by its `ETag`. Of the same bytes that is no fault: a
/// copy within S3 gives them a new one.
pub(crate) fn is_rewritten(head: &Head, receipt: &ReceiptRow) -> bool {
    let bare = |etag: &str| etag.trim_matches('"').to_owned();
    match (&head.etag, &receipt.etag) {
        (Some(found), Some(expected)) => bare(found) != bare(expected),
        _ => false,
    }
}

/// What the bytes say that does not fit the receipt. An error is one of `bytes`, and no verdict.
pub(crate) fn body(bytes: impl Read, receipt: &ReceiptRow) -> io::Result<Vec<String>> {
    let counted = Counted { inner: bytes, bytes: 0, crc32: crc32fast::Hasher::new(), broken: None };
    let mut source = BufReader::with_capacity(BUFFER_BYTES, counted);
    let mut gzip = GzDecoder::new(&mut source);
    let mut lines = Lines::default();
    let unpacked = lines.read(&mut gzip, receipt.lines_bytes);
    drop(gzip);
    if let Some(error) = source.get_mut().broken.take() {
        return Err(error);
    }
    let mut wrong = Vec::new();
    match unpacked {
        Err(error) => wrong.push(format!("it is not whole gzip: {error}")),
        Ok(Ending::TooLong) => wrong.push(format!("it has more than {} lines", receipt.events)),
        Ok(Ending::Whole) => {
            if lines.count != receipt.events {
                wrong.push(format!("it has {} lines, not {}", lines.count, receipt.events));
            }
            if Digest::from(lines.hasher.finalize()) != receipt.lines_digest {
                wrong.push("its lines are others (BLAKE3)".to_owned());
            }
            if !source.buffer().is_empty() {
                wrong.push("something follows the gzip member".to_owned());
            }
        }
    }
    io::copy(&mut source, &mut io::sink())?;
    let Counted { bytes, crc32, .. } = source.into_inner();
    if bytes != receipt.bytes {
        wrong.push(format!("{bytes} bytes came, not {}", receipt.bytes));
    } else if crc32.finalize() != receipt.crc32 {
        wrong.push("its bytes have another CRC-32".to_owned());
    }
    Ok(wrong)
}

/// Foreign text, fit for one line of ours.
fn quoted(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    format!("{:?}", plain.take(80).collect::<String>())
}

/// How the lines ended.
enum Ending {
    Whole,
    TooLong,
}

/// Lines as they are decompressed: none of them is kept.
#[derive(Default)]
struct Lines {
    count: u64,
    bytes: u64,
    hasher: blake3::Hasher,
}

impl Lines {
    /// Reads to the end, or until there is more than there should be: a few bytes of gzip can be
    /// made to unpack to any length.
    fn read(&mut self, from: &mut impl Read, expected_bytes: u64) -> io::Result<Ending> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let length = from.read(&mut buffer)?;
            let Some(piece) = buffer.get(..length).filter(|piece| !piece.is_empty()) else {
                return Ok(Ending::Whole);
            };
            self.bytes += piece.len() as u64;
            if self.bytes > expected_bytes {
                return Ok(Ending::TooLong);
            }
            self.count += memchr::memchr_iter(b'\n', piece).count() as u64;
            self.hasher.update(piece);
        }
    }
}

/// Counts what is read, and keeps the error that ended it: to gzip it would look like damage.
struct Counted<R> {
    inner: R,
    bytes: u64,
    crc32: crc32fast::Hasher,
    broken: Option<io::Error>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Ok(length) => {
                self.bytes += length as u64;
                self.crc32.update(buffer.get(..length).unwrap_or_default());
                Ok(length)
            }
            Err(error) => {
                let told = io::Error::from(error.kind());
                self.broken = Some(error);
                Err(told)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use model::{Bucket, Identifier, Interval, Minute, ObjectKey, Prefix, UnixMillis};
    use std::io::Write as _;

    const LINES: &[u8] = b"{\"a\":1}\n\"two\"\n3\n";

    fn gzip(lines: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
        encoder.write_all(lines).unwrap();
        encoder.finish().unwrap()
    }

    fn receipt(bytes: &[u8]) -> ReceiptRow {
        let (bucket, prefix) = (Bucket::new("bucket").unwrap(), Prefix::new("p").unwrap());
        let destination = model::Destination::new(bucket.clone(), prefix.clone());
        let (digest, time) = (Digest::of(LINES), UnixMillis::from_seconds(1_795_342_505));
        let identifier = Identifier::derive(&destination, &digest, &[1; 32]);
        ReceiptRow {
            key: ObjectKey::new(&prefix, time, &identifier),
            bucket,
            prefix,
            etag: Some("\"etag\"".to_owned()),
            checksum: "none".to_owned(),
            events: 3,
            bytes: bytes.len() as u64,
            delivered_at: time,
            minute: Minute::containing(time, Interval::default()),
            already_there: false,
            crc32: crc32fast::hash(bytes),
            lines_bytes: LINES.len() as u64,
            lines_digest: digest,
        }
    }

    #[test]
    fn an_object_is_only_the_same_with_every_byte() {
        let bytes = gzip(LINES);
        let receipt = receipt(&bytes);
        assert_eq!(body(&*bytes, &receipt).unwrap(), Vec::<String>::new());
        for position in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[position] ^= 1;
            let wrong = body(&*flipped, &receipt).unwrap();
            assert!(wrong.iter().any(|what| what.contains("CRC-32")), "{position}: {wrong:?}");
        }
        for length in 0..bytes.len() {
            let wrong = body(&bytes[..length], &receipt).unwrap();
            assert!(wrong.iter().any(|what| what.contains("not whole gzip")), "{wrong:?}");
            assert!(wrong.iter().any(|what| what.contains("bytes came")), "{wrong:?}");
        }
    }

    #[test]
    fn whole_gzip_of_other_lines_is_told_by_what_differs() {
        let expected = receipt(&gzip(LINES));
        let wrong = |lines: &[u8]| body(&*gzip(lines), &expected).unwrap().join("; ");
        assert!(wrong(b"{\"a\":2}\n\"two\"\n3\n").contains("BLAKE3"));
        assert!(wrong(b"{\"a\":1}\n\"two\"\n").contains("2 lines, not 3"));
        assert!(wrong(&b"\n".repeat(1 << 20)).contains("more than 3 lines"));
        let twice = [gzip(LINES), gzip(b"")].concat();
        assert!(body(&*twice, &expected).unwrap().join("; ").contains("follows the gzip member"));
    }

    #[test]
    fn what_breaks_off_is_no_verdict() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken off"))
            }
        }
        let bytes = gzip(LINES);
        for length in 0..bytes.len() {
            let error = body(bytes[..length].chain(Broken), &receipt(&bytes)).unwrap_err();
            assert_eq!(error.to_string(), "broken off");
        }
    }

    #[test]
    fn headers_are_compared_as_far_as_they_are_there() {
        let receipt = receipt(&gzip(LINES));
        let metadata = [
            ("minutelog-minute", receipt.minute.to_string()),
            ("minutelog-events", "3".to_owned()),
            ("minutelog-blake3", receipt.lines_digest.to_string()),
        ];
        let whole = Head {
            length: Some(receipt.bytes),
            etag: Some("etag".to_owned()),
            content_type: Some(CONTENT_TYPE.to_owned()),
            metadata: metadata.map(|(name, value)| (name.to_owned(), value)).into(),
        };
        assert_eq!(head(&whole, &receipt), Vec::<String>::new());
        assert!(!is_rewritten(&whole, &receipt));
        assert!(is_rewritten(&Head { etag: Some("\"b\"".to_owned()), ..whole.clone() }, &receipt));
        let shorter = Head { length: Some(1), ..whole.clone() };
        assert!(head(&shorter, &receipt).join("").contains("it has 1 bytes"));
        let bare = Head { metadata: std::collections::HashMap::new(), ..whole };
        assert_eq!(head(&bare, &receipt).len(), 3);
    }
}
