//! Any bytes as a stream of events, cut anywhere.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| standpipe_fuzz::event_stream(bytes));
