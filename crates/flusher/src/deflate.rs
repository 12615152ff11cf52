//! Compressing on several cores: pieces of objects, each on its own, that make one deflate stream when they
//! are put one behind the other.
//!
//! A piece that is not the last of its object ends in an empty stored block (zlib's `Z_SYNC_FLUSH`), and
//! so at a whole byte. What lies in the 32 KiB before a piece is given to its compressor as a dictionary:
//! the stream refers to it as if one compressor had made all of it. So does pigz.

use std::collections::VecDeque;
use std::io;
use std::num::NonZero;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use flate2::{Compress, Compression, FlushCompress, Status};

/// How far deflate looks back (RFC 1951, 2).
const WINDOW_BYTES: usize = 32 * 1024;

/// So many threads at most, however many cores there are: each holds about two megabytes.
const MAX_THREADS: usize = 32;

/// So many jobs for each thread are under way: one in its hands, and one for it to go on with.
const JOBS_A_THREAD: usize = 2;

/// The room for output that a compressor is given at least.
const ROOM_BYTES: usize = 16 * 1024;

/// Bytes to be compressed: the end of an object, whole ones, and the beginning of another.
#[derive(Debug, Default)]
pub(crate) struct Job {
    pub(crate) bytes: Vec<u8>,
    pub(crate) pieces: Vec<Piece>,
    /// What stands before the first piece, where it does not begin its object.
    pub(crate) dictionary: Vec<u8>,
}

/// A piece of one object: the bytes of its job from the end of the piece before it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) end: usize,
    pub(crate) from: Start,
    pub(crate) to: End,
}

/// What a piece begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Its object.
    Object,
    /// What follows the piece before it.
    Within,
    /// What follows where its object was set aside. Such a piece is the first one of its job.
    SetAside,
}

/// What a piece ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its object.
    Object,
    /// What the next piece goes on with.
    Within,
    /// Its object, as far as that is known yet.
    SetAside,
}

impl Job {
    /// The end of the last piece.
    pub(crate) fn cut_end(&self) -> usize {
        self.pieces.last().map_or(0, |piece| piece.end)
    }

    /// Each piece and its bytes.
    pub(crate) fn each_piece(&self) -> impl Iterator<Item = (Piece, &[u8])> {
        let mut start = 0;
        self.pieces.iter().map(move |piece| {
            let bytes = self.bytes.get(start..piece.end).unwrap_or_default();
            start = piece.end;
            (*piece, bytes)
        })
    }

    /// What a piece that follows this job in the same object may refer to, as far as that matters.
    pub(crate) fn window(&self) -> Vec<u8> {
        let Some((piece, last)) = self.each_piece().last() else { return Vec::new() };
        let is_alone = self.pieces.len() == 1 && piece.from != Start::Object;
        let before = if is_alone { &*self.dictionary } else { &[] };
        let before = tail(before, WINDOW_BYTES.saturating_sub(last.len()));
        [before, tail(last, WINDOW_BYTES)].concat()
    }

    /// Makes it one without pieces. Its memory is kept.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.pieces.clear();
        self.dictionary.clear();
    }
}

fn tail(bytes: &[u8], most: usize) -> &[u8] {
    bytes.get(bytes.len().saturating_sub(most)..).unwrap_or_default()
}

/// A job that was done.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) job: Job,
    /// The compressed pieces, one behind the other.
    pub(crate) made: Vec<u8>,
    /// Where each ends, and the CRC-32 of what was compressed.
    pub(crate) ends: Vec<(usize, crc32fast::Hasher)>,
}

struct Order {
    level: u32,
    work: Done,
    answer: SyncSender<io::Result<Done>>,
}

/// Threads that compress, one for each core but one. Idle ones cost nothing.
#[derive(Debug)]
pub(crate) struct Compressors {
    orders: Sender<Order>,
    threads: usize,
}

impl Compressors {
    /// Starts them. They end when this is dropped and what was handed to them is done.
    pub(crate) fn start() -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        // One is left: while a minute is sealed, clients wait for ingest on the same machine.
        Self::with_threads(cores.saturating_sub(1).clamp(1, MAX_THREADS))
    }

    pub(crate) fn with_threads(threads: usize) -> io::Result<Self> {
        let (orders, waiting) = mpsc::channel();
        let waiting = Arc::new(Mutex::new(waiting));
        for number in 0..threads {
            let waiting = Arc::clone(&waiting);
            thread::Builder::new()
                .name(format!("compressor-{number}"))
                .spawn(move || compress_all(&waiting))?;
        }
        Ok(Self { orders, threads })
    }

    /// A line of jobs whose results come out in the order in which they were handed in.
    pub(crate) fn line(&self, level: u32) -> Line {
        let most = self.threads * JOBS_A_THREAD;
        Line { orders: self.orders.clone(), level, most, under_way: VecDeque::new() }
    }
}

/// Jobs under way. Those that nobody waits for any more are done for nothing.
#[derive(Debug)]
pub(crate) struct Line {
    orders: Sender<Order>,
    level: u32,
    most: usize,
    under_way: VecDeque<Receiver<io::Result<Done>>>,
}

impl Line {
    /// Compresses what is handed in from now on at another level.
    pub(crate) fn set_level(&mut self, level: u32) {
        self.level = level;
    }

    /// Hands in a job, in whose place the memory of an earlier one is used.
    pub(crate) fn hand_in(&mut self, work: Done) -> io::Result<()> {
        let (answer, answered) = mpsc::sync_channel(1);
        let order = Order { level: self.level, work, answer };
        self.orders.send(order).map_err(|_| gone())?;
        self.under_way.push_back(answered);
        Ok(())
    }

