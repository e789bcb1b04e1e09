//! Any bytes as a checkpoint file.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| standpipe_fuzz::checkpoint(bytes));
