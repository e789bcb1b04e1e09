//! Any bytes as container lines, cut anywhere.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| standpipe_fuzz::container(bytes));
