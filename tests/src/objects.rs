//! The objects that stand in S3, each checked against CONTRACT §5 as it is read.

use std::collections::BTreeMap;
use std::io::Read as _;

use chrono::{DateTime, SecondsFormat};
use flate2::bufread::GzDecoder;
use ulid::Ulid;

use crate::s3::{S3Server, Stored, crc32};

/// `YYYY/MM/DD/HH/`, `YYYY-MM-DD-HH-MM-SS-`, 64 digits and `.gz`.
const KEY_TAIL_BYTES: usize = 14 + 20 + 64 + 3;

/// An object.
#[derive(Clone, Debug)]
pub struct Object {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The key's prefix, without a slash at its end.
    pub prefix: String,
    /// The minute that it names, as RFC 3339.
    pub minute: String,
    /// The events.
    pub lines: Vec<String>,
    /// The gzip bytes.
    pub size: usize,
    /// The checksum of those, as a receipt tells it.
    pub checksum: String,
    /// From how many parts it was uploaded; 0 for one put.
    pub parts: usize,
}

/// All objects of a server.
#[derive(Clone, Debug)]
pub struct Objects(pub Vec<Object>);

impl Objects {
    /// Reads and checks everything that is stored.
    pub fn read(server: &S3Server) -> Self {
        Self(server.stored().iter().map(Object::read).collect())
    }

    /// Those of one destination, by minute.
    pub fn of(&self, bucket: &str, prefix: &str) -> Vec<&Object> {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let mut found: Vec<&Object> = self.0.iter().collect();
        found.retain(|object| object.bucket == bucket && object.prefix == prefix);
        found.sort_by(|a, b| (&a.minute, &a.key).cmp(&(&b.minute, &b.key)));
        found
    }

    /// The lines of one destination, minute by minute.
    pub fn lines(&self, bucket: &str, prefix: &str) -> Vec<&str> {
        let objects = self.of(bucket, prefix);
        objects.into_iter().flat_map(|object| object.lines.iter().map(String::as_str)).collect()
    }

    /// Asserts that each destination has one object a minute at most.
    #[track_caller]
    pub fn assert_one_per_minute(&self) {
        let mut seen = BTreeMap::new();
        for object in &self.0 {
            let place = (&object.bucket, &object.prefix, &object.minute);
            if let Some(other) = seen.insert(place, &object.key) {
                panic!("two objects for {place:?}: {other} and {}", object.key);
            }
        }
    }
}

impl Object {
    fn read(stored: &Stored) -> Self {
        let key = &stored.key;
        let prefix = key_prefix(key).unwrap_or_else(|| panic!("{key} has not the contract's form"));
        assert_eq!(stored.content_type.as_deref(), Some("application/gzip"), "{key}");
        let bytes = &**stored.bytes;
        let mut gzip = GzDecoder::new(bytes);
        let mut lines = Vec::new();
        gzip.read_to_end(&mut lines).unwrap_or_else(|error| panic!("{key}: not gzip: {error}"));
        assert!(gzip.into_inner().is_empty(), "{key} has more than one gzip member");
        assert_eq!(lines.last(), Some(&b'\n'), "{key} does not end with a line's end");
        let metadata = |name: &str| {
            let value = stored.metadata.get(name);
            value.unwrap_or_else(|| panic!("{key} has no {name}")).clone()
        };
        let digest = blake3::hash(&lines).to_hex().to_string();
        assert_eq!(metadata("minutelog-blake3"), digest, "{key}");
        let text = String::from_utf8(lines).unwrap_or_else(|error| panic!("{key}: {error}"));
        let lines: Vec<String> = text.split_terminator('\n').map(str::to_owned).collect();
        assert_eq!(metadata("minutelog-events"), lines.len().to_string(), "{key}");
        let minute = metadata("minutelog-minute");
        assert!(DateTime::parse_from_rfc3339(&minute).is_ok(), "{key} is of minute {minute}");
        Self {
            bucket: stored.bucket.clone(),
            key: key.clone(),
            prefix: prefix.to_owned(),
            minute,
            lines,
            size: bytes.len(),
            checksum: format!("crc32:{}", crc32(bytes)),
            parts: stored.parts,
        }
    }
}

/// The prefix of a key, without its slash; `None` where the key has another form than
/// `[PREFIX/]YYYY/MM/DD/HH/YYYY-MM-DD-HH-MM-SS-IDENTIFIER.gz`, with the same time in folder and
/// name.
fn key_prefix(key: &str) -> Option<&str> {
    let (prefix, tail) = key.split_at_checked(key.len().checked_sub(KEY_TAIL_BYTES)?)?;
    let shape = "dddd/dd/dd/dd/dddd-dd-dd-dd-dd-dd-";
    let (times, rest) = tail.split_at_checked(shape.len())?;
    let fits = |(byte, form): (u8, u8)| match form {
        b'd' => byte.is_ascii_digit(),
        separator => byte == separator,
    };
    let (folder, name) = times.split_at_checked("dddd/dd/dd/dd/".len())?;
    let same_hour = name.starts_with(&folder.trim_end_matches('/').replace('/', "-"));
    let identifier = rest.strip_suffix(".gz")?;
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let sound = times.bytes().zip(shape.bytes()).all(fits)
        && same_hour
        && identifier.len() == 64
        && identifier.bytes().all(is_hex);
    match prefix {
        _ if !sound => None,
        "" => Some(""),
        prefix => prefix.strip_suffix('/'),
    }
}

/// When the event with this id was accepted, in milliseconds since 1970.
pub fn time_of(id: &str) -> u64 {
    Ulid::from_string(id).unwrap_or_else(|error| panic!("{id} is no ULID: {error}")).timestamp_ms()
}

/// The minute of an id, as RFC 3339, where minutes have so many seconds.
pub fn minute_of(id: &str, seconds: u64) -> String {
    let start = time_of(id) / 1000 / seconds * seconds;
    let start = i64::try_from(start).ok().and_then(|start| DateTime::from_timestamp(start, 0));
    start.expect("ids are of our time").to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The run of an id, as in the names of directories.
pub fn run_of(id: &str) -> String {
    let id = Ulid::from_string(id).unwrap_or_else(|error| panic!("{id} is no ULID: {error}"));
    format!("{:012x}", id.random() >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_contract_are_told_from_others() {
        let name = "2019/05/25/16/2019-05-25-16-14-58-8f25b54462bf6eeac3ee8bde512b6c59654c454356e808167a01c43ebe4ee919.gz";
        assert_eq!(key_prefix(name), Some(""));
        assert_eq!(key_prefix(&format!("a/b/{name}")), Some("a/b"));
        for bad in [
            format!("a{name}"),
            name.replace("/16/", "/17/"),
            name.replace("8f25", "8F25"),
            name.replace(".gz", ".gzip"),
            "x.gz".to_owned(),
        ] {
            assert_eq!(key_prefix(&bad), None, "{bad}");
        }
    }

    #[test]
    fn an_id_tells_its_minute() {
        let id = Ulid::from_parts(1_795_342_517_999, 7).to_string();
        assert_eq!(minute_of(&id, 60), "2026-11-22T10:15:00Z");
        assert_eq!(minute_of(&id, 1), "2026-11-22T10:15:17Z");
        assert_eq!(run_of(&Ulid::from_parts(1, (0xab << 32) | 7).to_string()), "0000000000ab");
    }
}
