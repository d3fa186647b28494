//! The target of cargo-fuzz for [`faasflow_fuzz::signature`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| faasflow_fuzz::signature(input));
