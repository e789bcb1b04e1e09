//! What is remembered of one file: the one place where this source meets whoever remembers it.

use std::sync::Arc;

use super::content_id::ContentId;
use super::position::{FileLocation, FilePosition, Fingerprint, Mark};
use super::setup::FileSetup;
use crate::ack::LocalAccount;
use crate::event::{AckGuard, Acknowledge, Outcome, Timestamp};
use crate::metrics::SourceMetrics;

/// Moves a file's position by what is acknowledged, and counts what was given up.
pub(super) struct AccountHandle {
    account: Arc<LocalAccount<FilePosition>>,
    metrics: SourceMetrics,
}

impl AccountHandle {
    /// Of the files that the source knew when it last ran.
    pub(super) fn stored(setup: &FileSetup) -> impl Iterator<Item = Arc<Self>> {
        let stored = setup.checkpoints.stored(&setup.name).into_iter();
        stored.map(|account| Arc::new(Self { account, metrics: setup.metrics().clone() }))
    }

    /// Of a file of which nothing was read yet: so it is known when standpipe starts again.
    pub(super) fn unread(
        setup: &FileSetup,
        location: FileLocation,
        origin: Arc<str>,
        id: ContentId,
    ) -> Arc<Self> {
        let position = FilePosition {
            location,
            origin,
            id,
            head: Fingerprint::default(),
            mark: Mark::default(),
            partial: false,
            time: Timestamp::now(),
        };
        Self::open(setup, position)
    }

    /// Of a file that is read from this position on.
    pub(super) fn open(setup: &FileSetup, position: FilePosition) -> Arc<Self> {
        let account = setup.checkpoints.begin(&setup.name, position);
        Arc::new(Self { account, metrics: setup.metrics().clone() })
    }

    pub(super) fn position(&self) -> FilePosition {
        self.account.position()
    }

    /// What ids of its lines are made of.
    pub(super) fn id(&self) -> ContentId {
        self.account.position().id
    }

    /// The bytes up to `mark` go into the pipeline, after those before.
    pub(super) fn begin(self: &Arc<Self>, mark: Mark, read_at: Timestamp) -> AckGuard {
        let number = self.account.begin(mark, read_at);
        AckGuard::open(Arc::clone(self) as Arc<dyn Acknowledge>, number)
    }

    /// The bytes up to `mark` are left out: nobody has to acknowledge them.
    pub(super) fn pass(&self, mark: Mark) {
        let number = self.account.begin(mark, Timestamp::now());
        self.account.acknowledge(number, Outcome::Done);
    }

    /// When the oldest bytes that are not acknowledged were read.
    pub(super) fn oldest_unacknowledged(&self) -> Option<Timestamp> {
        self.account.oldest_unacknowledged()
    }

    /// Whether everything up to this mark is delivered, nothing is under way, and that is written down; and nothing was left out.
    pub(super) fn is_delivered_up_to(&self, mark: Mark) -> bool {
        self.account.is_settled() && self.account.look(|position| position.mark == mark && !position.partial)
    }

    /// Whether so many bytes are delivered.
    pub(super) fn has_delivered(&self, bytes: u64) -> bool {
        self.account.look(|position| position.mark.offset >= bytes)
    }

    /// Something of the file is left out: it is not to be removed as if all of it had been delivered.
    pub(super) fn is_partial(&self) {
        self.account.change(|position| position.partial = true);
    }

    /// The file is elsewhere now.
    pub(super) fn moved(&self, to: FileLocation) {
        self.account.change(|position| position.location = to);
    }

    /// The file turned out to be another than was thought, of which nothing was read yet.
    pub(super) fn restart(&self, position: FilePosition) {
        self.account.change(|before| *before = position);
    }

    /// The file's events carry this path.
    pub(super) fn named(&self, origin: Arc<str>) {
        self.account.change(|position| position.origin = origin);
    }

    /// More of the file's first bytes is known.
    pub(super) fn grown(&self, head: Fingerprint) {
        self.account.change(|position| position.head = head);
    }

    /// The file is gone for good.
    pub(super) fn forget(&self) {
        self.account.forget();
    }
}

impl Acknowledge for AccountHandle {
    fn acknowledge(&self, number: u64, outcome: Outcome) {
        if outcome == Outcome::Abandoned {
            self.metrics.error("abandoned");
        }
        self.account.acknowledge(number, outcome);
    }
}
