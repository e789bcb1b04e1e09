//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use super::access_arguments::Access;
use super::live_arguments::{DaemonAddress, StatusArguments, WantedEvents};
use crate::config::DEFAULT_FILE;

/// The command line of `standpipe`.
#[derive(Debug, Parser)]
#[command(
    version = env!("BUILD_VERSION"),
    arg_required_else_help = true,
    about = "Ships logs from files, containers, subscriptions, Kinesis, S3 and log groups to Amazon Data Firehose, across accounts",
    long_about = None
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: CliCommand,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Run the daemon
    #[command(
        after_help = "Examples:\n  standpipe run\n  standpipe run -c agent.toml -c local.toml\n  standpipe run -c config/quickstart.toml --once\n\n\
                            Exit codes: 0 everything delivered, 1 failed, 75 stopped with data undelivered (it is read or sent again), 78 bad configuration"
    )]
    Run {
        /// The configuration files.
        #[command(flatten)]
        files: NamedFiles,
        /// Deliver the data that exists, and exit; on a terminal, show how far it is, and what was done
        #[arg(long)]
        once: bool,
        /// Say only what is wrong: log warnings and errors alone, unless `STANDPIPE_LOG` says otherwise
        #[arg(short, long)]
        quiet: bool,
    },
    /// Check a configuration and show its pipeline, without a network
    #[command(
        alias = "validate",
        after_help = "Examples:\n  standpipe check -c agent.toml\n  standpipe check agent.toml local.toml\n  standpipe check --deny-warnings --json agent.toml\n\nExit codes: 0 good, 78 bad configuration, or a warning with --deny-warnings"
    )]
    Check {
        /// The configuration files.
        #[command(flatten)]
        files: NamedFiles,
        /// Print errors and warnings as JSON for machines, and no pipeline
        #[arg(long)]
        json: bool,
        /// Take a warning for an error
        #[arg(long)]
        deny_warnings: bool,
    },
    /// Check every hop live, and show which is broken and how to fix it
    #[command(
        after_help = "Examples:\n  standpipe doctor -c agent.toml\n  standpipe doctor -c agent.toml --json | jq .first_failure\n  standpipe doctor -c agent.toml --topology topology.toml\n\n\
                            Changes nothing. Run it as standpipe's user.\nExit codes: 0 no failure, 1 something fails, or nothing could be seen of an account, 78 bad configuration"
    )]
    Doctor {
        /// The configuration files.
        #[command(flatten)]
        files: NamedFiles,
        /// Print JSON for machines
        #[arg(long)]
        json: bool,
        /// Put one line to each stream, to make sure that it works
        #[arg(long)]
        write_probe: bool,
        /// Check the hops of a topology, too, from log groups to the bucket
        #[arg(long, value_name = "TOPOLOGY")]
        topology: Option<PathBuf>,
    },
    /// Decode payloads of any kind to one JSON object per line
    #[command(
        after_help = "Examples:\n  standpipe decode object.json.gz\n  aws kinesis get-records ... --query 'Records[0].Data' --output text | standpipe decode -\n\n\
                            Reads CloudWatch Logs envelopes, CloudTrail files, Firehose request bodies and backup objects,\ngzipped, in base64, or both. Exit codes: 0 all decoded, 1 some not"
    )]
    Decode {
        /// Files to decode; `-` or no file reads standard input
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Set up access between accounts: roles, policies, destinations, subscriptions
    #[command(
        after_help = "Examples:\n  standpipe access render topology.toml --format cli --out access/\n  standpipe access apply topology.toml\n  standpipe access verify topology.toml\n\nConfiguration: config/topology.toml is a sample with every key"
    )]
    Access {
        /// What to do about it.
        #[command(subcommand)]
        what: Access,
    },
    /// Inspect checkpoints, disk buffers and dead letters; also while the daemon runs
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
                            Delivered letters are removed from the state directory. Other files stay, with `FILE.delivered` beside them.\n\
                            Exit codes: 0 all delivered, 75 some are left, 1 failed, 78 bad configuration"
    )]
    Replay(ReplayArguments),
    /// Show how the running daemon is: each source with its files, each destination with what is wrong
    #[command(
        after_help = "Examples:\n  standpipe status\n  standpipe status --files\n  standpipe status --json | jq '.sinks[].destinations[] | select(.state == \"held\")'\n\nRates are those of the last 10 seconds. Exit codes: 0 all is well, 1 something needs attention, or no answer"
    )]
    Status(StatusArguments),
    /// Watch the running daemon in the terminal: sources and destinations, once a second
    #[command(
        after_help = "Examples:\n  standpipe top\n  standpipe top --url http://10.0.0.7:9598\n\nKeys: q quit, ? help, s sort, / filter, p pause, Tab the other table. NO_COLOR=1 turns colours off.\nExit codes: 0 ended by a key or a signal, 2 there is no terminal"
    )]
    Top(DaemonAddress),
    /// Show events as they pass through the running daemon: from a source, after redaction, or as written for a sink
    #[command(
        after_help = "Examples:\n  standpipe tap app --limit 10\n  standpipe tap app --filter 'ERROR|WARN' | jq -r .message\n  standpipe tap sink:archive --dir /var/lib/standpipe\n\nPrints one JSON object per event. Never slows the daemon: it shows what there is room for, at most some 2,000 events a second,\nand says now and then how many it did not look at. Run it as standpipe's user.\n\nExit codes: 0 done, 1 no daemon, or no such source or sink, 78 bad configuration"
    )]
    Tap {
        /// Where the state is.
        #[command(flatten)]
        place: StatePlace,
        /// What is wanted.
        #[command(flatten)]
        wanted: WantedEvents,
    },
    /// Ask the running daemon whether it is healthy
    #[command(
        after_help = "Examples, as a container's health check:\n  standpipe health\n  standpipe health -c /etc/standpipe/standpipe.toml --ready\n  standpipe health --url http://127.0.0.1:9598\n\nExit codes: 0 healthy, 1 unhealthy or no answer, 78 bad configuration"
    )]
    Health {
        /// The daemon's admin endpoint; by default that of 127.0.0.1:9598
        #[arg(long, conflicts_with = "config")]
        url: Option<String>,
        /// The configuration that says where it is, as `server.listen`; may be repeated
        #[arg(short = 'c', long = "config", value_name = "FILE")]
        config: Vec<PathBuf>,
        /// Ask whether it delivers (/readyz), not only whether it answers
        #[arg(long)]
        ready: bool,
    },
    /// Test what a configuration does with events, without a network
    #[command(
        after_help = "Examples:\n  standpipe test -c agent.toml\n  standpipe test -c agent.toml agent.tests.toml\n\nTests are `[[tests]]` of the configuration, or of a file of their own; see docs/testing.md.\nExit codes: 0 all as expected, 1 something differs, or there are no tests, 78 bad configuration"
    )]
    Test {
        /// The configuration files.
        #[command(flatten)]
        files: Files,
        /// A file of tests, instead of those in the configuration; it is laid over the configuration
        #[arg(value_name = "FILE")]
        tests: Option<PathBuf>,
    },
    /// Print a JSON Schema of the configuration, for editors
    #[command(
        after_help = "Example:\n  standpipe schema > standpipe.schema.json\n\nA first line `#:schema ./standpipe.schema.json` in the configuration names it to editors."
    )]
    Schema,
    /// Print what a shell needs to complete commands and options
    #[command(
        after_help = "Examples:\n  standpipe completions bash > /usr/share/bash-completion/completions/standpipe\n  standpipe completions zsh > /usr/share/zsh/vendor-completions/_standpipe\n  standpipe completions fish > ~/.config/fish/completions/standpipe.fish"
    )]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Write the man pages, one for each command
    #[command(
        after_help = "Examples:\n  standpipe man | man -l -\n  sudo standpipe man /usr/local/share/man/man1"
    )]
    Man {
        /// Write all pages into this folder; without it, the page of standpipe itself is printed
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
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
        default_value = DEFAULT_FILE
    )]
    pub config: Vec<PathBuf>,
}

