//! The names of objects in S3.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::UnixMillis;
use crate::destination::{Destination, Prefix};
use crate::digest::Digest;

/// What makes a key unique for ever: 64 lower-case hex digits.
///
/// It is derived from the content, and from a random nonce of the seal as well: the same events
/// sent twice, or on two machines, never meet in one key. That is what lets a `412` to our own
/// conditional put be read as "this seal's object is there already".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identifier(Digest);

impl Identifier {
    /// Derives the identifier of one object.
    ///
    /// `lines` is the digest of the uncompressed lines, `nonce` 32 random bytes drawn for the seal.
    pub fn derive(destination: &Destination, lines: &Digest, nonce: &[u8; 32]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("minutelog 2026-11-22 object identifier");
        hasher.update(nonce);
        hasher.update(lines.as_bytes());
        hasher.update(destination.to_string().as_bytes());
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The key of an object:
/// `[PREFIX/]YYYY/MM/DD/HH/YYYY-MM-DD-HH-MM-SS-IDENTIFIER.gz`, where the time is UTC and that of
/// the seal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectKey(Box<str>);

/// Why a text is not the key of an object of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an object key has the form [PREFIX/]YYYY/MM/DD/HH/YYYY-MM-DD-HH-MM-SS-IDENTIFIER.gz")]
pub struct ObjectKeyError;

/// `YYYY/MM/DD/HH/` and `YYYY-MM-DD-HH-MM-SS-`, 64 digits and `.gz`.
const KEY_TAIL_BYTES: usize = 14 + 20 + 64 + 3;

impl ObjectKey {
    /// The key of the object sealed at `sealed_at` under `prefix`.
    pub fn new(prefix: &Prefix, sealed_at: UnixMillis, identifier: &Identifier) -> Self {
        let time = sealed_at.to_datetime();
        let folder = time.format("%Y/%m/%d/%H");
        let name = time.format("%Y-%m-%d-%H-%M-%S");
        let key = if prefix.is_empty() {
            format!("{folder}/{name}-{identifier}.gz")
        } else {
            format!("{prefix}/{folder}/{name}-{identifier}.gz")
        };
        Self(key.into())
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ObjectKey {
    type Err = ObjectKeyError;

    fn from_str(text: &str) -> Result<Self, ObjectKeyError> {
        let start = text.len().checked_sub(KEY_TAIL_BYTES).ok_or(ObjectKeyError)?;
        let (prefix, tail) = text.split_at_checked(start).ok_or(ObjectKeyError)?;
        if !prefix.is_empty() && (!prefix.ends_with('/') || Prefix::new(prefix).is_err()) {
            return Err(ObjectKeyError);
        }
        let shape = "dddd/dd/dd/dd/dddd-dd-dd-dd-dd-dd-";
        let (time, rest) = tail.split_at_checked(shape.len()).ok_or(ObjectKeyError)?;
        let fits = |(byte, form): (u8, u8)| match form {
            b'd' => byte.is_ascii_digit(),
            separator => byte == separator,
        };
        let identifier = rest.strip_suffix(".gz").ok_or(ObjectKeyError)?;
        if !time.bytes().zip(shape.bytes()).all(fits) || identifier.parse::<Digest>().is_err() {
            return Err(ObjectKeyError);
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for ObjectKey {
    type Error = ObjectKeyError;

    fn try_from(text: String) -> Result<Self, ObjectKeyError> {
        text.parse()
    }
}

impl From<ObjectKey> for String {
    fn from(key: ObjectKey) -> Self {
        key.0.into()
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str = "test/2019/05/25/16/2019-05-25-16-14-58-8f25b54462bf6eeac3ee8bde512b6c59654c454356e808167a01c43ebe4ee919.gz";

    fn identifier(digits: &str) -> Identifier {
        Identifier(digits.parse().unwrap())
    }

    #[test]
    fn the_key_of_the_contract_comes_out_to_the_letter() {
        let id = identifier("8f25b54462bf6eeac3ee8bde512b6c59654c454356e808167a01c43ebe4ee919");
        let time = UnixMillis::from_seconds(1_558_800_898);
        let key = ObjectKey::new(&Prefix::new("test/").unwrap(), time, &id);
        assert_eq!(key.as_str(), SEED);
        assert_eq!(SEED.parse::<ObjectKey>(), Ok(key));
        let longest = ObjectKey::new(&Prefix::new(&"p".repeat(512)).unwrap(), time, &id);
        assert_eq!(longest.as_str().parse::<ObjectKey>(), Ok(longest));
        let top = ObjectKey::new(&Prefix::default(), time, &id);
        assert_eq!(top.as_str(), SEED.strip_prefix("test/").unwrap());
        assert_eq!(top.as_str().parse::<ObjectKey>(), Ok(top));
    }

    #[test]
    fn other_texts_are_not_keys() {
        for bad in
            ["", "x.gz", &SEED.replace("test/", "/"), &SEED.replace(".gz", ".gx"), &SEED[1..20]]
        {
            assert_eq!(bad.parse::<ObjectKey>(), Err(ObjectKeyError), "{bad}");
        }
    }

    #[test]
    fn identifiers_differ_by_nonce_destination_and_content() {
        let destination = Destination::parse("bucket", "p").unwrap();
        let lines = Digest::of(b"a\n");
        let id = Identifier::derive(&destination, &lines, &[0; 32]);
        assert_eq!(id, Identifier::derive(&destination, &lines, &[0; 32]));
        assert_ne!(id, Identifier::derive(&destination, &lines, &[1; 32]));
        assert_ne!(id, Identifier::derive(&destination, &Digest::of(b"b\n"), &[0; 32]));
        let other = Destination::parse("bucket", "q").unwrap();
        assert_ne!(id, Identifier::derive(&other, &lines, &[0; 32]));
    }
}
