//! How a run ended, as `cargo test` and CI read it.

use std::process::ExitCode;

/// Whether nothing was wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Held,
    Broken,
}

impl Verdict {
    /// Prints the last line, and makes the exit code.
    pub(crate) fn sum_up(verdicts: &[Self]) -> ExitCode {
        let broken = verdicts.iter().filter(|verdict| **verdict == Self::Broken).count();
        let word = if broken == 0 { "ok" } else { "FAILED" };
        let passed = verdicts.len() - broken;
        println!("\ntest result: {word}. {passed} passed; {broken} failed; 0 ignored; 0 measured");
        if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
