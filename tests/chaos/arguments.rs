//! What the harness is told: by make, by a person who runs a failure again, or by `cargo test`.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Tries to break standpipe. Without `--mode` it runs what belongs to the tests.
///
/// Example: cargo test --test chaos -- --mode plan --seconds 120 --seed 42
#[derive(Clone, Debug, Parser)]
pub(crate) struct Arguments {
    /// What to run.
    #[arg(long)]
    pub(crate) mode: Option<Mode>,
    /// Seconds of a plan.
    #[arg(long, default_value_t = 120)]
    pub(crate) seconds: u64,
    /// Where everything at random comes from; by default the number of the day, with which a failure can be run again all day.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// How many kills in a row.
    #[arg(long, default_value_t = 100)]
    pub(crate) kills: u32,
    /// Minutes of the soak.
    #[arg(long, default_value_t = 30.0)]
    pub(crate) minutes: f64,
    /// MB a second of the soak; by default half of what is measured first.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Where the sinks' records wait.
    #[arg(long, default_value = "memory")]
    pub(crate) buffer: Buffer,
    /// Objects of S3 are shipped as well: announced by a queue, and listed.
    #[arg(long)]
    pub(crate) objects: bool,
    /// Odd files, slow and silent peers, a clock that jumps by hours, and few descriptors.
    #[arg(long)]
    pub(crate) hostile: bool,
    /// Another standpipe than the one that cargo built.
    #[arg(long)]
    pub(crate) bin: Option<PathBuf>,
    /// Names of tests to run, in part.
    filters: Vec<String>,
    /// As for other tests: the whole name has to match.
    #[arg(long, hide = true)]
    exact: bool,
    /// What other tests know and this one need not: it is taken, and changes nothing.
    #[arg(long, hide = true, action = clap::ArgAction::Count)]
    nocapture: u8,
    #[arg(long, short, hide = true, action = clap::ArgAction::Count)]
    quiet: u8,
    #[arg(long, hide = true)]
    test_threads: Option<String>,
    #[arg(long, hide = true)]
    color: Option<String>,
    /// As for other tests.
    #[arg(long, hide = true)]
    skip: Vec<String>,
}

/// What to run.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Mode {
    /// A plan of faults.
    Plan,
    /// Kills in a row.
    Kills,
    /// Half of full speed for long.
    Soak,
    /// Three standpipes that share a stream.
    Fleet,
}

/// Where the sinks' records wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Buffer {
    Memory,
    Disk,
}

impl Buffer {
    /// As the configuration has it.
    pub(crate) fn setting(self) -> &'static str {
        match self {
            Self::Memory => r#"{ type = "memory" }"#,
            Self::Disk => r#"{ type = "disk", max = "256MiB" }"#,
        }
    }

    /// As the command has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }
}

impl Arguments {
    pub(crate) fn parse() -> Self {
        <Self as Parser>::parse()
    }

    /// Whether the test of this name is to run.
    pub(crate) fn selects(&self, name: &str) -> bool {
        let matches = |filter: &String| if self.exact { name == filter } else { name.contains(filter) };
        (self.filters.is_empty() || self.filters.iter().any(matches)) && !self.skip.iter().any(matches)
    }

    /// The size of a test.
    pub(crate) fn for_a_test(&self, buffer: Buffer) -> Self {
        let is_full = std::env::var("STANDPIPE_TEST_SCALE").is_ok_and(|scale| scale == "full");
        Self { seconds: 15, buffer, kills: if is_full { 100 } else { 6 }, ..self.clone() }
    }

    /// The command that runs this again.
    pub(crate) fn again(&self, mode: &str, seed: u64) -> String {
        let size = match mode {
            "kills" => format!("--kills {}", self.kills),
            _ => format!("--seconds {}", self.seconds),
        };
        let bin = self.bin.as_ref().map(|bin| format!(" --bin {}", bin.display())).unwrap_or_default();
        let buffer = self.buffer.name();
        let objects = if self.objects { " --objects" } else { "" };
        let hostile = if self.hostile { " --hostile" } else { "" };
        format!(
            "cargo test --test chaos -- --mode {mode} {size} --seed {seed} --buffer {buffer}{objects}{hostile}{bin}"
        )
    }
}
