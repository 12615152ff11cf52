//! Reads the configuration: the file, then the environment, then the command line.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::place::{ConfigError, KeyIndex, Place, Places, line_of};
use super::plain::plain;
use super::{Config, Live, rules, stream, tls};

const PREFIX: &str = "MINUTELOG__";

/// A configuration that was checked, and where its values came from.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// The values.
    pub(crate) config: Config,
    places: Places,
}

/// What a running service makes of a configuration.
#[derive(Clone, Debug)]
pub(crate) struct TakenUp {
    /// By which it runs from then on.
    pub(crate) config: Config,
    /// The keys that it takes up, in their order.
    pub(crate) changed: Vec<String>,
    /// The keys that have changed and wait for its next start.
    pub(crate) waiting: Vec<String>,
}

impl Loaded {
    /// What holds once a service that runs by another configuration has taken this one up. Limits that
    /// do not go with what holds until its next start wait for that, too.
    pub(crate) fn taken_up(&self, running: &Config, live: Live) -> Result<TakenUp, ConfigError> {
        if self.config.data_dir != running.data_dir {
            let why = format!(
                "another directory than that of the running service, {}: is it the right file, and whole? Another directory takes a restart",
                running.data_dir.display()
            );
            return Err(self.places.refuse(&["data_dir"], why));
        }
        let mut config = live.merged(running, &self.config);
        if rules::check(&config, &self.places).is_err() {
            config.ingest.limits = running.ingest.limits.clone();
            config.ingest.max_event_bytes = running.ingest.max_event_bytes;
        }
        rules::check(&config, &self.places)?;
        if live == Live::Ingest {
            rules::somebody_can_send(&config, &self.places)?;
            stream::check_files(&config, &self.places)?;
        }
        let changed = live.differences(running, &config);
        let waiting = live.differences(&config, &self.config);
        Ok(TakenUp { config, changed, waiting })
    }

    /// Checks what only ingest needs: that somebody can send, and the files of secrets and of TLS.
    pub(crate) fn check_for_ingest(&self) -> Result<(), ConfigError> {
        rules::somebody_can_send(&self.config, &self.places)?;
        stream::check_files(&self.config, &self.places)?;
        tls::check_files(&self.config, &self.places)
    }
}

/// Reads and checks the configuration.
///
/// `file` is the TOML file, or `None` where there is none; `environment` the variables, of which
/// those that begin with `MINUTELOG__` count; `data_dir` beats both.
pub(crate) fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    data_dir: Option<&Path>,
) -> Result<Loaded, ConfigError> {
    let text = file.map(read).transpose()?;
    load_text(file.zip(text.as_deref()), environment, data_dir)
}

/// The same with the text of the file, which is not read.
pub(super) fn load_text(
    file: Option<(&Path, &str)>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    data_dir: Option<&Path>,
) -> Result<Loaded, ConfigError> {
    let (mut table, mut places) = match file {
        Some((path, text)) => parse(path, text)?,
        None => (Table::new(), Places::default()),
    };
    let mut variables: Vec<_> = environment.into_iter().collect();
    variables.sort();
    for (name, value) in variables {
        apply_variable(&mut table, &mut places, &name, &value)?;
    }
    let mut config: Config = table.try_into().map_err(|error| whole(&error))?;
    if let Some(data_dir) = data_dir {
        data_dir.clone_into(&mut config.data_dir);
        places.set("data_dir", Place::Flag("--data-dir"));
    }
    rules::check(&config, &places)?;
    Ok(Loaded { config, places })
}

/// File and variables were each accepted alone; what is wrong now is wrong with them together.
fn whole(error: &toml::de::Error) -> ConfigError {
    ConfigError { place: Place::Default, key: None, why: plain(error.message()) }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|error| ConfigError {
        place: Place::File(path.to_owned()),
        key: None,
        why: format!("{error}: give the configuration with --config or MINUTELOG_CONFIG"),
    })
}

