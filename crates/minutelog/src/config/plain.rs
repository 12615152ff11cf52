//! The deserializer's complaints in the words of the configuration instead of Rust's.

/// What serde expects, and how a person writes it.
const EXPECTED: [(&str, &str); 7] = [
    ("u32", "a whole number from 0 to 4294967295"),
    ("usize", "a whole number, 0 or more"),
    ("path string", "a path in quotes"),
    ("a string", "a text in quotes"),
    ("a boolean", "true or false, without quotes"),
    ("a sequence", "a list in brackets"),
    ("a map", "a table"),
];

/// What serde calls the value that it found, and what TOML calls it.
const FOUND: [(&str, &str); 2] = [("map", "a table"), ("sequence", "a list")];

/// The message on one line, in plain words. What is not known here stays as it is.
pub(crate) fn plain(message: &str) -> String {
    let message = message.trim().replace('\n', ", ");
    // The toml crate's own words for a value that is no name of a list of names.
    if message == "wanted string or table" {
        return "invalid type: expected a text in quotes".to_owned();
    }
    if let Some((name, known)) =
        message.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected "))
    {
        return format!("{name} is not one of its values: give {}", known.replace("one of ", ""));
    }
    let Some((what, expected)) = message.split_once(", expected ") else { return message };
    let Some((kind, found)) = what.split_once(": ").filter(|(kind, _)| kind.starts_with("invalid"))
    else {
        return message;
    };
    let wants_more = matches!(expected, "a sequence" | "a map") || expected.starts_with("struct ");
    let found = match word(&FOUND, found) {
        Some(found) => found,
        // A list or table that is not well formed is a text, and may have secrets in it.
        None if wants_more && found.starts_with("string ") => "a text",
        None => found,
    };
    let expected = match word(&EXPECTED, expected) {
        Some(expected) => expected,
        None if expected.starts_with("struct ") => "a table",
        None => expected,
    };
    format!("{kind}: {found}, expected {expected}")
}

fn word(words: &[(&str, &'static str)], text: &str) -> Option<&'static str> {
    words.iter().find(|(rust, _)| *rust == text).map(|(_, plain)| *plain)
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn rust_s_words_are_replaced_and_others_kept() {
        for (message, shown) in [
            (
                "invalid type: integer `1`, expected struct LogConfig",
                "invalid type: integer `1`, expected a table",
            ),
            (
                "invalid type: string \"[secret\", expected a sequence",
                "invalid type: a text, expected a list in brackets",
            ),
            (
                "invalid value: integer `-1`, expected u32",
                "invalid value: integer `-1`, expected a whole number from 0 to 4294967295",
            ),
            (
                "invalid type: map, expected path string",
                "invalid type: a table, expected a path in quotes",
            ),
            (
                "unknown variant `open`, expected `tokens` or `none`\n",
                "`open` is not one of its values: give `tokens` or `none`",
            ),
            ("unknown field `a`, expected `b`", "unknown field `a`, expected `b`"),
            ("\"a, expected struct B\" is no size", "\"a, expected struct B\" is no size"),
        ] {
            assert_eq!(plain(message), shown);
        }
    }
}
