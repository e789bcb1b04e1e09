//! `standpipe man`: the man pages, one for each command.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::arguments::Arguments;
use super::exit;

/// Writes every page into a folder, or prints the page of the program itself; returns the exit code.
///
/// # Errors
/// When `out` or `err` cannot be written.
pub fn run(folder: Option<&Path>, out: &mut impl Write, err: &mut impl Write) -> io::Result<u8> {
    let mut program = Arguments::command().disable_help_subcommand(true);
    program.build();
    let Some(folder) = folder else {
        out.write_all(&page(&program)?)?;
        return Ok(exit::DONE);
    };
    let written = fs::create_dir_all(folder).and_then(|()| write(&program, folder));
    match written {
        Ok(pages) => {
            writeln!(out, "wrote {pages} pages to {}", folder.display())?;
            Ok(exit::DONE)
        }
        Err(error) => {
            writeln!(err, "standpipe: cannot write man pages to `{}`: {error}", folder.display())?;
            Ok(exit::FAILED)
        }
    }
}

/// Writes the page of a command and of those below it; how many there are.
fn write(command: &Command, folder: &Path) -> io::Result<usize> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    fs::write(folder.join(format!("{name}.1")), page(command)?)?;
    let mut pages = 1;
    for below in command.get_subcommands() {
        pages += write(below, folder)?;
    }
    Ok(pages)
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    // No date: the same program writes the same page.
    let source = concat!("standpipe ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).manual("Standpipe").source(source);
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    examples(command).to_writer(&mut page)?;
    if command.get_version().is_some() {
        man.render_version_section(&mut page)?;
    }
    Ok(page)
}

/// What stands below the options in the help, line by line as it stands there.
fn examples(command: &Command) -> Roff {
    let mut section = Roff::new();
    if let Some(text) = command.get_after_help() {
        section.control("SH", ["EXAMPLES"]).control("nf", []);
        let text = text.to_string();
        for line in text.lines().filter(|line| !matches!(*line, "Example:" | "Examples:")) {
            section.text([roman(line)]);
        }
        section.control("fi", []);
    }
    section
}
