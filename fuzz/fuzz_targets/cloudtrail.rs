//! Any bytes as CloudTrail log files, against serde.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| standpipe_fuzz::cloudtrail(bytes));
