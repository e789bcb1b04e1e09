//! `standpipe replay`: dead letters back through the sink that could not deliver them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::arguments::ReplayArguments;
use super::run::{report_to, runtime, signals};
use super::state::printable;
use super::table::{self, count};
use super::terminal::{StatusLine, can_rewrite};
use super::{configuration, exit, logging};
use crate::causes::with_causes;
use crate::config::Config;
use crate::daemon::{self, LetterTarget, Replay, Signal};
use crate::deadletter::{self, FileSummary};
use crate::event::Timestamp;
use crate::source::dead_letters::{ReplayFile, Replayed};

/// Delivers letters again, or says what would be; returns the exit code.
///
/// # Errors
/// When `out` or `err` cannot be written.
pub fn run(
    arguments: &ReplayArguments,
    environment: &BTreeMap<String, String>,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    let Some(checked) = configuration(&arguments.files.config, environment, err)? else {
        return Ok(exit::CONFIG);
    };
    let config = checked.config;
    let reasons: BTreeSet<String> = arguments.reason.iter().cloned().collect();
    let asked = target(&config, &arguments.sink)
        .and_then(|target| Ok((target, files(&config.state.dir, &arguments.sink, &arguments.letters)?)));
    let (target, files) = match asked {
        Ok(asked) => asked,
        Err(words) => {
            writeln!(err, "standpipe: {words}")?;
            return Ok(exit::FAILED);
        }
    };
    if files.is_empty() {
        if arguments.quiet {
            return Ok(exit::DONE);
        }
        writeln!(out, "no dead letters of `{}`", arguments.sink)?;
        return Ok(exit::DONE);
    }
    if arguments.dry_run {
        return dry_run(&arguments.sink, files, &reasons, out, err);
    }
    let status = Arc::<StatusLine>::default();
    let limit = logging::start(environment, arguments.quiet, &status);
    let looks_on = can_rewrite(environment, io::stderr().is_terminal());
    let report = looks_on.then(|| report_to(&status, arguments.quiet));
    let runtime = runtime(config.limits.workers)?;
    runtime.spawn(limit.report());
    let began = Instant::now();
    let replayed = runtime.block_on(async {
        let signals = signals(Signal::Stop)?;
        Ok(daemon::replay(Replay { config, target, files, reasons, signals, report }).await)
    });
    runtime.shutdown_background();
    // Nobody is left to tell when the terminal is gone.
    status.instead(b"").ok();
    match replayed {
        Ok(Ok(replayed)) => say(arguments, &replayed, began.elapsed(), out),
        Ok(Err(error)) => {
            writeln!(err, "standpipe: {}", with_causes(&error))?;
            Ok(exit::FAILED)
        }
        Err(error) => Err(error),
    }
}

fn target(config: &Config, name: &str) -> Result<LetterTarget, String> {
    if config.sinks.contains_key(name) {
        return Ok(LetterTarget::Sink(name.to_owned()));
    }
    let source = name.strip_prefix('_').filter(|source| config.sources.contains_key(*source));
    if let Some(source) = source {
        return Ok(LetterTarget::Source(source.to_owned()));
    }
    let sinks = config.sinks.keys().map(|sink| format!("`{sink}`"));
    let sources = config.sources.keys().map(|source| format!("`{}`", deadletter::folder_of_source(source)));
    let known: Vec<String> = sinks.chain(sources).collect();
    Err(format!(
        "the configuration has no sink `{name}`: replay to {}; to replay letters of a removed sink, name their files",
        known.join(" or ")
    ))
}

fn files(state: &Path, folder: &str, named: &[PathBuf]) -> Result<Vec<ReplayFile>, String> {
    if named.is_empty() {
        let files = deadletter::files(state, folder)
            .map_err(|error| format!("cannot read the dead letters in `{}`: {error}", state.display()))?;
        return Ok(files.into_iter().map(|path| ReplayFile { path, own: true }).collect());
    }
    // A state directory that is not there holds no file.
    let kept = state.join(deadletter::FOLDER).canonicalize().ok();
    let file = |path: &PathBuf| {
        let path =
            path.canonicalize().map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
        let own = kept.as_ref().is_some_and(|kept| path.starts_with(kept));
        Ok(ReplayFile { path, own })
    };
    named.iter().map(file).collect()
}

fn dry_run(
    sink: &str,
    files: Vec<ReplayFile>,
    reasons: &BTreeSet<String>,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    let now = Timestamp::now();
    let mut total = FileSummary::default();
    let mut code = exit::DONE;
    let mut rows = vec![table::row(["file", "letters", "events", "size", "oldest", "reasons"])];
    for ReplayFile { path, .. } in files {
        match FileSummary::read(path.clone(), reasons) {
            Ok(file) => {
                rows.push(row(&file, now));
                total.add(&file);
            }
            Err(error) => {
                writeln!(err, "standpipe: cannot read `{}`: {error}", path.display())?;
                code = exit::FAILED;
            }
        }
    }
    table::write(out, &rows)?;
    writeln!(
        out,
        "would deliver {} with {} to `{sink}`",
        count(total.letters, "letter"),
        count(total.events, "event")
    )?;
    if total.damaged > 0 {
        writeln!(out, "would skip {}: torn or changed", count(total.damaged, "damaged value"))?;
    }
    Ok(code)
}

fn row(file: &FileSummary, now: Timestamp) -> Vec<String> {
    let reasons: Vec<String> =
        file.reasons.iter().map(|(reason, letters)| format!("{} {letters}", printable(reason))).collect();
    vec![
        printable(&file.path.to_string_lossy()),
        file.letters.to_string(),
        file.events.to_string(),
        table::size(file.bytes),
        file.oldest.map_or_else(|| "-".to_owned(), |oldest| format!("{} ago", table::age(oldest, now))),
        reasons.join(", "),
    ]
}

/// Says what became of the letters; the exit code.
fn say(
    arguments: &ReplayArguments,
    replayed: &Replayed,
    took: Duration,
    out: &mut impl Write,
) -> io::Result<u8> {
    let Replayed { ended, kept_anew, left, unfit, damaged, taken, broken, events, billed_bytes, .. } =
        *replayed;
    let delivered = ended.saturating_sub(kept_anew);
    if !arguments.quiet {
        let (letters, events) = (count(delivered, "letter"), count(events, "event"));
        let (billed, seconds) = (table::size(billed_bytes), took.as_secs_f64());
        writeln!(
            out,
            "delivered {letters} to `{}`: {events}, {billed} billed, in {seconds:.1} s",
            arguments.sink
        )?;
    }
    let rest = [
        (kept_anew, "letter", "failed again; kept with the new reason"),
        (left.saturating_sub(unfit), "letter", "not delivered in time; kept: the log says why"),
        (unfit, "letter", "not for this sink as it is configured; kept: the log says why"),
        (damaged, "damaged value", "skipped; kept as `*.corrupt`"),
        (taken, "file", "in use by a running standpipe; run this again in a few seconds"),
        (broken, "file", "could not be read or cleared: the log says why"),
    ];
    for (number, what, words) in rest {
        if number > 0 {
            writeln!(out, "{}: {words}", count(number, what))?;
        }
    }
    Ok(match broken {
        0 if replayed.is_complete() => exit::DONE,
        0 => exit::UNDELIVERED,
        _ => exit::FAILED,
    })
}
