//! Texts of others at a terminal: prefixes, names and payloads are senders', errors are S3's.

use std::borrow::Cow;

/// The text with what would steer a terminal, or turn the direction of writing, told by its number.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let told = |c: char| if steers(c) { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(told).collect::<String>().into()
}

fn steers(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_steers_the_terminal() {
        for (text, shown) in [
            ("a/é/日本", "a/é/日本"),
            ("a\u{1b}[2Jb\n", "a\\u{1b}[2Jb\\u{a}"),
            ("\u{9b}2J\u{7f}", "\\u{9b}2J\\u{7f}"),
            ("\u{202e}zg.\u{61c}", "\\u{202e}zg.\\u{61c}"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }
}
