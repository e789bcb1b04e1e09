//! The arguments of the commands that look at the running daemon.

use clap::Args;

use super::admin_client::DEFAULT_URL;

/// Where the running daemon answers.
#[derive(Args, Debug)]
pub struct DaemonAddress {
    /// The daemon's admin endpoint
    #[arg(long, default_value = DEFAULT_URL)]
    pub url: String,
}

/// What `status` shows.
#[derive(Args, Debug)]
pub struct StatusArguments {
    /// The daemon.
    #[command(flatten)]
    pub daemon: DaemonAddress,
    /// Print JSON for machines, as /status.json has it
    #[arg(long)]
    pub json: bool,
    /// Show every file, shard or log group that the daemon lists, not only those in trouble or behind
    #[arg(long)]
    pub files: bool,
}

/// What `tap` shows.
#[derive(Args, Debug)]
pub struct WantedEvents {
    /// The source or the sink; `source:NAME` or `sink:NAME` where both have the name
    #[arg(value_name = "SOURCE|SINK")]
    pub name: String,
    /// Only events whose text matches this regular expression, in its first 16 KiB
    #[arg(long, value_name = "REGEX")]
    pub filter: Option<String>,
    /// End after so many events
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
}
