//! Arguments to command.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use standpipe::cli::access::apply::ApplyOptions;
use standpipe::cli::access::consent::{ApplyWords, Consent};
use standpipe::cli::access::watch::WatchOptions;
use standpipe::cli::access_arguments::Access;
use standpipe::cli::arguments::{Arguments, CliCommand};
use standpipe::cli::terminal::wants_colour;
use standpipe::cli::{
    access, check, completions, decode, doctor, exit, health, man, replay, run, schema, state, status, tap,
    test, top,
};

fn main() -> ExitCode {
    standpipe_simd::return_large_blocks();
    let Arguments { command } = Arguments::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let (mut out, mut err) = (io::stdout().lock(), io::stderr());
    let done = match command {
        CliCommand::Run { files, once, quiet } => {
            run::run(&files.paths(), &environment(), run::RunManner { once, quiet }, &mut err)
        }
        CliCommand::Check { files, json, deny_warnings } => {
            let output = check::CheckOutput { json, deny_warnings };
            check::run(&files.paths(), &environment(), output, &mut out, &mut err)
        }
        CliCommand::Doctor { files, json, write_probe, topology } => {
            let manner = doctor::DoctorOutput {
                json,
                colour: wants_colour(&environment(), out.is_terminal()),
                write_probe,
            };
            let files = files.paths();
            let what = doctor::DoctorInput { files: &files, topology: topology.as_deref() };
            doctor::run(what, &environment(), manner, &mut out, &mut err)
        }
        CliCommand::Decode { files } => Ok(decode::run(&files, &mut io::stdin().lock(), &mut out, &mut err)),
        CliCommand::Access { what } => access_command(what, &mut out, &mut err),
        CliCommand::State { command } => state::run(&command, &environment(), &mut out, &mut err),
        CliCommand::Replay(arguments) => replay::run(&arguments, &environment(), &mut out, &mut err),
        CliCommand::Status(wanted) => status::run(&wanted, &mut out, &mut err),
        CliCommand::Top(daemon) => top::run(&daemon.url, &environment(), &mut out, &mut err),
        CliCommand::Tap { place, wanted } => tap::run(&place, wanted, &environment(), &mut out, &mut err),
        CliCommand::Health { url, config, ready } => {
            let target = health::HealthTarget::named(url.as_deref(), &config);
            health::run(target, &environment(), ready, &mut out, &mut err)
        }
        CliCommand::Test { files, tests } => {
            let files: Vec<_> = files.config.into_iter().chain(tests).collect();
            test::run(&files, &environment(), &mut out, &mut err)
        }
        CliCommand::Schema => schema::run(&mut out),
        CliCommand::Completions { shell } => completions::run(shell, &mut out),
        CliCommand::Man { folder } => man::run(folder.as_deref(), &mut out, &mut err),
    };
    // Nobody is left to tell when the terminal or the pipe is gone.
    ExitCode::from(done.unwrap_or(exit::FAILED))
}

fn access_command(what: Access, out: &mut io::StdoutLock<'_>, err: &mut io::Stderr) -> io::Result<u8> {
    match what {
        Access::Render { topology, format, out: folder } => {
            access::render::run(&topology, &environment(), format.into(), folder.as_deref(), out, err)
        }
        Access::Apply { topology, watch: Some(every), accounts, json, quiet, .. } => {
            let options = WatchOptions { topology, accounts, every, json, quiet };
            access::watch::run(&options, &environment(), out, err)
        }
        Access::Apply { topology, yes, destroy, watch: None, accounts, json, quiet, out: folder } => {
            let words = ApplyWords::new(json, quiet);
            let consent = Consent::new(yes, io::stdin().is_terminal() && err.is_terminal());
            let colour = wants_colour(&environment(), out.is_terminal());
            let apply = ApplyOptions { topology, consent, destroy, accounts, words, out: folder, colour };
            access::apply::run(&apply, &environment(), &mut io::stdin().lock(), out, err)
        }
        Access::Verify { topology, json } => {
            let output = access::verify::VerifyOutput {
                json,
                colour: wants_colour(&environment(), out.is_terminal()),
            };
            access::verify::run(&topology, &environment(), output, out, err)
        }
    }
}

/// The environment; what is not UTF-8 cannot be meant for us.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
