//! The arguments of `access`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;

use super::format_name::FormatName;
use crate::config::parse_duration;

/// What to do about access.
#[derive(Debug, Subcommand)]
pub enum Access {
    /// Write every policy and call of a topology to files, in the order of creation
    #[command(
        after_help = "Examples:\n  standpipe access render topology.toml --out access/     # scripts for the AWS CLI, one per account\n  standpipe access render topology.toml --format policies --out policies/\n  standpipe access render topology.toml --format terraform --out terraform/\n\nUses no network and changes nothing. Exit codes: 0 written, 1 a file cannot be written, 78 bad topology"
    )]
    Render {
        /// The topology: accounts, and who sends logs where
        #[arg(value_name = "TOPOLOGY")]
        topology: PathBuf,
        /// Scripts, templates, modules, or the policies with tables of who may do what
        #[arg(long, value_enum, default_value_t = FormatName::Cli)]
        format: FormatName,
        /// Write files into this folder; without it, they are printed
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Create or repair what a topology needs, through AWS's APIs, after showing the changes
    #[command(
        after_help = "Examples:\n  standpipe access apply topology.toml                 # shows the changes, and asks\n  standpipe access apply topology.toml --yes --account archive\n  standpipe access apply topology.toml --destroy       # removes what it made\n  standpipe access apply topology.toml --yes --watch   # subscribes new log groups that match\n\nUses each account's `profile` or `assume_role`, or the environment's credentials if they belong to that account.\nYou can stop it at any time and run it again. Without credentials for an account, it writes a script for its owner.\n\nExit codes: 0 everything is as planned, 1 something failed or could not be read, 2 wrong usage, 78 bad topology"
    )]
    Apply {
        /// The topology: accounts, and who sends logs where
        #[arg(value_name = "TOPOLOGY")]
        topology: PathBuf,
        /// Make the changes without asking
        #[arg(long)]
        yes: bool,
        /// Remove what `apply` made: resources with the topology's tag, or, if they cannot have tags, unchanged ones
        #[arg(long)]
        destroy: bool,
        /// Go on subscribing log groups that match, and do nothing else, until it is stopped; looks every 5m, or INTERVAL
        #[arg(
            long,
            value_name = "INTERVAL",
            num_args = 0..=1,
            require_equals = true,
            default_missing_value = "5m",
            value_parser = interval,
            requires = "yes",
            conflicts_with_all = ["destroy", "out"]
        )]
        watch: Option<Duration>,
        /// Only in this account; may be repeated
        #[arg(long = "account", value_name = "NAME")]
        accounts: Vec<String>,
        /// Print JSON for machines
        #[arg(long)]
        json: bool,
        /// Say only what failed or could not be read, and what is to be agreed to
        #[arg(short, long)]
        quiet: bool,
        /// Write the scripts for owners of accounts without credentials into this folder; without it, they are printed
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Check the actual resources of a topology, and show which hop is broken and how to fix it
    #[command(
        after_help = "Examples:\n  standpipe access verify topology.toml\n  standpipe access verify topology.toml --json | jq .first_failure\n\nChanges nothing. Exit codes: 0 no failure, 1 something fails, or nothing could be seen of an account, 78 bad topology"
    )]
    Verify {
        /// The topology: accounts, and who sends logs where
        #[arg(value_name = "TOPOLOGY")]
        topology: PathBuf,
        /// Print JSON for machines
        #[arg(long)]
        json: bool,
    },
}

/// An interval of a watch.
fn interval(text: &str) -> Result<Duration, String> {
    let range = Duration::from_secs(1)..=Duration::from_hours(24);
    let found = parse_duration(text).filter(|found| range.contains(found));
    found.ok_or_else(|| "expected a duration from `1s` to `24h`, such as `5m`".to_owned())
}
