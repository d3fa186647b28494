//! cargo-fuzz's entrance to [`faasflow_fuzz::signature`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| faasflow_fuzz::signature(input));