fn parse(path: &Path, text: &str) -> Result<(Table, Places), ConfigError> {
    let index = KeyIndex::of(text).map_err(|error| in_file(path, text, None, &error))?;
    let refuse = |error| in_file(path, text, Some(&index), &error);
    toml::from_str::<Config>(text).map_err(refuse)?;
    let table = toml::from_str(text).map_err(refuse)?;
    Ok((table, Places::of_file(path, &index)))
}

fn in_file(
    path: &Path,
    text: &str,
    index: Option<&KeyIndex>,
    error: &toml::de::Error,
) -> ConfigError {
    let path = path.to_owned();
    let place = match error.span() {
        Some(span) => Place::Line(path, line_of(text, span.start)),
        None => Place::File(path),
    };
    let key = error.span().and_then(|span| index?.key_at(&span).map(str::to_owned));
    let why = match error.span().and_then(|span| text.get(span)) {
        Some(name) if error.message() == "duplicate key" => {
            format!("duplicate key `{}`: give it once", name.trim())
        }
        _ => plain(error.message()),
    };
    ConfigError { place, key, why }
}

/// Puts one variable into the table, after its value was accepted alone.
fn apply_variable(
    table: &mut Table,
    places: &mut Places,
    name: &OsString,
    value: &OsString,
) -> Result<(), ConfigError> {
    let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { return Ok(()) };
    let keys: Vec<_> =
        name.strip_prefix(PREFIX).unwrap_or_default().split("__").map(str::to_lowercase).collect();
    let key = keys.join(".");
    let refuse = |why: &str| ConfigError {
        place: Place::Variable(name.to_owned()),
        key: Some(key.clone()),
        why: why.to_owned(),
    };
    let text = value.to_str().ok_or_else(|| refuse("not UTF-8: give its value as UTF-8"))?;
    let mut refusal = None;
    for candidate in readings(text) {
        match nest(&keys, candidate.clone()).try_into::<Config>() {
            Ok(_) => {
                merge(table, &keys, candidate);
                places.set(&key, Place::Variable(name.to_owned()));
                return Ok(());
            }
            Err(error) => refusal = refusal.or(Some(refuse(&plain(error.message())))),
        }
    }
    Err(refusal.unwrap_or_else(|| refuse("no value")))
}

/// The names of the variables that would tell a service its configuration, in their order. Fit for a
/// terminal, and without the values, which can be secrets.
#[cfg(feature = "embedded")]
pub(crate) fn variables(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Vec<String> {
    let tells = |(name, value): (OsString, OsString)| {
        let name = name.to_string_lossy().escape_debug().to_string();
        let is_file = name == "MINUTELOG_CONFIG" && !value.is_empty();
        (is_file || name.starts_with(PREFIX)).then_some(name)
    };
    let mut names: Vec<_> = environment.into_iter().filter_map(tells).collect();
    names.sort();
    names
}

/// What a variable's text can mean: a TOML value, and the text itself.
fn readings(text: &str) -> Vec<Value> {
    let typed = toml::from_str::<Table>(&format!("value = {text}"))
        .ok()
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"));
    typed.into_iter().chain([Value::String(text.to_owned())]).collect()
}

fn nest(keys: &[String], value: Value) -> Table {
    let mut table = Table::new();
    merge(&mut table, keys, value);
    table
}

fn merge(table: &mut Table, keys: &[String], value: Value) {
    let Some((first, rest)) = keys.split_first() else { return };
    if rest.is_empty() {
        table.insert(first.clone(), value);
        return;
    }
    let inner = table.entry(first.clone()).or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(inner) = inner {
        merge(inner, rest, value);
    }
}

/// The configuration file that the command line or the environment names.
pub(crate) fn config_file(flag: Option<&Path>, variable: Option<OsString>) -> Option<PathBuf> {
    flag.map(Path::to_owned).or_else(|| variable.filter(|v| !v.is_empty()).map(PathBuf::from))
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
