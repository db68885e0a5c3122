//! Feeds what libFuzzer makes up to the check of the same name.
#![no_main]

#[path = "../checks/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::check(input));
