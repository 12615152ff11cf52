//! Files of frames: manifests, indexes, delivery journals and closing records.
//!
//! ```text
//! file   8 bytes that name its kind and version, then frames
//! frame  u32 LE length of the body | 8 bytes of checksum | body
//! ```
//! The checksum covers the kind of the file and the number of the frame as well as the body, and
//! whose file it is where that matters: a frame that is cut, changed, swapped with another or brought
//! in from elsewhere is noticed.
//! Whether a file may end early is for its reader to say: a journal may, a manifest may not.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, CHECKSUM_BYTES, Checksum};
use crate::error::{Error, Result};
use crate::regular::open_file;

/// No body is larger: a length above it is damage, not a reason to allocate.
const MAX_BODY_BYTES: u32 = 64 * 1024 * 1024;
const HEAD_BYTES: u64 = 4 + CHECKSUM_BYTES as u64;

/// What a file of frames holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileKind(pub(crate) [u8; 8]);

/// Where a frame begins: its offset in the file and its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FramePosition {
    pub(crate) offset: u64,
    pub(crate) number: u64,
}

/// Writes frames.
#[derive(Debug)]
pub(crate) struct FrameWriter<W> {
    inner: W,
    kind: FileKind,
    owner: Vec<u8>,
    next: FramePosition,
    body: Vec<u8>,
}

impl<W: Write> FrameWriter<W> {
    /// Begins a new file.
    pub(crate) fn begin(mut inner: W, kind: FileKind) -> std::io::Result<Self> {
        inner.write_all(&kind.0)?;
        Ok(Self::resume(inner, kind, first_position()))
    }

    /// Goes on at the end of a file that was read up to `next`.
    pub(crate) fn resume(inner: W, kind: FileKind, next: FramePosition) -> Self {
        Self { inner, kind, owner: Vec::new(), next, body: Vec::new() }
    }

    /// The same for a file that is nobody's but its owner's.
    pub(crate) fn of(mut self, owner: &str) -> Self {
        self.owner = owner.as_bytes().to_vec();
        self
    }

    /// Where the next frame will begin.
    pub(crate) fn position(&self) -> FramePosition {
        self.next
    }

    /// Appends a value.
    pub(crate) fn write<T: Serialize>(&mut self, value: &T) -> std::io::Result<()> {
        self.body.clear();
        codec::encode_into(value, &mut self.body);
        let length = u32::try_from(self.body.len())
            .ok()
            .filter(|length| *length <= MAX_BODY_BYTES)
            .ok_or_else(|| std::io::Error::other("a frame is over 64 MiB"))?;
        let checksum = frame_checksum(self.kind, &self.owner, self.next.number, &self.body);
        self.inner.write_all(&length.to_le_bytes())?;
        self.inner.write_all(&checksum)?;
        self.inner.write_all(&self.body)?;
        self.next.offset += HEAD_BYTES + u64::from(length);
        self.next.number += 1;
        Ok(())
    }

    /// What is written to.
    pub(crate) fn inner_mut(&mut self) -> &mut W {
        &mut self.inner
    }
}

/// Reads frames, one after the other or from a known position.
#[derive(Debug)]
pub(crate) struct FrameReader {
    path: PathBuf,
    file: BufReader<File>,
    length: u64,
    kind: FileKind,
    owner: Vec<u8>,
    next: FramePosition,
    body: Vec<u8>,
}

