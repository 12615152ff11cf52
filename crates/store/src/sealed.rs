//! The sealed bytes of an object, read from its file extent by extent.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::vec;

use model::{Extent, Extents};

/// Reads what lies in some extents of a file, one after the other.
#[derive(Debug)]
pub(crate) struct SealedBytes {
    file: File,
    rest: vec::IntoIter<Extent>,
    at: Extent,
}

impl SealedBytes {
    pub(crate) fn open(path: &Path, extents: &Extents) -> io::Result<Self> {
        let mut rest = extents.iter().collect::<Vec<_>>().into_iter();
        let at = rest.next().unwrap_or(Extent { offset: 0, length: 0 });
        Ok(Self { file: File::open(path)?, rest, at })
    }
}

impl Read for SealedBytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at.length == 0 {
            let Some(next) = self.rest.next() else { return Ok(0) };
            self.at = next;
        }
        let wanted = usize::try_from(self.at.length).unwrap_or(usize::MAX).min(buffer.len());
        let read =
            self.file.read_at(buffer.get_mut(..wanted).unwrap_or_default(), self.at.offset)?;
        self.at.offset += read as u64;
        self.at.length -= read as u64;
        // A file that ends within an extent ends what is read.
        if read == 0 {
            self.rest = Vec::new().into_iter();
            self.at.length = 0;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(extents: &[(u64, u64)]) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("segments");
        std::fs::write(&path, b"0123456789").unwrap();
        let mut all = Extents::default();
        for (offset, length) in extents {
            all.push(Extent { offset: *offset, length: *length });
        }
        let mut text = String::new();
        SealedBytes::open(&path, &all).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn they_are_read_in_their_order() {
        assert_eq!(read(&[(7, 2), (0, 0), (1, 3), (4, 1)]), "781234");
        assert_eq!(read(&[]), "");
    }

    #[test]
    fn nothing_is_read_behind_the_end_of_the_file() {
        assert_eq!(read(&[(8, 5), (1, 3)]), "89");
        assert_eq!(read(&[(20, 5), (1, 3)]), "");
    }
}
