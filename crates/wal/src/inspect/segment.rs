//! The sealed bytes of one object, read piece by piece.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::vec;

use flate2::bufread::MultiGzDecoder;
use model::{Extent, Extents};

use crate::manifest::SealedObject;

/// How many bytes of an object one checksum in its manifest covers; the last block may be shorter.
pub const BLOCK_BYTES: u64 = 8 * 1024 * 1024;

const PIECE_BYTES: usize = 64 * 1024;

/// The bytes of an object within the segments of its part, as far as those go.
#[derive(Debug)]
pub struct ObjectBytes<'f> {
    file: &'f File,
    rest: vec::IntoIter<Extent>,
    at: Extent,
}

impl<'f> ObjectBytes<'f> {
    /// Reads those that lie there in `file`.
    pub fn new(file: &'f File, extents: &Extents) -> Self {
        let rest = extents.iter().collect::<Vec<_>>().into_iter();
        Self { file, rest, at: Extent { offset: 0, length: 0 } }
    }

    /// CRC-32 of them all; `None` where the segments end within the object.
    pub fn crc32(mut self) -> io::Result<Option<u32>> {
        let mut crc32 = crc32fast::Hasher::new();
        let mut left = self.rest.as_slice().iter().map(|extent| extent.length).sum::<u64>();
        let mut piece = vec![0; PIECE_BYTES];
        while left > 0 {
            let read = self.read(&mut piece)?;
            if read == 0 {
                return Ok(None);
            }
            crc32.update(piece.get(..read).unwrap_or_default());
            left -= read as u64;
        }
        Ok(Some(crc32.finalize()))
    }

    /// The lines of the object.
    pub(crate) fn lines(self) -> ObjectLines<'f> {
        let gzip = MultiGzDecoder::new(BufReader::with_capacity(PIECE_BYTES, self));
        ObjectLines { inner: BufReader::with_capacity(PIECE_BYTES, gzip), line: Vec::new() }
    }
}

impl Read for ObjectBytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at.length == 0 {
            let Some(next) = self.rest.next() else { return Ok(0) };
            self.at = next;
        }
        let wanted = usize::try_from(self.at.length).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = buffer.get_mut(..wanted).unwrap_or_default();
        let read = self.file.read_at(buffer, self.at.offset)?;
        self.at.offset += read as u64;
        self.at.length -= read as u64;
        Ok(read)
    }
}

/// Reads one line at a time.
pub(crate) struct ObjectLines<'f> {
    inner: BufReader<MultiGzDecoder<BufReader<ObjectBytes<'f>>>>,
    line: Vec<u8>,
}

impl ObjectLines<'_> {
    /// The next line without its newline; `None` after the last one.
    pub(crate) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        self.inner.read_until(b'\n', &mut self.line)?;
        match self.line.split_last() {
            None => Ok(None),
            Some((b'\n', line)) => Ok(Some(line)),
            Some(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "the last line is cut")),
        }
    }
}

/// What is wrong with the bytes of an object; `None` where they are what was sealed.
pub(crate) fn check(
    file: &File,
    object: &SealedObject,
    mut done: impl FnMut(u64),
) -> io::Result<Option<&'static str>> {
    let mut bytes = ObjectBytes::new(file, &object.extents);
    let (mut whole, mut block) = (crc32fast::Hasher::new(), crc32fast::Hasher::new());
    let (mut blocks, mut in_block, mut length) = (Vec::new(), 0, 0);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let room = usize::try_from(BLOCK_BYTES - in_block).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let read = bytes.read(piece.get_mut(..room).unwrap_or_default())?;
        let piece = piece.get(..read).unwrap_or_default();
        whole.update(piece);
        block.update(piece);
        in_block += read as u64;
        length += read as u64;
        done(read as u64);
        if in_block == BLOCK_BYTES || (read == 0 && in_block > 0) {
            blocks.push(std::mem::take(&mut block).finalize());
            in_block = 0;
        }
        if read == 0 {
            break;
        }
    }
    if length < object.extents.length() {
        return Ok(Some("the segments end within the object"));
    }
    if whole.finalize() != object.crc32 || blocks != object.block_crc32 {
        return Ok(Some("the sealed bytes do not match their checksums"));
    }
    check_lines(ObjectBytes::new(file, &object.extents), object)
}

fn check_lines(bytes: ObjectBytes<'_>, object: &SealedObject) -> io::Result<Option<&'static str>> {
    let mut lines = MultiGzDecoder::new(BufReader::with_capacity(PIECE_BYTES, bytes));
    let mut digest = blake3::Hasher::new();
    let (mut newlines, mut length) = (0, 0);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = match lines.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if is_gzip(&error) => return Ok(Some("the sealed bytes are not gzip")),
            Err(error) => return Err(error),
        };
        let piece = piece.get(..read).unwrap_or_default();
        digest.update(piece);
        newlines += memchr::memchr_iter(b'\n', piece).count() as u64;
        length += read as u64;
    }
    if digest.finalize() != blake3::Hash::from_bytes(*object.lines_digest.as_bytes()) {
        return Ok(Some("the lines do not match their digest"));
    }
    if (newlines, length) != (object.events, object.lines_bytes) {
        return Ok(Some("there are not as many lines as events"));
    }
    Ok(None)
}

fn is_gzip(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof)
}
