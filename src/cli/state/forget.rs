//! `state forget`: drops checkpoints.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use super::checkpoints;
use super::error::StateCommandError;
use super::printable::printable;
use crate::ack::Checkpoints;
use crate::source::cloudwatch_logs::{GroupPosition, ListingPosition};
use crate::source::file::FilePosition;
use crate::source::journald::JournaldPosition;
use crate::source::kinesis::ShardPosition;
use crate::source::s3::{ListedBucket, ObjectPosition};
use crate::state::StateDir;

/// Drops the checkpoints of a source, or of one of its files, and says what was dropped.
pub(super) fn forget(
    dir: &Path,
    source: &str,
    file: Option<&Path>,
    out: &mut impl Write,
) -> Result<(), StateCommandError> {
    // A daemon would write them again from its memory.
    let _locked = StateDir::lock(dir)?;
    let checkpoints = Checkpoints::open(dir)?;
    let mut forgetting =
        Forgetting { dir, source, file, checkpoints: &checkpoints, out, known: Vec::new(), dropped: 0 };
    forgetting.files()?;
    forgetting.log_groups()?;
    forgetting.objects()?;
    forgetting.buckets()?;
    forgetting.shards()?;
    forgetting.journals()?;
    let Forgetting { known, dropped, .. } = forgetting;
    if dropped == 0 && known.is_empty() {
        return Err(checkpoints::unknown(dir, source)?);
    }
    if file.is_none() {
        checkpoints.stored::<ListingPosition>(source).iter().for_each(|listing| listing.forget());
    }
    if let Some(file) = file.filter(|_| dropped == 0) {
        let name = file.display().to_string();
        return Err(StateCommandError::Unknown {
            what: "checkpoint of a file",
            name,
            dir: dir.to_owned(),
            known,
        });
    }
    checkpoints.save().map_err(|source| StateCommandError::Save { dir: dir.to_owned(), source })?;
    writeln!(out, "at the next start, `{source}` reads them from its `start`")?;
    Ok(())
}

/// What is dropped, and what was.
struct Forgetting<'a, W> {
    dir: &'a Path,
    source: &'a str,
    /// This one alone.
    file: Option<&'a Path>,
    checkpoints: &'a Checkpoints,
    out: &'a mut W,
    /// What is kept.
    known: Vec<String>,
    dropped: usize,
}

impl<W: Write> Forgetting<'_, W> {
    fn files(&mut self) -> Result<(), StateCommandError> {
        for account in self.checkpoints.stored::<FilePosition>(self.source) {
            let position = account.position();
            let path = position.location.path.as_path();
            let name = path.to_string_lossy();
            if self.drops(&name, &[path, Path::new(&*position.origin)]) {
                account.forget();
                self.say(&name, &format!("delivered to byte {}", position.mark.offset))?;
            }
        }
        Ok(())
    }

    fn log_groups(&mut self) -> Result<(), StateCommandError> {
        for account in self.checkpoints.stored::<GroupPosition>(self.source) {
            let position = account.position();
            if self.drops(position.name(), &[Path::new(position.name()), Path::new(&position.group)]) {
                account.forget();
                let ids = position.ids(self.dir, self.source);
                removed(&ids, fs::remove_dir_all(&ids))?;
                self.say(position.name(), &format!("delivered up to {}", position.read_to().to_rfc3339()))?;
            }
        }
        Ok(())
    }

    fn objects(&mut self) -> Result<(), StateCommandError> {
        for account in self.checkpoints.stored::<ObjectPosition>(self.source) {
            let position = account.position();
            let name = format!("s3://{}/{}", position.bucket, position.key);
            if self.drops(&name, &[Path::new(&name)]) {
                account.forget();
                self.say(&name, &format!("delivered to byte {}", position.mark.offset))?;
            }
        }
        Ok(())
    }

    fn buckets(&mut self) -> Result<(), StateCommandError> {
        for account in self.checkpoints.stored::<ListedBucket>(self.source) {
            let listed = account.position();
            let name = format!("s3://{}/{}", listed.bucket, listed.prefix);
            if self.drops(&name, &[Path::new(&name)]) {
                let done = listed.done(self.dir).unwrap_or_default();
                if let Some(path) = listed.done_file(self.dir) {
                    removed(&path, fs::remove_file(&path))?;
                }
                account.forget();
                self.say(&name, &format!("{} objects done", done.objects))?;
            }
        }
        Ok(())
    }

    fn shards(&mut self) -> Result<(), StateCommandError> {
        for account in self.checkpoints.stored::<ShardPosition>(self.source) {
            let position = account.position();
            if self.drops(position.shard(), &[Path::new(position.shard())]) {
                account.forget();
                self.say(position.shard(), &format!("delivered up to {}", position.delivered_to()))?;
            }
        }
        Ok(())
    }

    fn journals(&mut self) -> Result<(), StateCommandError> {
        for account in self.checkpoints.stored::<JournaldPosition>(self.source) {
            const NAME: &str = "the journal";
            if self.drops(NAME, &[]) {
                let time = account.position().time();
                account.forget();
                let time = time
                    .map_or_else(|| "nothing yet".to_owned(), |time| format!("up to {}", time.to_rfc3339()));
                self.say(NAME, &format!("delivered: {time}"))?;
            }
        }
        Ok(())
    }

    /// Whether what goes by these names is dropped.
    fn drops(&mut self, name: &str, names: &[&Path]) -> bool {
        let is_meant = self.file.is_none_or(|file| names.contains(&file));
        if is_meant {
            self.dropped = self.dropped.saturating_add(1);
        } else {
            self.known.push(name.to_owned());
        }
        is_meant
    }

    fn say(&mut self, name: &str, what: &str) -> Result<(), StateCommandError> {
        writeln!(self.out, "forgot {} ({what})", printable(name))?;
        Ok(())
    }
}

/// What was delivered is not known any more.
fn removed(path: &Path, removal: io::Result<()>) -> Result<(), StateCommandError> {
    match removal {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(StateCommandError::Save { dir: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}
