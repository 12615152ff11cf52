//! The query string of a bulk request, read strictly: what can't be decoded is refused rather than
//! replaced, for it would name another destination than the caller meant.

use crate::destinations::shown;
use crate::problem::{Kind, Problem};

/// The parameters of a bulk request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BulkQuery {
    /// The prefix, still to be checked.
    pub(crate) prefix: Option<String>,
    /// The event name, still to be checked.
    pub(crate) event: Option<String>,
}

impl BulkQuery {
    /// Reads `prefix=p/&event=…`, in the encoding of HTML forms (`+` is a space).
    pub(crate) fn parse(query: &str) -> Result<Self, Problem> {
        let mut parsed = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)?;
            let slot = match name.as_str() {
                "prefix" => &mut parsed.prefix,
                "event" => &mut parsed.event,
                _ => {
                    let name = shown(&name);
                    let what = "is not known: there are `prefix` and `event`";
                    return Err(refuse(format!("the query parameter `{name}` {what}")).field(name));
                }
            };
            if slot.is_some() {
                let detail = format!("the query parameter `{name}` is there twice: send it once");
                return Err(refuse(detail).field(name));
            }
            *slot = Some(decode(value).map_err(|problem| problem.field(name))?);
        }
        Ok(parsed)
    }
}

fn refuse(detail: String) -> Problem {
    Problem::new(Kind::InvalidQuery, detail)
}

fn decode(text: &str) -> Result<String, Problem> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let value = digit(rest.next()).zip(digit(rest.next()));
                let value = value.and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
                value.ok_or_else(|| {
                    let how = "a `%` is followed by two hex digits; write `%` itself as `%25`";
                    refuse(format!("`{}` can't be decoded: {how}", shown(text)))
                })?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| {
        refuse(format!("`{}` is not UTF-8 once it is decoded: encode it as UTF-8", shown(text)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let parsed = BulkQuery::parse("prefix=a%2Fb+c/%E2%98%83/&event=x%3d1").unwrap();
        assert_eq!(parsed.prefix.as_deref(), Some("a/b c/☃/"));
        assert_eq!(parsed.event.as_deref(), Some("x=1"));
        assert_eq!(BulkQuery::parse("").unwrap(), BulkQuery::default());
        assert_eq!(BulkQuery::parse("prefix").unwrap().prefix.as_deref(), Some(""));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for query in ["prefx=a", "prefix=a&prefix=a", "prefix=%", "prefix=%zz", "prefix=%ff", "%=1"]
        {
            assert_eq!(BulkQuery::parse(query).unwrap_err().kind(), Kind::InvalidQuery, "{query}");
        }
    }
}
