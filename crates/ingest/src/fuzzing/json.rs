//! JSON as RFC 8259 has it, without the library that the service reads it with.

/// Whether a text is exactly one JSON value.
pub(super) fn is_one_value(text: &str) -> bool {
    let mut rest = space(text.as_bytes());
    // What is open: `{` or `[`.
    let mut open = Vec::new();
    loop {
        rest = match rest {
            [b'{', after @ ..] => match space(after) {
                [b'}', after @ ..] => after,
                inner => {
                    open.push(b'{');
                    let Some(after) = member_name(inner) else { return false };
                    rest = after;
                    continue;
                }
            },
            [b'[', after @ ..] => match space(after) {
                [b']', after @ ..] => after,
                inner => {
                    open.push(b'[');
                    rest = inner;
                    continue;
                }
            },
            [b'"', ..] => match string(rest) {
                Some(after) => after,
                None => return false,
            },
            _ => match literal(rest).or_else(|| number(rest)) {
                Some(after) => after,
                None => return false,
            },
        };
        // A value has ended, and with it perhaps those around it.
        loop {
            rest = space(rest);
            let within = open.last().copied();
            rest = match (within, rest) {
                (None, rest) => return rest.is_empty(),
                (Some(b'['), [b',', after @ ..]) => {
                    rest = space(after);
                    break;
                }
                (Some(b'{'), [b',', after @ ..]) => match member_name(space(after)) {
                    Some(after) => {
                        rest = after;
                        break;
                    }
                    None => return false,
                },
                (Some(b'['), [b']', after @ ..]) | (Some(b'{'), [b'}', after @ ..]) => after,
                _ => return false,
            };
            open.pop();
        }
    }
}

/// The text without white space outside of strings.
pub(super) fn without_space(text: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let mut keep = |c: char| {
        let kept = in_string || !matches!(c, ' ' | '\t' | '\n' | '\r');
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            _ => {}
        }
        kept
    };
    text.chars().filter(|c| keep(*c)).collect()
}

fn space(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| !b" \t\n\r".contains(byte)).unwrap_or(text.len());
    text.split_at(end).1
}

/// A member's name and its colon, up to its value.
fn member_name(text: &[u8]) -> Option<&[u8]> {
    let after = string(text)?;
    Some(space(space(after).strip_prefix(b":")?))
}

fn string(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', b'u', after @ ..] => {
                let (digits, after) = after.split_first_chunk::<4>()?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                after
            }
            [b'\\', escape, after @ ..] if b"\"\\/bfnrt".contains(escape) => after,
            [byte, after @ ..] if *byte >= 0x20 && *byte != b'\\' => after,
            _ => return None,
        }
    }
}

fn literal(text: &[u8]) -> Option<&[u8]> {
    [&b"null"[..], b"true", b"false"].iter().find_map(|word| text.strip_prefix(*word))
}

fn number(text: &[u8]) -> Option<&[u8]> {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let mut rest = match text {
        [b'0', after @ ..] => after,
        _ => digits(text)?,
    };
    if let [b'.', after @ ..] = rest {
        rest = digits(after)?;
    }
    if let [b'e' | b'E', after @ ..] = rest {
        let after = after.strip_prefix(b"-").or(after.strip_prefix(b"+")).unwrap_or(after);
        rest = digits(after)?;
    }
    Some(rest)
}

/// One digit or more.
fn digits(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_told_from_what_is_not() {
        for good in [
            "null",
            " 0 ",
            "-0.0e+0",
            "1e400",
            "[]",
            "[1 , {}]",
            r#"{"a":[{"b":""}],"a":"\ud800"}"#,
        ] {
            assert!(is_one_value(good), "{good}");
        }
        for bad in [
            "",
            "01",
            "1.",
            ".1",
            "+1",
            "1 2",
            "[1,]",
            "[",
            "]",
            "{\"a\"}",
            "{\"a\":1,}",
            "\"\n\"",
            "nul",
            "{1:2}",
            "\"\\x\"",
            "[}",
        ] {
            assert!(!is_one_value(bad), "{bad}");
        }
        assert_eq!(without_space("{ \"a \\\" b\" :\r\n[ 1 ] }"), r#"{"a \" b":[1]}"#);
    }
}
