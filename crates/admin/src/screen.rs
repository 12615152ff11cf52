//! Where a report goes, and in which form.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;
use wal::inspect::Damaged;

use crate::error::Result;
use crate::human;

/// Where a report goes, and in which form.
pub struct Screen<'s> {
    /// The report itself.
    pub out: &'s mut dyn Write,
    /// Warnings and progress, for people.
    pub err: &'s mut dyn Write,
    /// One JSON document instead of tables.
    pub json: bool,
    /// Colours in tables: where `out` is a terminal and `NO_COLOR` is not set.
    pub colour: bool,
    /// Progress that moves: where standard error is a terminal.
    pub moving: bool,
}

impl fmt::Debug for Screen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { json, colour, moving, .. } = self;
        write!(f, "Screen {{ json: {json}, colour: {colour}, moving: {moving} }}")
    }
}

impl Screen<'_> {
    /// Writes a line of the report.
    pub(crate) fn line(&mut self, line: impl fmt::Display) -> io::Result<()> {
        writeln!(self.out, "{line}")
    }

    /// Writes a line of progress.
    pub(crate) fn note(&mut self, line: impl fmt::Display) -> io::Result<()> {
        writeln!(self.err, "{line}")
    }

    /// Writes what could not be read.
    pub(crate) fn warn(&mut self, warnings: &[String]) -> io::Result<()> {
        warnings.iter().try_for_each(|warning| writeln!(self.err, "warning: {warning}"))
    }

    /// Writes what is damaged.
    pub(crate) fn damaged(&mut self, damaged: &[Damaged]) -> io::Result<()> {
        damaged.iter().try_for_each(|Damaged { path, what, missing }| {
            let missing = missing.map_or("an unknown number of events".to_owned(), |missing| {
                human::count(missing, "event")
            });
            writeln!(self.err, "damaged: {}: {what}: {missing} missing", path.display())
        })
    }

    /// Writes the one JSON document, indented.
    pub(crate) fn document(&mut self, document: &impl Serialize) -> Result<()> {
        serde_json::to_writer_pretty(&mut *self.out, document)?;
        self.out.write_all(b"\n")?;
        Ok(())
    }
}

/// A JSON document with an array that is written as it is found: its length is not
/// bounded by memory.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    begun: bool,
    items: u64,
}

impl Listing {
    /// Writes what comes before the items: `{`, members that end in a comma, and the array's name.
    pub(crate) fn begin(&mut self, out: &mut dyn Write, before: &str) -> io::Result<()> {
        if self.begun {
            return Ok(());
        }
        self.begun = true;
        write!(out, "{before}[")
    }

    /// Writes one item on a line of its own.
    pub(crate) fn item(&mut self, out: &mut dyn Write, item: &impl Serialize) -> Result<()> {
        out.write_all(if self.items == 0 { b"\n  " } else { b",\n  " })?;
        self.items += 1;
        Ok(serde_json::to_writer(out, item)?)
    }

    /// Ends the document.
    pub(crate) fn end(&self, out: &mut dyn Write) -> io::Result<()> {
        self.end_with(out, "")
    }

    /// Ends the document with further members: each is preceded by a comma.
    pub(crate) fn end_with(&self, out: &mut dyn Write, after: &str) -> io::Result<()> {
        writeln!(out, "{}]{after}}}", if self.items == 0 { "" } else { "\n" })
    }
}
