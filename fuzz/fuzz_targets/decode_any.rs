//! Any bytes in every format, to what a sink is sent.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| standpipe_fuzz::decode_any(bytes));
