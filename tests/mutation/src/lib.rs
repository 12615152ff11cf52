//! The fuzz targets without a fuzzer: seeded mutations of the committed corpus in `tests/fuzz`.
//!
//! A fuzzer looks for inputs for as long as it is let; this gives the same functions a few thousand
//! in every `cargo test`, the same ones each time.

#![allow(clippy::missing_panics_doc, reason = "a test fails by a panic")]

use std::fs;
use std::path::Path;
use std::thread::panicking;

/// No input is longer: the targets' limits are below it.
const MAX_BYTES: usize = 8 * 1024;

/// Bytes at which parsers of ours take turns.
const TURNS: [&[u8]; 28] = [
    b"",
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xfb",
    b"\xfc",
    b"\xfd",
    b"\xff\xff\xff\xff",
    b"\n",
    b"\r\n",
    b" ",
    b"\"",
    b"\\",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"/",
    b"..",
    b"%2f",
    b"&",
    b"=",
    b"\xc0\xaf",
    b"-1",
];

/// Gives `target` every input of `tests/fuzz/corpus/NAME`, and `rounds` mutations of them. A panic
/// of it fails the test, which then prints the input.
pub fn pass(name: &str, rounds: u64, target: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let entries = fs::read_dir(&dir).expect("each target has a corpus").flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    let corpus: Vec<_> = paths.iter().map(|path| fs::read(path).expect("a file")).collect();
    assert!(!corpus.is_empty(), "{name} has an empty corpus");
    for input in &corpus {
        give(target, input);
    }
    let mut random = Random(0x006d_696e_7574_656c);
    for _ in 0..rounds {
        let mut input = random.choose(&corpus).clone();
        for _ in 0..=random.below(6) {
            mutate(&mut input, &mut random, &corpus);
        }
        input.truncate(MAX_BYTES);
        give(target, &input);
    }
}

fn give(target: fn(&[u8]), input: &[u8]) {
    let told = Told(input);
    target(input);
    drop(told);
}

/// Prints the input of a target that panics.
struct Told<'i>(&'i [u8]);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if panicking() {
            eprintln!("the input was \"{}\"", self.0.escape_ascii());
        }
    }
}

fn mutate(input: &mut Vec<u8>, random: &mut Random, corpus: &[Vec<u8>]) {
    let at = random.below(input.len() + 1);
    let to = (at + 1 + random.below(16)).min(input.len());
    match random.below(7) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = u8::try_from(random.below(256)).unwrap_or_default();
            }
        }
        2 => drop(input.drain(at.min(to)..to)),
        3 => {
            let twice = input.get(at.min(to)..to).unwrap_or_default().to_vec();
            drop(input.splice(at..at, twice));
        }
        4 => {
            let other = random.choose(corpus);
            let from = random.below(other.len() + 1);
            let piece = other.get(from..).unwrap_or_default().to_vec();
            let length = random.below(piece.len() + 1);
            drop(input.splice(at..at, piece.into_iter().take(length)));
        }
        5 => input.truncate(at),
        _ => {
            let turn = *random.choose(&TURNS);
            drop(input.splice(at..at, turn.iter().copied()));
        }
    }
}

/// `SplitMix64` (Steele, Lea, Flood, "Fast splittable pseudorandom number generators").
struct Random(u64);

impl Random {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.number() % limit).unwrap_or_default()
    }

    fn choose<'c, T>(&mut self, from: &'c [T]) -> &'c T {
        from.get(self.below(from.len()))
            .expect("it is not empty, and the index is below its length")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn each_input_of_a_corpus_is_given_and_as_many_mutations_as_are_asked_for() {
        static GIVEN: AtomicUsize = AtomicUsize::new(0);
        static CHANGED: AtomicUsize = AtomicUsize::new(0);
        fn target(input: &[u8]) {
            GIVEN.fetch_add(1, Ordering::Relaxed);
            CHANGED.fetch_add(usize::from(input.contains(&0xff)), Ordering::Relaxed);
        }
        pass("query", 1000, target);
        assert!(GIVEN.load(Ordering::Relaxed) > 1000);
        assert!(CHANGED.load(Ordering::Relaxed) > 0);
    }
}
