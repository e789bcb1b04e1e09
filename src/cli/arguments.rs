//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// The command line of `standpipe`.
#[derive(Debug, Parser)]
#[command(
    version,
    arg_required_else_help = true,
    about = "Ships log files and CloudWatch Logs subscription payloads to Amazon Data Firehose, across accounts",
    long_about = None
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon
    #[command(
        after_help = "Examples:\n  standpipe run\n  standpipe run -c agent.toml -c local.toml\n  standpipe run -c config/quickstart.toml --once\n\n\
                            Exit codes: 0 drained, 1 failed, 75 stopped with data undelivered (it is read or sent again), 78 bad configuration"
    )]
    Run {
        /// The configuration files.
        #[command(flatten)]
        files: Files,
        /// Read what is there, deliver it, and exit
        #[arg(long)]
        once: bool,
    },
    /// Check a configuration and show what it makes, without a network
    #[command(
        after_help = "Example:\n  standpipe check -c agent.toml\n\nExit codes: 0 good, 78 bad configuration"
    )]
    Check {
        /// The configuration files.
        #[command(flatten)]
        files: Files,
    },
    /// Decode payloads of any kind to one JSON object a line
    #[command(
        after_help = "Examples:\n  standpipe decode object.json.gz\n  aws kinesis get-records ... --query 'Records[0].Data' --output text | standpipe decode -\n\n\
                            Reads CloudWatch Logs envelopes, CloudTrail files, Firehose request bodies and backup objects,\ngzipped, in base64, or both. Exit codes: 0 all decoded, 1 not all"
    )]
    Decode {
        /// Files to decode; `-` or none is standard input
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Look at checkpoints, buffers on disk and dead letters; also while the daemon runs
    #[command(
        after_help = "Examples:\n  standpipe state list\n  standpipe state show dead-letters archive --reason InvalidArgumentException --limit 5\n  standpipe state forget app /var/log/app/a.log"
    )]
    State {
        /// What to do.
        #[command(subcommand)]
        command: StateCommand,
    },
    /// Deliver dead letters again, through the sink they failed at; also while the daemon runs
    #[command(
        after_help = "Examples:\n  standpipe replay archive --dry-run\n  standpipe replay archive --reason InvalidArgumentException\n  \
                            standpipe replay _subscriptions\n  standpipe replay archive backup/processing-failed/*\n\n\
                            What was delivered is removed from the dead letters; files from elsewhere are kept, with `FILE.delivered`\nbeside them. \
                            Exit codes: 0 all delivered, 75 some are left, 1 failed, 78 bad configuration"
    )]
    Replay(ReplayArguments),
    /// Ask the running daemon whether it is healthy
    #[command(
        after_help = "Example, as a container's health check:\n  standpipe health --url http://127.0.0.1:9598\n\nExit codes: 0 healthy, 1 not, or no answer"
    )]
    Health {
        /// The daemon's admin endpoint
        #[arg(long, default_value = "http://127.0.0.1:9598")]
        url: String,
        /// Ask whether it delivers (/readyz), not only whether it lives
        #[arg(long)]
        ready: bool,
    },
}

/// The configuration files of a command.
#[derive(Args, Debug)]
pub struct Files {
    /// Configuration file; may be repeated: later ones override
    #[arg(
        short = 'c',
        long = "config",
        value_name = "FILE",
        default_value = "/etc/standpipe/standpipe.toml"
    )]
    pub config: Vec<PathBuf>,
}

/// What `state` does.
#[derive(Debug, Subcommand)]
pub enum StateCommand {
    /// List everything that is kept: checkpoints, buffers on disk, dead letters
    #[command(
        after_help = "Examples:\n  standpipe state list\n  standpipe state list --dir /var/lib/standpipe --json"
    )]
    List {
        /// Where the state is.
        #[command(flatten)]
        place: StatePlace,
        /// For machines
        #[arg(long)]
        json: bool,
    },
    /// Show checkpoints or dead letters one by one
    #[command(
        after_help = "Examples:\n  standpipe state show sources app\n  standpipe state show dead-letters archive --limit 3\n  \
                            standpipe state show dead-letters archive --json | jq -r .text"
    )]
    Show {
        /// Of what.
        #[command(subcommand)]
        what: Show,
    },
    /// Drop checkpoints, so that files are read anew: from where `start` says
    #[command(
        after_help = "Examples:\n  standpipe state forget app\n  standpipe state forget app /var/log/app/a.log\n\nThe daemon must be stopped."
    )]
    Forget {
        /// Where the state is.
        #[command(flatten)]
        place: StatePlace,
        /// The source
        source: String,
        /// One of its files; by default all
        file: Option<PathBuf>,
    },
}

/// What `state show` shows.
#[derive(Debug, Subcommand)]
pub enum Show {
    /// Checkpoints: how far each file was delivered
    #[command(after_help = "Example:\n  standpipe state show sources app")]
    Sources {
        /// Where the state is.
        #[command(flatten)]
        place: StatePlace,
        /// Only this source
        source: Option<String>,
        /// For machines: one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Dead letters, oldest first
    #[command(
        after_help = "Example:\n  standpipe state show dead-letters archive --reason InvalidArgumentException"
    )]
    DeadLetters {
        /// Where the state is.
        #[command(flatten)]
        place: StatePlace,
        /// The sink, or `_SOURCE` for what could not be decoded
        sink: String,
        /// Only letters with this reason; may be repeated
        #[arg(long)]
        reason: Vec<String>,
        /// Most letters to show; with --json all by default, else 20
        #[arg(long)]
        limit: Option<usize>,
        /// Whole letters, as they are kept: one JSON object a line
        #[arg(long)]
        json: bool,
    },
}

/// Where the state is.
#[derive(Args, Debug)]
pub struct StatePlace {
    /// The configuration that says where it is.
    #[command(flatten)]
    pub files: Files,
    /// The state directory itself; no configuration is read then
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub dir: Option<PathBuf>,
}

/// What `replay` replays.
#[derive(Args, Debug)]
pub struct ReplayArguments {
    /// The configuration files.
    #[command(flatten)]
    pub files: Files,
    /// The sink, or `_SOURCE` for what that source could not decode
    pub sink: String,
    /// Files of letters, or objects that Firehose put into its backup bucket; by default the sink's dead letters
    #[arg(value_name = "FILE")]
    pub letters: Vec<PathBuf>,
    /// Only say what would be delivered
    #[arg(long)]
    pub dry_run: bool,
    /// Only letters with this reason; may be repeated
    #[arg(long)]
    pub reason: Vec<String>,
}
