//! Any bytes as an IAM policy.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| standpipe_fuzz::policy(bytes));
