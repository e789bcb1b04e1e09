//! Any bytes as envelopes, against serde.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| standpipe_fuzz::envelope(bytes));
