//! Events of one destination on their way into records: gathered, cut to size, packed.

use crate::codec;
use crate::packing::{FEWEST_BYTES, Packer};
use crate::record::RECORD_BYTES;

/// So many bytes of events are packed together. LZ4 looks back on 64 KiB, and has a smaller table
/// for less than that.
const CHUNK_BYTES: usize = 63 * 1024;

/// Whole events of one destination, at most [`RECORD_BYTES`] of them unless it is one large event.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) events: u32,
    pub(crate) frames: Vec<u8>,
    /// How many bytes the frames unpack to; 0 where they are not packed.
    pub(crate) unpacked: u32,
}

impl Chunk {
    fn plain(events: u32, mut frames: Vec<u8>) -> Self {
        if frames.capacity() > frames.len() * 2 {
            frames.shrink_to_fit();
        }
        Self { events, frames, unpacked: 0 }
    }

    fn packed(events: u32, frames: Vec<u8>, unpacked: usize) -> Self {
        let unpacked = u32::try_from(unpacked).expect("no more is packed than 17 MiB");
        Self { events, frames, unpacked }
    }
}

/// The events of one destination in one request, in their order.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    whole: Vec<Chunk>,
    /// How many events are gathered for the next chunk.
    events: u32,
    /// Their frames: at most [`CHUNK_BYTES`] unless it is one large event.
    frames: Vec<u8>,
}

impl Chunks {
    /// Adds an event. What it does not fit to is packed.
    pub(crate) fn push(&mut self, name: &str, payload: &[u8], packer: &mut Option<Box<Packer>>) {
        // 10 bytes hold both lengths.
        let size = name.len() + payload.len() + 10;
        if self.events > 0 && self.frames.len() + size > CHUNK_BYTES {
            self.pack(packer);
        }
        if self.frames.capacity() == 0 {
            self.frames.reserve_exact(size);
        }
        codec::encode_event(name, payload, &mut self.frames);
        self.events += 1;
    }

    /// Makes chunks of what is gathered, packed where that saves enough.
    pub(crate) fn pack(&mut self, packer: &mut Option<Box<Packer>>) {
        // Where all events of a request are small, no memory is taken to pack them in.
        if self.frames.len() < FEWEST_BYTES {
            return self.leave_unpacked();
        }
        let packer = packer.get_or_insert_with(|| Box::new(Packer::new()));
        let Some(packed) = packer.pack(&self.frames) else { return self.leave_unpacked() };
        if packed.len() <= RECORD_BYTES || self.events == 1 {
            self.whole.push(Chunk::packed(self.events, packed, self.frames.len()));
            // The next chunk is gathered in the same memory.
            self.frames.clear();
            self.events = 0;
            return;
        }
        for piece in self.take_pieces() {
            self.whole.push(match packer.pack(&piece.frames) {
                Some(packed) => Chunk::packed(piece.events, packed, piece.frames.len()),
                None => piece,
            });
        }
    }

    /// The bytes that they take in memory, and about as many in the log.
    pub(crate) fn size_bytes(&self) -> usize {
        self.whole.iter().map(|chunk| chunk.frames.len()).sum::<usize>() + self.frames.len()
    }

    /// Appends all of them to `chunks`; what is still gathered is left as it is.
    pub(crate) fn append_to(mut self, chunks: &mut Vec<Chunk>) {
        chunks.append(&mut self.whole);
        match self.events {
            0 => {}
            // Nearly every request has one event, and needs no list of its own.
            1 => chunks.push(Chunk::plain(1, self.frames)),
            _ => chunks.extend(self.take_pieces()),
        }
    }

    fn leave_unpacked(&mut self) {
        let pieces = self.take_pieces();
        if self.whole.is_empty() {
            self.whole = pieces;
        } else {
            self.whole.extend(pieces);
        }
    }

