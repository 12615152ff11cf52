//! `[[stream]]` and `[[access_key]]`: what senders of Firehose's records may name, and with which keys
//! they sign.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use model::{Bucket, Destination, Prefix};
use serde::de;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::place::{ConfigError, Places};
use super::s3::Secret;
use super::{AuthMode, Config, RateConfig};

/// A secret that is shorter can be found by trying, from one signed request.
const MIN_SECRET_BYTES: usize = 16;
/// AWS's own have 40 characters; a file that is larger is another one.
const MAX_SECRET_BYTES: usize = 1024;

/// `[[stream]]`: a name for a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamConfig {
    /// What senders call it: their `DeliveryStreamName`.
    pub(crate) name: StreamName,
    /// The bucket that its records go to.
    pub(crate) bucket: Bucket,
    /// Their prefix. Default none.
    #[serde(default)]
    pub(crate) prefix: Prefix,
    /// What stands behind each record. Default `newline`.
    #[serde(default)]
    pub(crate) delimiter: Delimiter,
}

/// What stands behind each record in an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Delimiter {
    /// A newline, as behind each event.
    #[default]
    Newline,
}

impl<'de> Deserialize<'de> for Delimiter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "newline" => Ok(Self::Newline),
            "none" => Err(de::Error::custom(
                "\"none\": records are never joined without a newline, for nothing in the object would tell where one ends: give \"newline\", or leave it out",
            )),
            _ => Err(de::Error::custom(format!(
                "{text:?} is no delimiter: give \"newline\", or leave it out"
            ))),
        }
    }
}

/// `[[access_key]]`: a key that senders sign with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccessKeyConfig {
    /// What it is known by: the senders' `AWS_ACCESS_KEY_ID`.
    pub(crate) id: AccessKeyId,
    /// What its holder signs with: the senders' `AWS_SECRET_ACCESS_KEY`. This or `secret_file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<Secret>,
    /// A file that has the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret_file: Option<PathBuf>,
    /// The streams that it reaches; at least one pattern.
    pub(crate) allow: Vec<StreamPattern>,
    /// What all that sign with it may do in a minute, together; each key beats `[ingest.limits]`.
    #[serde(default, skip_serializing_if = "RateConfig::is_none")]
    pub(crate) limits: RateConfig,
}

/// The name of a stream. Shown as it was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamName(ingest::StreamName);

/// The id of an access key: 1 to 128 letters, digits and underscores, as AWS has them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct AccessKeyId(String);

/// Streams that an access key reaches, as ingest reads them. Shown as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamPattern {
    pattern: ingest::StreamPattern,
    text: String,
}

impl StreamConfig {
    /// A stream of this name, which ends at the prefix of the same name.
    #[cfg(feature = "embedded")]
    pub(crate) fn new(name: &str, bucket: Bucket) -> Option<Self> {
        let prefix = Prefix::new(name).ok()?;
        let name = StreamName(ingest::StreamName::new(name).ok()?);
        Some(Self { name, bucket, prefix, delimiter: Delimiter::Newline })
    }

    /// The same as ingest knows it.
    pub(crate) fn stream(&self) -> ingest::Stream {
        let destination = Destination::new(self.bucket.clone(), self.prefix.clone());
        ingest::Stream { name: self.name.0.clone(), destination }
    }
}

impl AccessKeyConfig {
    /// The same as ingest knows it; `defaults` are the limits of all keys. Reads the secret's file.
    pub(crate) fn access_key(&self, defaults: &RateConfig) -> Result<ingest::AccessKey, String> {
        Ok(ingest::AccessKey {
            id: self.id.0.clone(),
            secret: self.read_secret()?,
            allow: self.allow.iter().map(|it| it.pattern.clone()).collect(),
            limits: self.limits.or(defaults).rates(),
        })
    }

    fn read_secret(&self) -> Result<String, String> {
        match (&self.secret, &self.secret_file) {
            (Some(secret), _) => Ok(secret.reveal().to_owned()),
            (None, Some(path)) => read_file(path),
            (None, None) => Err("no secret".to_owned()),
        }
    }

    fn reaches(&self, stream: &StreamConfig) -> bool {
        self.allow.iter().any(|it| it.pattern.matches(stream.name.0.as_str()))
    }
}

/// The secret that is all of a file but for the line break at its end.
fn read_file(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| format!("{shown}: {error}: give a file that ingest can read"))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    check_secret(text).map_err(|why| format!("{shown}: {why}"))?;
    Ok(text.to_owned())
}

