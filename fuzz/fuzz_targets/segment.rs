//! Any bytes as a segment of the disk buffer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| standpipe_fuzz::segment(bytes));
