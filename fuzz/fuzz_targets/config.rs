//! Any bytes as a configuration file.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| standpipe_fuzz::config(bytes));