impl FrameReader {
    /// Opens a file and checks its kind.
    pub(crate) fn open(path: &Path, kind: FileKind) -> Result<Self> {
        let file = open_file(path)?;
        let length = file.metadata().map_err(Error::io(path))?.len();
        let mut file = BufReader::with_capacity(64 * 1024, file);
        let mut found = [0; 8];
        match file.read_exact(&mut found) {
            Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
                return Err(Error::io(path)(error));
            }
            _ => {}
        }
        if length < 8 || found != kind.0 {
            let kind = String::from_utf8_lossy(&kind.0).into_owned();
            return Err(Error::damaged(path, format!("does not begin with `{kind}`")));
        }
        let next = first_position();
        let (path, owner, body) = (path.to_owned(), Vec::new(), Vec::new());
        Ok(Self { path, file, length, kind, owner, next, body })
    }

    /// The same for a file that is nobody's but its owner's.
    pub(crate) fn of(mut self, owner: &str) -> Self {
        self.owner = owner.as_bytes().to_vec();
        self
    }

    /// Where the next frame begins; after the last whole one, where a journal goes on.
    pub(crate) fn position(&self) -> FramePosition {
        self.next
    }

    /// Goes to a frame whose position was noted when it was written.
    pub(crate) fn seek(&mut self, position: FramePosition) -> Result<()> {
        self.file.seek(SeekFrom::Start(position.offset)).map_err(Error::io(&self.path))?;
        self.next = position;
        Ok(())
    }

    /// Whether nothing follows what was read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.next.offset == self.length
    }

    /// The next value; `None` at the end of the file. A cut or changed frame is [`Error::Damaged`].
    pub(crate) fn read<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        if self.is_at_end() {
            return Ok(None);
        }
        self.read_where(|_| true)
    }

    /// The next value, or `None` where its bytes are not `wanted`: they are then not looked at.
    pub(crate) fn read_where<T: DeserializeOwned>(
        &mut self,
        wanted: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Option<T>> {
        let (length, checksum) = self.head()?;
        let mut body = std::mem::take(&mut self.body);
        body.resize(usize::try_from(length).unwrap_or_default(), 0);
        let filled = self.fill(&mut body);
        self.body = body;
        filled?;
        let value = if wanted(&self.body) {
            if checksum != frame_checksum(self.kind, &self.owner, self.next.number, &self.body) {
                return Err(self.damaged("does not match its checksum"));
            }
            Some(codec::decode(&self.body).map_err(|error| self.damaged(&error.to_string()))?)
        } else {
            None
        };
        self.pass(length);
        Ok(value)
    }

    /// Passes over the next frame without a look at it; `false` at the end of the file.
    pub(crate) fn skip(&mut self) -> Result<bool> {
        if self.is_at_end() {
            return Ok(false);
        }
        let (length, _) = self.head()?;
        self.file.seek_relative(i64::from(length)).map_err(Error::io(&self.path))?;
        self.pass(length);
        Ok(true)
    }

    /// The length of the body and its checksum, which stand before it.
    fn head(&mut self) -> Result<(u32, Checksum)> {
        let mut head = [0; 4];
        let mut checksum = Checksum::default();
        self.fill(&mut head)?;
        self.fill(&mut checksum)?;
        let length = u32::from_le_bytes(head);
        let left = self.length.saturating_sub(self.next.offset + HEAD_BYTES);
        if length > MAX_BODY_BYTES || u64::from(length) > left {
            return Err(self.damaged("is cut or has an impossible length"));
        }
        Ok((length, checksum))
    }

    fn pass(&mut self, length: u32) {
        self.next.offset += HEAD_BYTES + u64::from(length);
        self.next.number += 1;
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        match self.file.read_exact(bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(self.damaged("is cut"))
            }
            other => other.map_err(Error::io(&self.path)),
        }
    }

    fn damaged(&self, what: &str) -> Error {
        Error::damaged(&self.path, format!("frame {} {what}", self.next.number))
    }
}

fn first_position() -> FramePosition {
    FramePosition { offset: 8, number: 0 }
}

pub(crate) fn frame_checksum(kind: FileKind, owner: &[u8], number: u64, body: &[u8]) -> Checksum {
    match owner {
        [] => codec::checksum(&[&kind.0, &number.to_le_bytes(), body]),
        owner => codec::checksum(&[&kind.0, owner, &number.to_le_bytes(), body]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KIND: FileKind = FileKind(*b"MLtest01");

    fn write(values: &[Vec<u8>]) -> Vec<u8> {
        let mut writer = FrameWriter::begin(Vec::new(), KIND).unwrap();
        for value in values {
            writer.write(value).unwrap();
        }
        std::mem::take(writer.inner_mut())
    }

    fn read(bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("frames");
        std::fs::write(&path, bytes).unwrap();
        let mut reader = FrameReader::open(&path, KIND)?;
        let mut values = Vec::new();
        while let Some(value) = reader.read()? {
            values.push(value);
        }
        Ok(values)
    }

    #[test]
    fn golden_frame() {
        assert_eq!(
            write(&[b"ab".to_vec()]),
            [
                b'M', b'L', b't', b'e', b's', b't', b'0', b'1', 3, 0, 0, 0, 92, 90, 6, 16, 15, 146,
                129, 8, 2, b'a', b'b'
            ]
        );
    }

    #[test]
    fn swapped_frames_are_noticed() {
        let (a, b) = (write(&[vec![1]]), write(&[vec![1], vec![2]]));
        let (first, second) = (&b[8..a.len()], &b[a.len()..]);
        let swapped = [&KIND.0[..], second, first].concat();
        assert!(matches!(read(&swapped), Err(Error::Damaged { .. })));
    }

    proptest! {
        #[test]
        fn round_trips(values: Vec<Vec<u8>>) {
            prop_assert_eq!(read(&write(&values)).unwrap(), values);
        }

        #[test]
        fn any_flipped_byte_is_noticed(values in prop::collection::vec(any::<Vec<u8>>(), 1..5), at: prop::sample::Index, flip in 1_u8..) {
            let mut bytes = write(&values);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert!(read(&bytes).is_err());
        }

        #[test]
        fn a_cut_is_noticed_or_between_frames(values: Vec<Vec<u8>>, at: prop::sample::Index) {
            let bytes = write(&values);
            if let Ok(read) = read(&bytes[..at.index(bytes.len())]) {
                prop_assert!(read.len() < values.len());
                prop_assert_eq!(&read[..], &values[..read.len()]);
            }
        }
    }
}