    /// Whether the next result has to be taken before another job is handed in.
    pub(crate) fn is_full(&self) -> bool {
        self.under_way.len() >= self.most
    }

    /// Waits for the next result; `None` where nothing is under way.
    pub(crate) fn next(&mut self) -> io::Result<Option<Done>> {
        let Some(answered) = self.under_way.pop_front() else { return Ok(None) };
        answered.recv().map_err(|_| gone())?.map(Some)
    }
}

fn gone() -> io::Error {
    io::Error::other("a thread that compresses has ended")
}

fn compress_all(waiting: &Mutex<Receiver<Order>>) {
    let mut compressor = None;
    loop {
        // Whoever holds the lock is the one that waits.
        let order = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Order { level, mut work, answer }) = order else { return };
        let deflate = match &mut compressor {
            Some((of, deflate)) if *of == level => deflate,
            other => &mut other.insert((level, Compress::new(Compression::new(level), false))).1,
        };
        let outcome = compress(deflate, &mut work).map(|()| work);
        // Where it was broken off, nobody waits.
        answer.send(outcome).ok();
    }
}

fn compress(deflate: &mut Compress, work: &mut Done) -> io::Result<()> {
    work.made.clear();
    work.ends.clear();
    for (piece, bytes) in work.job.each_piece() {
        deflate.reset();
        if piece.from != Start::Object {
            deflate.set_dictionary(&work.job.dictionary)?;
        }
        let is_last = piece.to == End::Object;
        let flush = if is_last { FlushCompress::Finish } else { FlushCompress::Sync };
        compress_piece(deflate, bytes, flush, &mut work.made)?;
        let mut crc32 = crc32fast::Hasher::new();
        crc32.update(bytes);
        work.ends.push((work.made.len(), crc32));
    }
    Ok(())
}

fn compress_piece(
    deflate: &mut Compress,
    mut bytes: &[u8],
    flush: FlushCompress,
    made: &mut Vec<u8>,
) -> io::Result<()> {
    loop {
        made.reserve(ROOM_BYTES);
        let before = deflate.total_in();
        let status = deflate.compress_vec(bytes, made, flush)?;
        let taken = usize::try_from(deflate.total_in() - before).unwrap_or(usize::MAX);
        bytes = bytes.get(taken..).unwrap_or_default();
        // Where room is left, nothing waits for it.
        let is_flushed = bytes.is_empty() && made.len() < made.capacity();
        if status == Status::StreamEnd || (flush != FlushCompress::Finish && is_flushed) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    /// Jobs of one piece each that are one object.
    fn jobs(pieces: &[&[u8]]) -> Vec<Job> {
        let mut jobs = Vec::<Job>::new();
        for (number, bytes) in pieces.iter().enumerate() {
            let from = if number == 0 { Start::Object } else { Start::Within };
            let to = if number + 1 == pieces.len() { End::Object } else { End::Within };
            let piece = Piece { end: bytes.len(), from, to };
            let dictionary = jobs.last().map_or(Vec::new(), Job::window);
            jobs.push(Job { bytes: bytes.to_vec(), pieces: vec![piece], dictionary });
        }
        jobs
    }

    #[test]
    fn pieces_make_one_stream_whatever_the_level_and_what_they_are() {
        let (noise, words) = (noise(300_000), b"words and words ".repeat(20_000));
        let pieces = [&words[..], &noise, &noise[..7], b"", &words, &noise, b""];
        for level in [1, 2, 6, 9] {
            let compressors = Compressors::with_threads(3).unwrap();
            let mut line = compressors.line(level);
            let mut stream = Vec::new();
            let mut take = |line: &mut Line| {
                let done = line.next().unwrap();
                done.is_some_and(|done| {
                    stream.extend_from_slice(&done.made);
                    true
                })
            };
            for job in jobs(&pieces) {
                if line.is_full() {
                    assert!(take(&mut line));
                }
                line.hand_in(Done { job, ..Done::default() }).unwrap();
            }
            while take(&mut line) {}
            let mut decoder = flate2::bufread::DeflateDecoder::new(&*stream);
            let mut read = Vec::new();
            decoder.read_to_end(&mut read).unwrap();
            assert!(decoder.into_inner().is_empty());
            assert!(read == pieces.concat(), "level {level}");
        }
    }

    #[test]
    fn a_piece_refers_to_what_stands_before_it() {
        let noise = noise(20_000);
        let compressors = Compressors::with_threads(1).unwrap();
        let mut line = compressors.line(6);
        let mut sizes = Vec::new();
        for job in jobs(&[&noise, &noise]) {
            line.hand_in(Done { job, ..Done::default() }).unwrap();
            sizes.push(line.next().unwrap().unwrap().made.len());
        }
        assert!(sizes[0] > 20_000 && sizes[1] < 1000, "{sizes:?}");
    }

    #[test]
    fn what_was_broken_off_holds_up_nothing() {
        let compressors = Compressors::with_threads(1).unwrap();
        let mut broken_off = compressors.line(1);
        for job in jobs(&[&b"a"[..]; 5]) {
            broken_off.hand_in(Done { job, ..Done::default() }).unwrap();
        }
        drop(broken_off);
        let mut line = compressors.line(9);
        let [job] = <[Job; 1]>::try_from(jobs(&[&b"b"[..]])).unwrap();
        line.hand_in(Done { job, ..Done::default() }).unwrap();
        let done = line.next().unwrap().unwrap();
        assert_eq!(done.ends.len(), 1);
        assert!(line.next().unwrap().is_none());
    }
}
