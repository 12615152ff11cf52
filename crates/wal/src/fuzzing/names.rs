//! Names: directories, ids, minutes, destinations, keys, the format.

use std::fmt::{Debug, Display};
use std::fs;
use std::str::FromStr;

use model::{
    Bucket, Destination, Digest, EventId, EventName, Identifier, Interval, Minute, ObjectKey,
    Prefix, RunId, UnixMillis,
};

use crate::fuzzing::files::in_directory;
use crate::layout::{DataDir, FORMAT_VERSION, PartName, RunName};

/// S3's limit on a key, in bytes of UTF-8.
const MAX_KEY_BYTES: usize = 1024;

/// The input is a text. As whatever it is accepted, it prints as that text; nothing but the one
/// format is taken for it.
pub fn names(data: &[u8]) {
    format(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    same(RunName::parse(text), text);
    same(PartName::parse(text), text);
    same(Minute::from_name(text).ok().map(Minute::to_name), text);
    same(RunId::from_str(text).ok(), text);
    same(Digest::from_str(text).ok(), text);
    same(ObjectKey::from_str(text).ok(), text);
    same(Bucket::new(text).ok(), text);
    same(EventName::new(text).ok(), text);
    // One slash at the end makes no difference.
    same(Prefix::new(text).ok(), text.strip_suffix('/').unwrap_or(text));
    // Several texts stand for one id, and one length of a minute.
    read_again(EventId::from_str(text).ok());
    read_again(Interval::from_str(text).ok());
    if let Ok(prefix) = Prefix::new(text) {
        keys(&prefix);
    }
}

fn same<T: Display>(parsed: Option<T>, text: &str) {
    if let Some(parsed) = parsed {
        assert_eq!(parsed.to_string(), text);
    }
}

fn read_again<T: Display + Debug + FromStr + PartialEq>(parsed: Option<T>) {
    if let Some(parsed) = parsed {
        assert_eq!(parsed.to_string().parse::<T>().ok(), Some(parsed));
    }
}

/// Every prefix that is accepted makes keys that S3 takes and that are read back.
fn keys(prefix: &Prefix) {
    let bucket = Bucket::new("bucket").expect("it is a bucket's name");
    let destination = Destination::new(bucket, prefix.clone());
    let identifier = Identifier::derive(&destination, &Digest::of(b""), &[0; 32]);
    let key = ObjectKey::new(prefix, UnixMillis::MAX, &identifier);
    assert!(key.as_str().len() <= MAX_KEY_BYTES, "{key}");
    assert!(key.as_str().split('/').all(|segment| !matches!(segment, "" | "." | "..")), "{key}");
    let key = ObjectKey::new(prefix, UnixMillis::new(1_795_342_561_000), &identifier);
    assert_eq!(key.as_str().parse(), Ok(key.clone()));
}

fn format(data: &[u8]) {
    in_directory(|dir| {
        fs::write(dir.join("format"), data).expect("the file system takes it");
        let taken = DataDir::at(dir).check_format().is_ok();
        assert_eq!(taken, data == format!("minutelog {FORMAT_VERSION}\n").as_bytes());
    });
}
