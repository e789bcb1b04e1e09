//! `standpipe access`: the plumbing between accounts, from a topology.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::exit;
use crate::access::plan::plan;
use crate::access::render::{File, Format, render};
use crate::config::topology::load;

/// Writes the files of a format to `out`, or into a folder; returns the exit code.
///
/// # Errors
/// When `out` or `err` cannot be written.
pub fn run(
    topology: &Path,
    environment: &BTreeMap<String, String>,
    format: Format,
    folder: Option<&Path>,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    let read = match load(topology, environment) {
        Ok(read) => read,
        Err(errors) => {
            writeln!(err, "{errors}")?;
            return Ok(exit::CONFIG);
        }
    };
    let plan = match plan(&read) {
        Ok(plan) => plan,
        Err(error) => {
            writeln!(err, "{}: {error}", topology.display())?;
            return Ok(exit::CONFIG);
        }
    };
    if plan.stages.is_empty() {
        writeln!(
            err,
            "{}: nothing is to be made; describe a `[bucket]` and `[stream]`, `[[vended]]` or `[[readers]]`",
            topology.display()
        )?;
        return Ok(exit::CONFIG);
    }
    let files = render(&plan, format);
    let Some(folder) = folder else {
        for file in &files {
            show(file, files.len() > 1, out)?;
        }
        out.flush()?;
        return Ok(exit::DONE);
    };
    for file in &files {
        if let Err(error) = write(folder, file) {
            writeln!(err, "standpipe: cannot write `{}`: {error}", folder.join(&file.path).display())?;
            return Ok(exit::FAILED);
        }
        writeln!(out, "{}", folder.join(&file.path).display())?;
    }
    out.flush()?;
    Ok(exit::DONE)
}

/// A file after its name, if there are several.
fn show(file: &File, is_named: bool, out: &mut impl Write) -> io::Result<()> {
    if is_named {
        writeln!(out, "# ==> {} <==", file.path)?;
    }
    out.write_all(file.text.as_bytes())
}

fn write(folder: &Path, file: &File) -> io::Result<()> {
    let path = folder.join(&file.path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(&path, &file.text)?;
    if file.is_script {
        executable(&path)?;
    }
    Ok(())
}

#[cfg(unix)]
fn executable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn executable(_path: &Path) -> io::Result<()> {
    Ok(())
}
