//! What must hold of every configuration, whatever its text: a fuzz target, run for long by
//! `tests/fuzz` and briefly here.

use std::path::Path;

use super::load::load_text;
use super::place::Place;

/// The input is a file, and behind each NUL byte a variable. A refusal names a line that there is;
/// what is accepted is printed as TOML and as JSON, and accepted once more where nothing of it is
/// hidden or shortened.
pub(crate) fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut texts = text.split('\0');
    let file = texts.next().unwrap_or_default();
    let variables = texts.filter_map(|text| text.split_once('='));
    let variables: Vec<_> = variables.map(|(name, value)| (name.into(), value.into())).collect();
    let path = Path::new("minutelog.toml");
    let loaded = match load_text(Some((path, file)), variables, None) {
        Ok(loaded) => loaded,
        Err(error) => {
            assert!(!error.why.is_empty(), "{error:?}");
            // A variable's name is told as it is.
            if let Place::Line(_, line) = error.place {
                assert!((1..=file.split('\n').count()).contains(&line), "{error:?}");
                assert!(!error.to_string().contains('\n'), "{error:?}");
            }
            return;
        }
    };
    let config = loaded.config;
    serde_json::to_string(&config).expect("what was read as a tree is written as one");
    let printed = toml::to_string(&config).expect("what was read as TOML is written as TOML");
    let hidden = !config.tokens.is_empty() || printed.contains("(redacted)");
    match load_text(Some((path, &printed)), [], None) {
        Ok(again) => assert_eq!(again.config, config, "{printed}"),
        Err(error) => assert!(hidden, "{error}: {printed}"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn configurations_hold_on_mutated_inputs() {
        mutation::pass("config", 5_000, super::config);
    }
}
