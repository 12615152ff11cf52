//! Secrets that stand where they don't belong, and that a complaint about the place would repeat.

/// How the tokens of `minutelog admin token` begin.
const TOKEN: &str = "ml_";
/// So many hex digits after it are no name that somebody chose.
const TOKEN_DIGITS: usize = 16;

/// The text without tokens, and without the credentials and the queries of addresses.
pub(crate) fn redacted(text: &str) -> String {
    [token, credentials, query].iter().fold(text.to_owned(), |text, find| without(&text, *find))
}

/// The text without what `find` finds in it, and in what follows that, and so on.
fn without(text: &str, find: fn(&str) -> Option<(usize, usize)>) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((start, end)) = find(rest) {
        shown.push_str(rest.get(..start).unwrap_or_default());
        shown.push('…');
        rest = rest.get(end..).unwrap_or_default();
    }
    shown + rest
}

/// Where the digits of the first token begin and end.
fn token(text: &str) -> Option<(usize, usize)> {
    text.match_indices(TOKEN).find_map(|(at, _)| {
        let start = at + TOKEN.len();
        let digits = text.get(start..)?.bytes().take_while(u8::is_ascii_hexdigit).count();
        (digits >= TOKEN_DIGITS).then_some((start, start + digits))
    })
}

/// Where the credentials of the first address that has some begin and end.
fn credentials(text: &str) -> Option<(usize, usize)> {
    text.match_indices("://").find_map(|(at, _)| {
        let start = at + "://".len();
        let rest = text.get(start..)?;
        let host = rest.split(['/', '"', '\'', ' ', '`']).next()?;
        let end = start + host.rfind('@')?;
        (end > start).then_some((start, end))
    })
}

/// Where the query of the first address that has one begins and ends: signatures stand there.
fn query(text: &str) -> Option<(usize, usize)> {
    text.match_indices("://").find_map(|(at, _)| {
        let rest = text.get(at..)?;
        let address = rest.split(['"', '\'', ' ', '`']).next()?;
        let start = at + address.find('?')? + 1;
        let end = at + address.len();
        (end > start).then_some((start, end))
    })
}

#[cfg(test)]
mod tests {
    use super::redacted;

    #[test]
    fn secrets_go_and_the_rest_stays() {
        for (text, shown) in [
            ("", ""),
            ("a name ml_checkout, ml_0123", "a name ml_checkout, ml_0123"),
            ("\"ml_0123456789abcdef0\" is", "\"ml_…\" is"),
            ("ml_0123456789abcdef ml_fedcba9876543210é", "ml_… ml_…é"),
            ("\"http://a:b@host/c@d\" is", "\"http://…@host/c@d\" is"),
            ("http://host/ and mail@host", "http://host/ and mail@host"),
            ("s://a@b ml_0123456789abcdef t://c@d", "s://…@b ml_… t://…@d"),
            ("\"s://a@b/c?d=e\", s://f?g h?i", "\"s://…@b/c?…\", s://f?… h?i"),
        ] {
            assert_eq!(redacted(text), shown);
        }
    }
}
