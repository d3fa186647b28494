//! The target of cargo-fuzz for [`faasflow_fuzz::envelope`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| faasflow_fuzz::envelope(input));
