//! cargo-fuzz's entrance to [`faasflow_fuzz::envelope`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| faasflow_fuzz::envelope(input));
