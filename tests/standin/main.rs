//! The Firehose stand-in as a process of its own.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a tool for tests: it may stop at once, and it prints"
)]

#[path = "mod.rs"]
mod standin;

use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use standin::{Faults, Key, Role, Scrutiny, Settings, Standin, Stream};

/// Serves Firehose and STS until standard input closes or SIGTERM comes; `/_standin/report` says what was accepted.
#[derive(Parser)]
struct Arguments {
    /// Where to listen; the address is printed.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Serve TLS.
    #[arg(long)]
    tls: bool,
    /// Where to write the authority's certificate.
    #[arg(long)]
    ca_out: Option<PathBuf>,
    /// A stream, as NAME or ACCOUNT/NAME; may be repeated. None: any name is taken.
    #[arg(long)]
    stream: Vec<String>,
    /// A role as JSON, with `arn`, `principals` (who may assume it), `external_id` and `lifetime_seconds`.
    #[arg(long, value_parser = json::<Role>)]
    role: Vec<Role>,
    /// Faults as JSON, such as `{"record_failures":0.2,"throttles":0.1}`.
    #[arg(long, value_parser = json::<Faults>)]
    faults: Option<Faults>,
    /// Count only what comes: signatures, limits and lines are not looked at.
    #[arg(long)]
    light: bool,
    /// Seed of the faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(text)
}

fn main() {
    let arguments = Arguments::parse();
    let key = Key::default();
    let stream = |text: &String| match text.split_once('/') {
        Some((account, name)) => Stream::new(account, name),
        None => Stream::new(&key.account, text),
    };
    let settings = Settings {
        listen: arguments.listen,
        tls: arguments.tls,
        any_stream: arguments.stream.is_empty(),
        streams: arguments.stream.iter().map(stream).collect(),
        roles: arguments.role,
        faults: arguments.faults.unwrap_or_default(),
        seed: arguments.seed,
        scrutiny: if arguments.light { Scrutiny::CountOnly } else { Scrutiny::Full },
        ..Settings::default()
    };
    let standin = Standin::start(&settings);
    if let Some(path) = &arguments.ca_out {
        std::fs::write(path, standin.ca()).unwrap();
    }
    println!("{}", standin.url());
    println!("AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={}", key.id, key.secret);
    // SIGTERM ends the process by its default action; nothing here has to be put in order.
    std::io::stdin().read_to_end(&mut Vec::new()).ok();
}
