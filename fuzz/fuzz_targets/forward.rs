//! Any bytes as messages of the Forward protocol, cut anywhere.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| standpipe_fuzz::forward(bytes));
