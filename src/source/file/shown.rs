//! A source's files as people see them: those that cannot be read, and those that are furthest behind.

use super::setup::FileSetup;
use super::table::FileTable;
use super::tracked::{NameState, ReadStage, TrackedFile};
use crate::overview::{SourceUnit, UnitList, UnitRank, UnitState};

/// Tells how the files are.
pub(super) fn tell(setup: &FileSetup, files: &FileTable) {
    let all = files.iter().map(|(_, file)| file).collect();
    let rank = |file: &&TrackedFile| UnitRank::of(state(file), Some(file.behind()), None);
    setup.status.list_units(&setup.name, UnitList::of("files", all, rank, |file| unit(file)));
}

fn unit(file: &TrackedFile) -> SourceUnit {
    let progress = file.progress();
    SourceUnit {
        name: file.path.to_string_lossy().into_owned(),
        state: state(file),
        position: Some(progress.map_or(0, |progress| progress.mark.offset)),
        delivered: Some(progress.map_or(0, |progress| progress.account.position().mark.offset)),
        // What is compressed has another size than what is read of it.
        size: file.is_plain().then_some(file.size),
        modified: file.modified_millis(),
        behind_bytes: Some(file.behind()),
        behind_seconds: None,
    }
}

fn state(file: &TrackedFile) -> UnitState {
    match &file.stage {
        _ if file.failures > 0 => UnitState::Unreadable,
        _ if file.is_foreign => UnitState::Foreign,
        ReadStage::Held => UnitState::Held,
        ReadStage::Unplaced => UnitState::New,
        ReadStage::Followed(progress) if file.unread() > 0 && progress.lane.waits_for_destination() => {
            UnitState::Blocked
        }
        ReadStage::Followed(_) if file.name == NameState::Present => UnitState::Reading,
        ReadStage::Followed(_) => UnitState::Rotated,
    }
}
