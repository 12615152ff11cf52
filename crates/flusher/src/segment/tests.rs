use super::*;
use crate::blocks::BLOCK_BYTES;
use std::collections::HashMap;
use std::io::Read;

fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes.iter_mut().filter(|b| **b == b'\n').for_each(|b| *b = b' ');
    bytes
}

/// The object is one gzip member of these lines, and the segment says of it what is true.
fn check(file: &[u8], segment: &Segment, lines: &[Vec<u8>]) {
    let at = |place| usize::try_from(place).unwrap();
    let extents = segment.extents.iter().map(|it| &file[at(it.offset)..at(it.end())]);
    let object = extents.collect::<Vec<_>>().concat();
    let mut decoder = flate2::bufread::GzDecoder::new(&*object);
    let mut read = Vec::new();
    decoder.read_to_end(&mut read).unwrap();
    assert!(decoder.into_inner().is_empty(), "one member, and no more");
    let expected = lines.iter().flat_map(|line| [&**line, b"\n"]).collect::<Vec<_>>();
    let expected = expected.concat();
    assert!(read == expected);
    assert_eq!(segment.lines, lines.len() as u64);
    assert_eq!(segment.lines_bytes, expected.len() as u64);
    assert_eq!(segment.lines_digest, Digest::of(&expected));
    assert_eq!(segment.crc32, crc32fast::hash(&object));
    let blocks: Vec<u32> = object.chunks(at(BLOCK_BYTES)).map(crc32fast::hash).collect();
    assert_eq!(segment.block_crc32, blocks);
}

fn whole(written: Written) -> Segment {
    match written {
        Written::Whole(segment) => segment,
        Written::SetAside(_) => panic!("nothing was set aside"),
    }
}

#[test]
fn each_object_is_one_member_of_its_lines() {
    let objects = [
        vec![noise(20_000_000), b"{}".to_vec(), Vec::new()],
        vec![b"small".to_vec()],
        vec![vec![b'x'; 3_000_000]; 3],
        Vec::new(),
        vec![vec![b'y'; JOB_BYTES - 1 - "small\n".len()]],
        vec![vec![b'z'; JOB_BYTES - 1], vec![b'z'; JOB_BYTES - 1]],
        vec![b"last".to_vec()],
    ]
    .into_iter()
    .chain((0..2 * JOB_PIECES).map(|number| vec![number.to_string().into_bytes()]))
    .collect::<Vec<_>>();
    let compressors = Compressors::with_threads(2).unwrap();
    let mut writer = SegmentsWriter::new(Vec::new(), 1, &compressors);
    let mut segments = Vec::new();
    for lines in &objects {
        for line in lines {
            writer.line(line).unwrap();
        }
        writer.end_object().unwrap();
        segments.extend(std::iter::from_fn(|| writer.next_written()).map(whole));
    }
    writer.drain().unwrap();
    segments.extend(std::iter::from_fn(|| writer.next_written()).map(whole));
    assert_eq!(segments.len(), objects.len());
    assert_eq!(writer.position(), writer.inner_mut().len() as u64);
    let mut end = 0;
    for (lines, segment) in objects.iter().zip(segments) {
        assert_eq!(segment.extents.iter().next().unwrap().offset, end);
        assert_eq!(segment.extents.iter().count(), 1);
        end = segment.extents.end();
        check(writer.inner_mut(), &segment, lines);
    }
    assert_eq!(end, writer.position());
}

/// Objects that are written by turns: some of their lines in each round, at another level.
#[test]
fn an_object_that_was_set_aside_is_one_member_all_the_same() {
    let line = |number: usize| format!("line {number} {}", number * number).into_bytes();
    let lines = |count: usize| -> Vec<Vec<u8>> { (0..count).map(line).collect() };
    let rounds = [
        [lines(1), vec![noise(9_000_000)], Vec::new(), lines(30_000)],
        [lines(3), Vec::new(), vec![Vec::new()], vec![vec![b'x'; JOB_BYTES - 1]]],
        [Vec::new(), lines(1000), lines(2), vec![noise(40_000), noise(40_000)]],
        [lines(50_000), vec![noise(600_000)], Vec::new(), lines(7)],
    ];
    for threads in [1, 3] {
        let compressors = Compressors::with_threads(threads).unwrap();
        let mut writer = SegmentsWriter::new(Vec::new(), 6, &compressors);
        let mut aside = HashMap::new();
        let mut segments = Vec::new();
        for (round, level) in rounds.iter().zip([6, 1, 3, 6]) {
            writer.set_level(level).unwrap();
            for (object, lines) in round.iter().enumerate() {
                if let Some(set_aside) = aside.remove(&object) {
                    writer.go_on(set_aside).unwrap();
                }
                for line in lines {
                    writer.line(line).unwrap();
                }
                writer.set_aside().unwrap();
            }
            // What is whole may stand between.
            writer.line(b"whole").unwrap();
            writer.end_object().unwrap();
            writer.drain().unwrap();
            for object in 0..round.len() {
                match writer.next_written() {
                    Some(Written::SetAside(set_aside)) => aside.insert(object, *set_aside),
                    _ => panic!("it was set aside"),
                };
            }
            let between = whole(writer.next_written().unwrap());
            check(writer.inner_mut(), &between, &[b"whole".to_vec()]);
        }
        for object in 0..rounds[0].len() {
            writer.go_on(aside.remove(&object).unwrap()).unwrap();
            writer.line(b"the end").unwrap();
            writer.end_object().unwrap();
        }
        writer.drain().unwrap();
        segments.extend(std::iter::from_fn(|| writer.next_written()).map(whole));
        assert_eq!(segments.len(), rounds[0].len());
        for (object, segment) in segments.iter().enumerate() {
            let mut lines =
                rounds.iter().flat_map(|round| round[object].clone()).collect::<Vec<_>>();
            lines.push(b"the end".to_vec());
            check(writer.inner_mut(), segment, &lines);
            assert!(segment.extents.iter().count() > 1, "others lie between");
        }
    }
}

#[test]
fn what_was_set_aside_is_referred_to() {
    let compressors = Compressors::with_threads(1).unwrap();
    let mut writer = SegmentsWriter::new(Vec::new(), 6, &compressors);
    let (mut sizes, mut before) = (Vec::new(), 0);
    let mut aside = None;
    let noise = noise(10_000);
    for _ in 0..3 {
        if let Some(Written::SetAside(set_aside)) = aside {
            writer.go_on(*set_aside).unwrap();
        }
        // Less than the window each time: it is made of several.
        writer.line(&noise).unwrap();
        writer.set_aside().unwrap();
        writer.drain().unwrap();
        aside = writer.next_written();
        sizes.push(writer.position() - before);
        before = writer.position();
    }
    assert!(sizes[0] > 10_000 && sizes[1] < 500 && sizes[2] < 500, "{sizes:?}");
}
