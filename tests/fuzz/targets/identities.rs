#![no_main]
//! Everything that it asserts is in `wal::fuzzing`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| wal::fuzzing::identities(data));
