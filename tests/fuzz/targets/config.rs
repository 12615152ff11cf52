#![no_main]
//! Everything that it asserts is in `config/fuzzing.rs` of the binary.

#[allow(dead_code, unused_imports, reason = "the target is a part of what the files are for")]
#[path = "../../../crates/minutelog/src"]
mod binary {
    pub(crate) mod config;
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| binary::config::fuzzing::config(data));
