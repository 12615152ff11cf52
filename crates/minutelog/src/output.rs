//! What commands print on standard output: text for people, one JSON document for programs.

use std::io::{self, Write};

use serde::Serialize;

use crate::failure::{Code, Failure};

/// Prints `text` as it is. Colours are taken out where standard output is no terminal.
///
/// A reader that has seen enough and closed the pipe is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::io("standard output", &error, "look where it leads to"))
        }
        _ => Ok(()),
    }
}

/// Prints `document` as one JSON document, indented, with a line feed at its end.
pub(crate) fn print_json(document: &impl Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(document).map_err(|error| {
        Failure::new(Code::Internal, format!("the answer as JSON: {error}: report this defect"))
    })?;
    text.push('\n');
    print(&text)
}
