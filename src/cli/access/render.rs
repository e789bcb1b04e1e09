//! `standpipe access render`: a topology as files.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::planned;
use crate::access::render::{RenderFormat, RenderedFile, render};
use crate::cli::exit;

/// Writes the files of a format to `out`, or into a folder; returns the exit code.
///
/// # Errors
/// When `out` or `err` cannot be written.
pub fn run(
    topology: &Path,
    environment: &BTreeMap<String, String>,
    format: RenderFormat,
    folder: Option<&Path>,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    let Some((_, plan)) = planned(topology, environment, err)? else { return Ok(exit::CONFIG) };
    let files = render(&plan, format);
    let Some(folder) = folder else {
        for file in &files {
            show(file, files.len() > 1, out)?;
        }
        out.flush()?;
        return Ok(exit::DONE);
    };
    let is_written = write_all(&files, folder, out, err)?;
    out.flush()?;
    Ok(if is_written { exit::DONE } else { exit::FAILED })
}

/// Writes files into a folder, and names them; whether all could be written.
pub(super) fn write_all(
    files: &[RenderedFile],
    folder: &Path,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<bool> {
    for file in files {
        if let Err(error) = write(folder, file) {
            writeln!(err, "standpipe: cannot write `{}`: {error}", folder.join(&file.path).display())?;
            return Ok(false);
        }
        writeln!(out, "{}", folder.join(&file.path).display())?;
    }
    Ok(true)
}

/// A file after its name, if there are several.
pub(super) fn show(file: &RenderedFile, is_named: bool, out: &mut impl Write) -> io::Result<()> {
    if is_named {
        writeln!(out, "# ==> {} <==", file.path)?;
    }
    out.write_all(file.text.as_bytes())
}

fn write(folder: &Path, file: &RenderedFile) -> io::Result<()> {
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
