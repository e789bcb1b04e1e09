//! The memory of one step of a chunk's way.

use std::sync::Arc;

use crate::event::{Budget, CommitTurn, Held};

/// The memory that a step may use.
#[derive(Debug)]
pub(crate) struct StepMemory<'a> {
    budget: &'a Arc<Budget>,
    turn: CommitTurn,
    /// Bytes that may be written.
    pub(super) room: u64,
    /// What is held for the payload.
    held: &'a mut Held,
    /// Of that, bytes in use.
    used: u64,
    /// Bytes that the payload needs more, and that there are not now.
    lacks: &'a mut u64,
}

impl<'a> StepMemory<'a> {
    /// A step that may write `room` bytes, of a payload of which `used` bytes of what is held are in memory.
    pub(crate) fn new(
        (budget, turn): (&'a Arc<Budget>, CommitTurn),
        room: u64,
        (held, used): (&'a mut Held, u64),
        lacks: &'a mut u64,
    ) -> Self {
        *lacks = 0;
        Self { budget, turn, room, held, used, lacks }
    }

    /// Whether so many bytes more may be taken for the payload.
    pub(super) fn may_take(&mut self, bytes: u64) -> bool {
        let used = self.used.saturating_add(bytes);
        if let Some(lacking) = used.checked_sub(self.held.bytes()).filter(|lacking| *lacking > 0) {
            let Some(more) = self.budget.reserve(lacking, self.turn, &*self.held) else {
                *self.lacks = lacking;
                return false;
            };
            self.held.merge(more);
        }
        self.used = used;
        true
    }
}
