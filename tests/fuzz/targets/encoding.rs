#![no_main]
//! Everything that it asserts is in `ingest::fuzzing`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| ingest::fuzzing::encoding(data));
