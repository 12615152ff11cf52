//! Where a value of the configuration comes from: file and line, environment, or default.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::redact::redacted;

/// Why the configuration is refused: the place, the key and the reason. Shown without secrets that
/// stand in the wrong place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{place}: {}{}",
    key.as_ref().map(|key| format!("{}: ", redacted(key))).unwrap_or_default(),
    redacted(why)
)]
pub(crate) struct ConfigError {
    pub(crate) place: Place,
    /// As in `ingest.listen` or `token[0].hash`; `None` where the file as a whole is meant.
    pub(crate) key: Option<String>,
    /// What is wrong, and after a colon what to do.
    pub(crate) why: String,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A line of the file, from 1.
    Line(PathBuf, usize),
    /// The file as a whole.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// A flag of the command line.
    Flag(&'static str),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(path, line) => write!(f, "{}:{line}", path.display()),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "{name}"),
            Self::Default => f.write_str("configuration"),
        }
    }
}

/// Where each key that was given was given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(BTreeMap<String, Place>);

impl Places {
    /// The places of all keys of a file.
    pub(crate) fn of_file(path: &Path, index: &KeyIndex) -> Self {
        let place = |entry: &Entry| Place::Line(path.to_owned(), entry.line);
        Self(index.0.iter().map(|entry| (entry.path.clone(), place(entry))).collect())
    }

    /// Notes that `key` was given at `place`, whatever was noted before.
    pub(crate) fn set(&mut self, key: &str, place: Place) {
        let inner =
            |path: &str| path.strip_prefix(key).is_some_and(|rest| rest.starts_with(['.', '[']));
        self.0.retain(|path, _| !inner(path));
        self.0.insert(key.to_owned(), place);
    }

    /// A refusal of the first of `keys` that somebody gave, or of the first one where all have
    /// their defaults.
    pub(crate) fn refuse(&self, keys: &[&str], why: impl Into<String>) -> ConfigError {
        let given = keys.iter().find_map(|key| self.find(key).map(|place| (*key, place)));
        let (key, place) =
            given.unwrap_or((keys.first().copied().unwrap_or_default(), Place::Default));
        ConfigError { place, key: Some(key.to_owned()), why: why.into() }
    }

    /// The place of `key`, or that of the list or table it came in with.
    fn find(&self, key: &str) -> Option<Place> {
        let mut key = key;
        loop {
            if let Some(place) = self.0.get(key) {
                return Some(place.clone());
            }
            // A section that is there says nothing of a key that is not in it.
            let cut = key.rfind(['.', '['])?;
            key = key.get(..cut)?;
            if !key.contains('[') && !matches!(key, "bucket" | "token" | "stream" | "access_key") {
                return None;
            }
        }
    }
}

/// All keys of a TOML document, with their places in the text.
pub(crate) struct KeyIndex(Vec<Entry>);

struct Entry {
    path: String,
    line: usize,
    key: Range<usize>,
    value: Range<usize>,
}

impl KeyIndex {
    /// Finds all keys of `text`.
    pub(crate) fn of(text: &str) -> Result<Self, toml::de::Error> {
        let mut index = Self(Vec::new());
        index.add_table(text, "", DeTable::parse(text)?.get_ref());
        Ok(index)
    }

    /// The innermost key whose name or value `span` begins in.
    pub(crate) fn key_at(&self, span: &Range<usize>) -> Option<&str> {
        let holds = |range: &Range<usize>| range.contains(&span.start);
        // From the end: of a list and its only element, which take up the same text, the element.
        self.0
            .iter()
            .rev()
            .filter(|entry| holds(&entry.key) || holds(&entry.value))
            .min_by_key(|entry| if holds(&entry.key) { entry.key.len() } else { entry.value.len() })
            .map(|entry| entry.path.as_str())
    }

    fn add_table(&mut self, text: &str, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = key.get_ref();
            let path = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
            self.0.push(Entry {
                path: path.clone(),
                line: line_of(text, key.span().start),
                key: key.span(),
                value: value.span(),
            });
            self.add_value(text, &path, value.get_ref());
        }
    }

    fn add_value(&mut self, text: &str, path: &str, value: &DeValue<'_>) {
        match value {
            DeValue::Table(table) => self.add_table(text, path, table),
            DeValue::Array(array) => {
                for (number, element) in array.iter().enumerate() {
                    let path = format!("{path}[{number}]");
                    let span = element.span();
                    let line = line_of(text, span.start);
                    self.0.push(Entry { path: path.clone(), line, key: span.clone(), value: span });
                    self.add_value(text, &path, element.get_ref());
                }
            }
            _ => {}
        }
    }
}

/// The line, from 1, of the byte at `offset`.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|b| *b == b'\n').count()
}
