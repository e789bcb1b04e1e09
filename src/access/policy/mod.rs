//! IAM policies: documents and ARNs as they are written.
//!
//! Pure: no file, no network, no clock. The language is that of
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>.

pub mod arn;
pub mod document;