/// Configuration files with `-c` before them, or without.
#[derive(Debug, Args)]
pub struct NamedFiles {
    /// With `-c`.
    #[command(flatten)]
    named: Files,
    /// The same without `-c`
    #[arg(value_name = "FILE", conflicts_with = "config")]
    bare: Vec<PathBuf>,
}

impl NamedFiles {
    /// The files, whichever way they were named.
    #[must_use]
    pub fn paths(self) -> Vec<PathBuf> {
        if self.bare.is_empty() { self.named.config } else { self.bare }
    }
}

impl Arguments {
    /// Reads the command line; a mistake that is often made gets a tip.
    ///
    /// # Errors
    /// When it cannot be understood, or asks for help.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        Self::try_parse_from(arguments).map_err(|mut error| {
            let unknown = match error.get(ContextKind::InvalidArg) {
                Some(ContextValue::String(unknown)) => unknown.clone(),
                _ => String::new(),
            };
            if ["-c", "--config"].contains(&unknown.as_str()) {
                let tip = "the configuration comes after the command: `standpipe run -c FILE`";
                error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
            }
            error
        })
    }
}

/// What `state` does.
#[derive(Debug, Subcommand)]
pub enum StateCommand {
    /// List checkpoints, disk buffers and dead letters
    #[command(
        after_help = "Examples:\n  standpipe state list\n  standpipe state list --dir /var/lib/standpipe --json"
    )]
    List {
        /// Where the state is.
        #[command(flatten)]
        place: StatePlace,
        /// Print JSON for machines
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
    /// Drop checkpoints, so that files are read again, from `start`
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
    /// Checkpoints: the position up to which each file was delivered
    #[command(after_help = "Example:\n  standpipe state show sources app")]
    Sources {
        /// Where the state is.
        #[command(flatten)]
        place: StatePlace,
        /// Only this source
        source: Option<String>,
        /// Print one JSON object per line, for machines
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
        /// The sink, or `_SOURCE` for payloads that could not be decoded
        sink: String,
        /// Only letters with this reason; may be repeated
        #[arg(long)]
        reason: Vec<String>,
        /// Most letters to show; 20 by default, or all with --json
        #[arg(long)]
        limit: Option<usize>,
        /// Print whole letters, one JSON object per line
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
    /// The state directory, instead of a configuration
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub dir: Option<PathBuf>,
}

/// What `replay` replays.
#[derive(Args, Debug)]
pub struct ReplayArguments {
    /// The configuration files.
    #[command(flatten)]
    pub files: Files,
    /// The sink, or `_SOURCE` for payloads that this source could not decode
    pub sink: String,
    /// Files of letters, or objects from Firehose's backup bucket; by default the sink's dead letters
    #[arg(value_name = "FILE")]
    pub letters: Vec<PathBuf>,
    /// Only show what would be delivered
    #[arg(long)]
    pub dry_run: bool,
    /// Only letters with this reason; may be repeated
    #[arg(long)]
    pub reason: Vec<String>,
    /// Say only what was not delivered, and why
    #[arg(short, long)]
    pub quiet: bool,
}
