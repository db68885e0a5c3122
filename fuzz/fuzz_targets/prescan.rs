//! Feeds what libFuzzer makes up to the check of the same name.
#![no_main]

#[path = "../checks/prescan.rs"]
mod prescan;

libfuzzer_sys::fuzz_target!(|input: &[u8]| prescan::check(input));