    /// Takes what is gathered, in pieces that fit into a record.
    fn take_pieces(&mut self) -> Vec<Chunk> {
        let (events, frames) = (std::mem::take(&mut self.events), std::mem::take(&mut self.frames));
        match events {
            0 => return Vec::new(),
            1 => return vec![Chunk::plain(1, frames)],
            _ if frames.len() <= RECORD_BYTES => return vec![Chunk::plain(events, frames)],
            _ => {}
        }
        let (mut pieces, mut piece, mut count) = (Vec::new(), Vec::new(), 0);
        let mut rest = &*frames;
        while let Ok((.., left)) = codec::decode_event(rest) {
            let (event, _) = rest.split_at(rest.len() - left.len());
            rest = left;
            if count > 0 && piece.len() + event.len() > RECORD_BYTES {
                pieces.push(Chunk::plain(count, std::mem::take(&mut piece)));
                count = 0;
            }
            piece.extend_from_slice(event);
            count += 1;
        }
        pieces.push(Chunk::plain(count, piece));
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packing;

    /// Events that LZ4 makes nothing of.
    fn noise(size: usize) -> Vec<u8> {
        let mut noise = vec![0; size];
        getrandom::fill(&mut noise).unwrap();
        noise
    }

    fn frames_of(payloads: &[Vec<u8>]) -> Vec<u8> {
        let mut frames = Vec::new();
        for payload in payloads {
            codec::encode_event("", payload, &mut frames);
        }
        frames
    }

    /// The chunks of these events, and the frames that they come to.
    fn chunks(payloads: &[Vec<u8>], pack: bool) -> (Vec<Chunk>, Vec<u8>) {
        let (mut gathered, mut packer) = (Chunks::default(), None);
        for payload in payloads {
            gathered.push("", payload, &mut packer);
        }
        if pack {
            gathered.pack(&mut packer);
        }
        let mut chunks = Vec::new();
        gathered.append_to(&mut chunks);
        let frames = chunks.iter().flat_map(|chunk| match chunk.unpacked {
            0 => chunk.frames.clone(),
            length => packing::unpack(&chunk.frames, length).unwrap(),
        });
        let frames = frames.collect();
        (chunks, frames)
    }

    #[test]
    fn chunks_hold_whole_events_and_little_more_than_a_record() {
        let sizes = [10, RECORD_BYTES * 3, 10, RECORD_BYTES / 2, RECORD_BYTES / 2, 10];
        let payloads = sizes.map(noise);
        let expected = frames_of(&payloads);
        for pack in [false, true] {
            let (chunks, frames) = chunks(&payloads, pack);
            assert_eq!(chunks.iter().map(|c| c.events).collect::<Vec<_>>(), [1, 1, 2, 2]);
            assert!(chunks.iter().all(|c| c.events == 1 || c.frames.len() <= RECORD_BYTES));
            assert!(chunks.iter().all(|c| c.unpacked == 0));
            assert_eq!(frames, expected);
        }
    }

    #[test]
    fn what_saves_enough_is_packed_and_fits_into_a_record() {
        // Of all of it together, a half: too much for one record where there is more than 64 KiB.
        let half = |size: usize| [noise(size / 2), vec![b'x'; size / 2]].concat();
        let third = |size: usize| [noise(size * 2 / 3), vec![b'x'; size / 3]].concat();
        for payloads in [
            vec![half(2000); 100],
            (0..100).map(|_| third(2000)).collect(),
            vec![half(RECORD_BYTES * 5), half(100)],
            vec![half(100)],
        ] {
            let expected = frames_of(&payloads);
            let (chunks, frames) = chunks(&payloads, true);
            assert_eq!(frames, expected);
            assert!(chunks.iter().all(|c| c.events == 1 || c.frames.len() <= RECORD_BYTES));
            let stored = chunks.iter().map(|c| c.frames.len()).sum::<usize>();
            assert!(expected.len() < 1000 || stored * 10 < expected.len() * 8, "{stored}");
        }
    }
}
