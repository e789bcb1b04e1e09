//! The memory of one step of a chunk's way.

use std::sync::Arc;

use crate::event::{Budget, CommitTurn, Held};

/// What a step found that it needs, beside what it was given.
#[derive(Debug, Default)]
pub(crate) struct StepNeeds {
    /// Bytes that the payload needs more, and that there are not now.
    pub(super) for_payload: u64,
    /// Bytes that what is written needs more, and that there are not now.
    pub(super) for_writing: u64,
    /// Memory for what is written, beyond the room.
    more: Option<Held>,
}

impl StepNeeds {
    /// Whether there was no memory for something.
    pub(super) const fn lacks(&self) -> bool {
        self.for_payload > 0 || self.for_writing > 0
    }

    /// The room with what was taken beside it.
    pub(super) fn add_to(&mut self, room: &mut Held) {
        self.more.take().into_iter().for_each(|more| room.merge(more));
    }
}

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
    needs: &'a mut StepNeeds,
}

impl<'a> StepMemory<'a> {
    /// A step that may write `room` bytes, of a payload of which `used` bytes of what is held are in memory.
    pub(crate) fn new(
        (budget, turn): (&'a Arc<Budget>, CommitTurn),
        room: u64,
        (held, used): (&'a mut Held, u64),
        needs: &'a mut StepNeeds,
    ) -> Self {
        *needs = StepNeeds::default();
        Self { budget, turn, room, held, used, needs }
    }

    /// Whether so many bytes more may be taken for the payload.
    pub(super) fn may_take(&mut self, bytes: u64) -> bool {
        let used = self.used.saturating_add(bytes);
        if let Some(lacking) = used.checked_sub(self.held.bytes()).filter(|lacking| *lacking > 0) {
            let Some(more) = self.budget.reserve(lacking, self.turn, &*self.held) else {
                self.needs.for_payload = lacking;
                return false;
            };
            self.held.merge(more);
        }
        self.used = used;
        true
    }

    /// Whether so many bytes may be written at once, as what one event becomes has to be.
    pub(super) fn may_write(&mut self, bytes: u64) -> bool {
        let lacking = bytes.saturating_sub(self.room);
        if lacking == 0 {
            return true;
        }
        let Some(more) = self.budget.reserve(lacking, self.turn, &*self.held) else {
            self.needs.for_writing = lacking;
            return false;
        };
        self.room = bytes;
        match &mut self.needs.more {
            Some(taken) => taken.merge(more),
            none => *none = Some(more),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes so many bytes at once with a room of 10, of a budget of 80 of which the rest but `free` is out.
    fn write(bytes: u64, free: u64) -> (bool, u64, u64) {
        let budget = Budget::new(80);
        let (mut held, mut room) = (budget.charge(0), budget.charge(10));
        let _others = budget.charge(70 - free);
        let mut needs = StepNeeds::default();
        let mut memory =
            StepMemory::new((&budget, CommitTurn::Now), room.bytes(), (&mut held, 0), &mut needs);
        let may = memory.may_write(bytes);
        needs.add_to(&mut room);
        (may, room.bytes(), needs.for_writing)
    }

    #[test]
    fn what_one_event_becomes_is_charged_before_it_is_written() {
        assert_eq!(write(10, 0), (true, 10, 0), "there is room for it");
        assert_eq!(write(60, 50), (true, 60, 0), "the room is made larger");
        assert_eq!(write(61, 50), (false, 10, 51), "the job pauses until there is so much more");
    }

    #[test]
    fn what_a_payload_takes_is_charged_to_it_and_not_to_the_room() {
        let budget = Budget::new(80);
        let (mut held, mut room) = (budget.charge(5), budget.charge(10));
        let mut needs = StepNeeds::default();
        let mut memory =
            StepMemory::new((&budget, CommitTurn::Now), room.bytes(), (&mut held, 5), &mut needs);
        assert!(memory.may_take(20));
        assert!(!memory.may_take(60));
        needs.add_to(&mut room);
        assert_eq!((held.bytes(), room.bytes(), needs.for_payload, budget.used()), (25, 10, 60, 35));
        assert!(needs.lacks());
    }
}
