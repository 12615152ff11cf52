//! Values of the configuration that check themselves when they are read.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// A number of bytes, written as `"10GiB"`, `"1MiB"`, `"500kB"` or as a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ByteCount(u64);

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

impl ByteCount {
    /// That many bytes.
    pub(crate) const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// That many times 2^20 bytes.
    pub(crate) const fn from_mib(count: u64) -> Self {
        Self(count * MIB)
    }

    /// That many times 2^30 bytes.
    pub(crate) const fn from_gib(count: u64) -> Self {
        Self(count * GIB)
    }

    /// The number.
    pub(crate) fn get(self) -> u64 {
        self.0
    }

    /// The number as a length in memory; more than memory can have becomes its maximum.
    pub(crate) fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// Exact: in the largest unit that divides it.
impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")]
            .into_iter()
            .find(|(unit, _)| self.0 >= *unit && self.0.is_multiple_of(*unit))
            .unwrap_or((1, "B"));
        write!(f, "{}{name}", self.0 / unit)
    }
}

impl FromStr for ByteCount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<ByteSize>() {
            // The parser makes too large a number the largest one; here it is refused.
            Ok(size) if i64::try_from(size.as_u64()).is_ok() => Ok(Self(size.as_u64())),
            Ok(_) => Err(format!("{text:?} is more bytes than there can be")),
            Err(_) => Err(format!("{text:?} is no size: write it as in \"10GiB\" or \"1MiB\"")),
        }
    }
}

impl Serialize for ByteCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match NumberOrText::read(deserializer, "a size such as \"1MiB\"")? {
            NumberOrText::Number(bytes) => Ok(Self(bytes)),
            NumberOrText::Text(text) => text.parse().map_err(de::Error::custom),
        }
    }
}

/// A length of time, written as `"7d"` or `"1h 30m"`. Shown as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    length: Duration,
    text: String,
}

impl Period {
    /// That many days of 24 hours.
    pub(crate) fn from_days(days: u64) -> Self {
        Self { length: Duration::from_secs(days * 24 * 60 * 60), text: format!("{days}d") }
    }

    /// That many minutes.
    pub(crate) fn from_minutes(minutes: u64) -> Self {
        Self { length: Duration::from_secs(minutes * 60), text: format!("{minutes}m") }
    }

    /// The length.
    pub(crate) fn as_duration(&self) -> Duration {
        self.length
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match humantime::parse_duration(&text) {
            Ok(length) => Ok(Self { length, text }),
            Err(_) => Err(de::Error::custom(format!(
                "{text:?} is no duration: write it as in \"7d\" or \"12h\""
            ))),
        }
    }
}

/// A level of log lines, or directives as in `info,flusher=debug`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LogLevel(String);

impl LogLevel {
    /// The log lines that a level or a list of directives stands for.
    pub(crate) fn parse(text: &str) -> Result<EnvFilter, String> {
        let refuse = |why: &str| {
            format!(
                "{text:?}: {why}: give off, error, warn, info, debug, trace or directives such as info,flusher=debug"
            )
        };
        // The parser takes a misspelt level for the name of a target, and turns all others off.
        for word in text.split(',').map(str::trim) {
            let is_level = !word.is_empty() && word.parse::<LevelFilter>().is_ok();
            if !is_level && !word.contains(['=', '[']) {
                return Err(refuse(&format!("{word:?} is no level")));
            }
        }
        EnvFilter::builder().parse(text).map_err(|error| refuse(&error.to_string()))
    }

    /// As it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for LogLevel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = Self::parse(&text).map(|_| Self(text));
        parsed.map_err(de::Error::custom)
    }
}

/// Reads the address of a listener.
pub(crate) fn listener<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = match NumberOrText::read(deserializer, "an IP address and a port in quotes")? {
        NumberOrText::Text(text) => text,
        NumberOrText::Number(port) => port.to_string(),
    };
    text.parse().map_err(|_| {
        de::Error::custom(format!(
            "{text:?} is no address to listen on: give an IP address and a port, as in \"127.0.0.1:9600\""
        ))
    })
}

/// How hard gzip tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GzipLevel {
    /// Always this level, 1 to 9.
    Fixed(u32),
    /// 6 while the flusher keeps up, faster levels while it is behind.
    Auto,
}

impl Default for GzipLevel {
    fn default() -> Self {
        Self::Fixed(6)
    }
}

impl Serialize for GzipLevel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fixed(level) => serializer.serialize_u32(*level),
            Self::Auto => serializer.serialize_str("auto"),
        }
    }
}

impl<'de> Deserialize<'de> for GzipLevel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match NumberOrText::read(deserializer, "a level from 1 to 9, or \"auto\"")? {
            NumberOrText::Number(level @ 1..=9) => {
                Ok(Self::Fixed(u32::try_from(level).unwrap_or(9)))
            }
            NumberOrText::Text(text) if text == "auto" => Ok(Self::Auto),
            NumberOrText::Number(other) => {
                Err(de::Error::custom(format!("{other} is no level: give 1 to 9, or \"auto\"")))
            }
            NumberOrText::Text(other) => {
                Err(de::Error::custom(format!("{other:?} is no level: give 1 to 9, or \"auto\"")))
            }
        }
    }
}

/// A TOML integer that is not negative, or a TOML string.
enum NumberOrText {
    Number(u64),
    Text(String),
}

impl NumberOrText {
    fn read<'de, D: Deserializer<'de>>(
        deserializer: D,
        expected: &'static str,
    ) -> Result<Self, D::Error> {
        struct Either(&'static str);

        impl Visitor<'_> for Either {
            type Value = NumberOrText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<NumberOrText, E> {
                u64::try_from(number)
                    .map(NumberOrText::Number)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<NumberOrText, E> {
                Ok(NumberOrText::Number(number))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<NumberOrText, E> {
                Ok(NumberOrText::Text(text.to_owned()))
            }
        }

        deserializer.deserialize_any(Either(expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_refused() {
        for good in ["info", "WARN", "off", "info,flusher=debug", "[span]=debug"] {
            assert!(LogLevel::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "warning",
            "verbose",
            "info,",
            "warn, s3s=info",
            "flusher",
            "info,flusher",
            "flusher=loud",
        ] {
            let why = LogLevel::parse(bad).unwrap_err();
            assert!(why.contains("info,flusher=debug"), "{bad}: {why}");
        }
    }

    #[test]
    fn sizes_read_back_as_they_are_written() {
        for (text, bytes) in [
            ("10GiB", 10 * GIB),
            ("1MiB", MIB),
            ("1536KiB", 1536 * KIB),
            ("1000000B", 1_000_000),
            ("0B", 0),
        ] {
            assert_eq!(text.parse(), Ok(ByteCount(bytes)));
            assert_eq!(ByteCount(bytes).to_string(), text);
        }
        assert_eq!("1kB".parse(), Ok(ByteCount(1000)));
        for bad in ["", "GiB", "1 bushel", "-1", "99999999EiB"] {
            assert!(bad.parse::<ByteCount>().is_err(), "{bad}");
        }
    }
}