/// Says nothing of the secret itself.
fn check_secret(secret: &str) -> Result<(), String> {
    let visible = secret.bytes().all(|byte| byte.is_ascii_graphic());
    if visible && (MIN_SECRET_BYTES..=MAX_SECRET_BYTES).contains(&secret.len()) {
        return Ok(());
    }
    Err(format!(
        "no secret: give {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} visible ASCII characters, as `openssl rand -hex 20` makes them"
    ))
}

/// Checks streams and keys; reads no file.
pub(super) fn check(config: &Config, places: &Places) -> Result<(), ConfigError> {
    let mut names = BTreeMap::new();
    for (number, stream) in config.streams.iter().enumerate() {
        if names.insert(&stream.name, number).is_some() {
            let why = format!("a second stream {}: give each its own name", stream.name);
            return Err(places.refuse(&[&format!("stream[{number}].name")], why));
        }
    }
    let mut ids = BTreeMap::new();
    for (number, key) in config.access_keys.iter().enumerate() {
        let refuse = |keys: &[&str], why: &str| {
            let keys: Vec<_> = keys.iter().map(|it| format!("access_key[{number}].{it}")).collect();
            let keys: Vec<_> = keys.iter().map(String::as_str).collect();
            Err(places.refuse(&keys, why))
        };
        if ids.insert(&key.id, number).is_some() {
            return refuse(&["id"], "a second access key with this id: give each its own");
        }
        match (&key.secret, &key.secret_file) {
            (Some(secret), None) => {
                if let Err(why) = check_secret(secret.reveal()) {
                    return refuse(&["secret"], &why);
                }
            }
            (None, Some(path)) if path.as_os_str().is_empty() => {
                return refuse(&["secret_file"], "empty: name a file");
            }
            (None, Some(_)) => {}
            (Some(_), Some(_)) => {
                return refuse(&["secret_file", "secret"], "two secrets: give one of the two");
            }
            (None, None) => {
                return refuse(&["id"], "no secret: give `secret` or `secret_file`");
            }
        }
        if key.allow.is_empty() {
            let why = "empty, so it reaches nothing: name streams, as in \"orders\" or \"app-*\"";
            return refuse(&["allow"], why);
        }
    }
    Ok(())
}

/// Checks the files of secrets themselves.
pub(super) fn check_files(config: &Config, places: &Places) -> Result<(), ConfigError> {
    for (number, key) in config.access_keys.iter().enumerate() {
        key.read_secret()
            .map_err(|why| places.refuse(&[&format!("access_key[{number}].secret_file")], why))?;
    }
    Ok(())
}

impl Config {
    /// What of streams and access keys does not fit together, and so was hardly meant.
    pub(crate) fn stream_warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.ingest.auth == AuthMode::None {
            if !self.access_keys.is_empty() {
                let what = "access keys are not asked for: ingest.auth = \"none\" lets everybody send to every stream: set ingest.auth = \"tokens\", or leave them out";
                warnings.push(what.to_owned());
            }
            return warnings;
        }
        for stream in &self.streams {
            if !self.access_keys.iter().any(|key| key.reaches(stream)) {
                warnings.push(format!(
                    "nobody can send to the stream {}: no [[access_key]] reaches it: name it in an `allow`, or leave it out",
                    stream.name
                ));
            }
        }
        for key in &self.access_keys {
            for allow in &key.allow {
                let matches = |it: &StreamConfig| allow.pattern.matches(it.name.0.as_str());
                if !self.streams.iter().any(matches) {
                    warnings.push(format!(
                        "the access key {} may send to \"{}\", and there is no such [[stream]]: correct the one or the other",
                        key.id, allow.text
                    ));
                }
            }
        }
        warnings
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for StreamName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl<'de> Deserialize<'de> for StreamName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let named = ingest::StreamName::new(&text);
        named.map(Self).map_err(|error| de::Error::custom(format!("{text:?}: {error}")))
    }
}

impl Serialize for StreamPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for StreamPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match ingest::StreamPattern::parse(&text) {
            Ok(pattern) => Ok(Self { pattern, text }),
            Err(error) => Err(de::Error::custom(format!("{text:?}: {error}"))),
        }
    }
}

impl TryFrom<String> for AccessKeyId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if (1..=128).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text))
        } else {
            // The text itself stays out of the message: it may be a secret put here by mistake.
            Err("no id of an access key: give 1 to 128 letters, digits and underscores".to_owned())
        }
    }
}

impl fmt::Display for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
