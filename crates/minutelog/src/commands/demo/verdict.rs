//! Whether what came out is what went in.

use std::io::Read;

use flate2::bufread::GzDecoder;

use crate::failure::{Code, Failure};

/// The lines of an object that holds exactly what was sent, in order.
#[derive(Debug)]
pub(super) struct Verdict {
    /// The lines, without their line feeds.
    pub(super) lines: Vec<String>,
    /// Their bytes, with their line feeds.
    pub(super) lines_bytes: usize,
}

impl Verdict {
    /// Compares the object with the lines `sent`. `objects` is how many there are in all.
    pub(super) fn of(sent: &[String], object: &[u8], objects: usize) -> Result<Self, Failure> {
        Self::judge(sent, object, objects).map_err(|why| {
            Failure::new(Code::Data, format!("the demo's object: {why}: report this defect"))
        })
    }

    fn judge(sent: &[String], object: &[u8], objects: usize) -> Result<Self, String> {
        if objects != 1 {
            return Err(format!("there are {objects} objects for one minute"));
        }
        let text = gunzip(object)?;
        let body = text.strip_suffix('\n').ok_or("its last line does not end")?;
        let lines: Vec<_> = body.split('\n').map(str::to_owned).collect();
        if lines.len() != sent.len() {
            return Err(format!(
                "{} events were sent and {} lines came out",
                sent.len(),
                lines.len()
            ));
        }
        let pairs = sent.iter().zip(&lines);
        if let Some((number, (sent, line))) = pairs.enumerate().find(|(_, (a, b))| a != b) {
            return Err(format!("line {} is {line}, and {sent} was sent", number + 1));
        }
        Ok(Self { lines, lines_bytes: text.len() })
    }
}

/// The text in one gzip member with nothing behind it.
fn gunzip(object: &[u8]) -> Result<String, String> {
    let mut decoder = GzDecoder::new(object);
    let mut text = String::new();
    decoder.read_to_string(&mut text).map_err(|error| format!("gunzip says {error}"))?;
    let rest = decoder.into_inner().len();
    if rest == 0 { Ok(text) } else { Err(format!("{rest} bytes follow its gzip member")) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn only_the_same_lines_in_the_same_order_will_do() {
        let sent = ["a".to_owned(), "b".to_owned()];
        let verdict = Verdict::judge(&sent, &gzip("a\nb\n"), 1).unwrap();
        assert_eq!((verdict.lines.len(), verdict.lines_bytes), (2, 4));
        for (text, why) in [
            ("a\nb", "does not end"),
            ("a\n", "2 events were sent and 1 lines"),
            ("a\nb\n\n", "3 lines"),
            ("b\na\n", "line 1 is b, and a was sent"),
            ("a\nB\n", "line 2"),
        ] {
            let error = Verdict::judge(&sent, &gzip(text), 1).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn it_must_be_one_object_and_one_member() {
        let sent = ["a".to_owned()];
        assert!(Verdict::judge(&sent, &gzip("a\n"), 2).unwrap_err().contains("2 objects"));
        let two = [gzip("a\n"), gzip("")].concat();
        assert!(Verdict::judge(&sent, &two, 1).unwrap_err().contains("follow its gzip member"));
        let cut = gzip("a\n");
        assert!(Verdict::judge(&sent, &cut[..cut.len() - 1], 1).unwrap_err().contains("gunzip"));
    }
}
