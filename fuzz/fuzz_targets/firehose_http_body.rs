//! Any bytes as the body of a Firehose request, against serde.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| standpipe_fuzz::firehose_http_body(bytes));
