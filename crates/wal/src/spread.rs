//! The entries of a run's shared records by destination, in memory that does not grow with the run.
//!
//! They are sorted as large amounts are: one pass over the records gathers entries, sorts them by
//! destination and position whenever there are enough of them, and puts each such row into a file.
//! Whoever reads destination by destination in the order of their keys goes through all rows once,
//! side by side, and has a few KiB of each in memory. While there is little, there is one row and no
//! file. The file has no name: it is gone with the process, however that ends.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Seq, UnixMillis};

use crate::database::Database;
use crate::error::{Error, Result};
use crate::layout::RunName;
use crate::reader::Damage;
use crate::record::DestKey;
use crate::row::{Placed, Row};
use crate::scan::Scan;
use crate::shared::{self, SHARED_PREFIX, SharedKey};

/// So many bytes of entries make a row.
const ROW_BYTES: usize = 4 * 1024 * 1024;

/// All entries of a run's shared records.
#[derive(Debug)]
pub(crate) struct Spread {
    /// In the order of their positions.
    rows: Vec<Row>,
    scratch: Scratch,
    /// What could not be read: the first of it, and how much in all.
    damage: Option<Damage>,
}

/// How far the events of one destination were read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    row: usize,
    after: Option<Seq>,
}

/// Entries that are in no row yet.
#[derive(Debug, Default)]
struct Gathered {
    bytes: Vec<u8>,
    /// Destination, position, and where the entry begins and ends.
    entries: Vec<(DestKey, Seq, usize, usize)>,
}

impl Spread {
    /// Reads all shared records of a run that lie before position `until`. `dir` is a directory for
    /// the file, on a disk that has room.
    pub(crate) fn read(
        database: &Arc<Database>,
        of: RunName,
        until: Option<u32>,
        dir: &Path,
    ) -> Result<Self> {
        let scratch = Scratch { dir: dir.to_owned(), file: None, end: 0 };
        let mut this = Self { rows: Vec::new(), scratch, damage: None };
        let mut gathered = Gathered::default();
        for entry in Scan::new(database, &SHARED_PREFIX) {
            let taken = entry.and_then(|(key, value)| gathered.take_in(&key, &value, of, until));
            if let Err(damage) = taken {
                this.note(damage);
            }
            if gathered.bytes.len() >= ROW_BYTES {
                let (begin, bytes) = (this.scratch.end, gathered.sorted());
                this.scratch.append(&bytes)?;
                this.rows.push(Row::in_file(begin, bytes.len()));
            }
        }
        if !gathered.entries.is_empty() {
            let row = this.last_row(gathered.sorted())?;
            this.rows.push(row);
        }
        Ok(this)
    }

    /// Where there are others, it goes to the file as well: many runs may be read side by side.
    fn last_row(&mut self, bytes: Vec<u8>) -> Result<Row> {
        if self.rows.is_empty() {
            return Ok(Row::in_memory(bytes));
        }
        let begin = self.scratch.end;
        self.scratch.append(&bytes)?;
        Ok(Row::in_file(begin, bytes.len()))
    }

    /// What is left where they could not be read.
    pub(crate) fn nothing() -> Self {
        let scratch = Scratch { dir: PathBuf::new(), file: None, end: 0 };
        Self { rows: Vec::new(), scratch, damage: None }
    }

    /// What could not be read, told once.
    pub(crate) fn take_damage(&mut self) -> Option<Damage> {
        self.damage.take()
    }

    /// The next events of a destination, in their order.
    pub(crate) fn next_of(
        &mut self,
        destination: DestKey,
        cursor: &mut Cursor,
    ) -> Result<Option<Placed>> {
        while let Some(row) = self.rows.get_mut(cursor.row) {
            let next = row.next_of(self.scratch.file.as_ref(), destination, cursor.after);
            if let Some(placed) = next.map_err(Error::io(&self.scratch.dir))? {
                cursor.after = Some(placed.first);
                return Ok(Some(placed));
            }
            cursor.row += 1;
        }
        Ok(None)
    }

    fn note(&mut self, damage: Damage) {
        match &mut self.damage {
            Some(first) => first.missing += damage.missing,
            None => self.damage = Some(damage),
        }
    }
}

impl Gathered {
    /// Takes the entries of one record in.
    fn take_in(
        &mut self,
        key: &[u8],
        value: &[u8],
        of: RunName,
        until: Option<u32>,
    ) -> Result<(), Damage> {
        let lost = |missing: u64, what: String| Damage { missing, what };
        let Some(SharedKey::Record(_, first)) = SharedKey::parse(key) else {
            return Err(lost(0, "a key is not one of a shared record".to_owned()));
        };
        if until.is_some_and(|until| first.get() >= until) {
            return Ok(());
        }
        // How many events it held is told by what follows of each destination, or by the run's end.
        let (head, mut rest) =
            shared::decode_head(key, value).map_err(|error| lost(0, error.to_string()))?;
        let events = u64::from(head.events);
        // W4: no event is written under a time of another minute.
        if !of.minute.contains(head.time()) {
            return Err(lost(events, "a record is of another minute".to_owned()));
        }
        let mut seq = first.get();
        while !rest.is_empty() {
            let (entry, behind) = shared::decode_entry(rest).map_err(|error| {
                let left = events.saturating_sub(u64::from(seq - first.get()));
                lost(left, format!("a shared record is {error}"))
            })?;
            self.push(head.time(), Seq::new(seq), &entry);
            seq = seq.saturating_add(entry.events);
            rest = behind;
        }
        Ok(())
    }

    fn push(&mut self, time: UnixMillis, first: Seq, entry: &shared::Entry<'_>) {
        let begin = self.bytes.len();
        Row::append(time, first, entry, &mut self.bytes);
        self.entries.push((entry.destination, first, begin, self.bytes.len()));
    }

    /// Takes all that there is, by destination and position.
    fn sorted(&mut self) -> Vec<u8> {
        self.entries.sort_unstable();
        let mut sorted = Vec::with_capacity(self.bytes.len());
        for (_, _, begin, end) in self.entries.drain(..) {
            sorted.extend_from_slice(self.bytes.get(begin..end).unwrap_or_default());
        }
        self.bytes.clear();
        sorted
    }
}

/// A file without a name, made when it is needed.
#[derive(Debug)]
struct Scratch {
    dir: PathBuf,
    file: Option<File>,
    end: u64,
}

impl Scratch {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let mut file = match &self.file {
            Some(file) => file,
            None => {
                self.file.insert(tempfile::tempfile_in(&self.dir).map_err(Error::io(&self.dir))?)
            }
        };
        file.write_all(bytes).map_err(Error::io(&self.dir))?;
        self.end += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_refuses_is_an_error_and_no_damage() {
        let mut scratch = Scratch { dir: PathBuf::from("/nowhere/at/all"), file: None, end: 0 };
        assert!(matches!(scratch.append(b"x"), Err(Error::Io { .. })));
    }

    #[test]
    fn the_file_has_no_name() {
        let dir = tempfile::tempdir().unwrap();
        let mut scratch = Scratch { dir: dir.path().to_owned(), file: None, end: 0 };
        scratch.append(b"one").unwrap();
        scratch.append(b"other").unwrap();
        assert_eq!(scratch.end, 8);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
