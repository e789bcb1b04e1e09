//! The log groups of a source: those that are read, and those that an earlier run read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::info;

use super::group::{GroupParts, LogGroup};
use super::listing::{self, GroupPatterns, ListedGroup};
use super::plan::{Floors, PlanStart};
use super::position::{GroupPosition, ListingPosition, ids_folder, ids_of};
use super::seen::BucketSpan;
use super::seen_files::{self, SeenFiles, on_disk};
use super::service::{LogsService, PullFault};
use super::turns::GroupReadiness;
use crate::ack::LocalAccount;
use crate::config::{PullSource, PullStart};
use crate::pipeline::OrderedLane;
use crate::source::lifecycle::{SourceContext, SourceError};

/// What is known of a log group that is gone is kept so long, in milliseconds.
const KEEP_GONE: i64 = 24 * 3_600_000;

/// Lists are made at this pace: `DescribeLogGroups` has a quota of ten calls a second, which others need as well.
const LIST_PAUSE: Duration = Duration::from_millis(200);

/// Most bytes of ids in memory.
const MOST_LOADED: usize = 4 << 20;

/// Most ids on disk, of all log groups of a source: 256 MiB.
const MOST_STORED: usize = (256 << 20) / 12;

/// All log groups.
pub(super) struct GroupCatalog {
    pub(super) patterns: GroupPatterns,
    /// Whether a whole list was made.
    pub(super) is_listed: bool,
    /// When the list that is being made began.
    pub(super) listing_began: i64,
    groups: BTreeMap<usize, LogGroup>,
    numbers: BTreeMap<String, usize>,
    next: usize,
    /// Positions of groups that were not listed yet.
    positions: BTreeMap<String, Arc<LocalAccount<GroupPosition>>>,
    listing: Option<Arc<LocalAccount<ListingPosition>>>,
}

/// A log group that is to be read.
pub(super) struct FoundGroup {
    pub(super) listed: ListedGroup,
    account: Arc<LocalAccount<GroupPosition>>,
}

impl FoundGroup {
    pub(super) fn parts(
        self,
        lane: Arc<OrderedLane>,
        stored: Vec<(BucketSpan, usize)>,
        context: &SourceContext,
        changed: &Arc<Notify>,
    ) -> GroupParts {
        let files = files(&self.listed, context);
        let changed = Arc::clone(changed);
        GroupParts { listed: self.listed, account: self.account, lane, files, stored, changed }
    }
}

impl GroupCatalog {
    pub(super) fn new(config: &PullSource) -> Result<Self, SourceError> {
        Ok(Self {
            patterns: GroupPatterns::new(&config.log_groups)?,
            is_listed: false,
            listing_began: 0,
            groups: BTreeMap::new(),
            numbers: BTreeMap::new(),
            next: 0,
            positions: BTreeMap::new(),
            listing: None,
        })
    }

    /// Takes over what an earlier run left.
    pub(super) fn claim(&mut self, context: &SourceContext) {
        for account in context.checkpoints.stored::<GroupPosition>(&context.name) {
            if let Some(double) = self.positions.insert(account.position().group, account) {
                double.forget();
            }
        }
        self.listing = context.checkpoints.stored::<ListingPosition>(&context.name).into_iter().next();
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &LogGroup> {
        self.groups.values()
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut LogGroup> {
        self.groups.values_mut()
    }

    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut LogGroup> {
        self.groups.get_mut(&number)
    }

    pub(super) fn readiness(&self) -> impl Iterator<Item = GroupReadiness> {
        self.groups.iter().map(|(number, group)| group.readiness(*number))
    }

    /// How many there are, for shares.
    pub(super) fn len_f64(&self) -> f64 {
        u32::try_from(self.groups.len()).map_or(f64::MAX, f64::from)
    }

    pub(super) fn add(&mut self, group: LogGroup) {
        let number = self.next;
        self.next += 1;
        self.numbers.insert(group.listed.arn.clone(), number);
        self.groups.insert(number, group);
    }

    /// Compares a whole list with what is known: gives those that are to be read from now on, and notes those that are gone.
    pub(super) fn compare(
        &mut self,
        listed: Vec<ListedGroup>,
        start: PullStart,
        context: &SourceContext,
    ) -> Vec<FoundGroup> {
        let now = self.listing_began;
        let before = self.listing.as_ref().map(|listing| listing.position());
        let arns: BTreeSet<String> = listed.iter().map(|group| group.arn.clone()).collect();
        let mut found = Vec::new();
        for group in listed {
            if self.is_read(&group) {
                continue;
            }
            let begin = listing::begin(start, before.as_ref(), group.created, now);
            info!(source = &*context.name, log_group = group.name, "a log group is read");
            let account = self.account(&group, begin, context);
            found.push(FoundGroup { listed: group, account });
        }
        for group in self.groups.values_mut() {
            group.set_gone((!arns.contains(&group.listed.arn)).then_some(now));
        }
        for (arn, account) in &self.positions {
            if !arns.contains(arn) && account.position().gone.is_none() {
                account.change(|position| position.gone = Some(now));
            }
        }
        self.note_listing(start, now, context);
        found
    }

    /// Whether this very group is read already; one that was created again is another.
    fn is_read(&mut self, listed: &ListedGroup) -> bool {
        let Some(number) = self.numbers.get(&listed.arn).copied() else { return false };
        if self.groups.get(&number).is_some_and(|group| group.listed.created == listed.created) {
            return true;
        }
        self.numbers.remove(&listed.arn);
        if let Some(group) = self.groups.remove(&number) {
            group.account.forget();
        }
        false
    }

    fn account(
        &mut self,
        listed: &ListedGroup,
        begin: i64,
        context: &SourceContext,
    ) -> Arc<LocalAccount<GroupPosition>> {
        if let Some(known) = self.positions.remove(&listed.arn) {
            if known.position().created == listed.created {
                known.change(|position| position.gone = None);
                return known;
            }
            known.forget();
        }
        let start = PlanStart { begin, floors: Floors::at(begin), clock: 0 };
        let position =
            GroupPosition { group: listed.arn.clone(), created: listed.created, start, gone: None };
        context.checkpoints.begin(&context.name, position)
    }

    /// Groups that cannot be read yet are found again.
    pub(super) fn put_back(&mut self, groups: impl Iterator<Item = FoundGroup>) {
        self.is_listed = false;
        self.positions.extend(groups.map(|group| (group.listed.arn, group.account)));
    }

    fn note_listing(&mut self, start: PullStart, now: i64, context: &SourceContext) {
        self.is_listed = true;
        if let Some(listing) = &self.listing {
            return listing.change(|position| position.listed = now);
        }
        let position = ListingPosition { started: listing::started(start, now), listed: now };
        self.listing = Some(context.checkpoints.begin(&context.name, position));
    }

    /// Forgets groups that have been gone for a day, and removes the files of those that nobody knows.
    pub(super) async fn forget_gone(&mut self, context: &SourceContext) -> Result<(), String> {
        let now = self.listing_began;
        let is_old = |account: &LocalAccount<GroupPosition>| {
            account.position().gone.is_some_and(|gone| now.saturating_sub(gone) > KEEP_GONE)
        };
        let old: Vec<usize> = self
            .groups
            .iter()
            .filter(|(_, group)| is_old(&group.account))
            .map(|(number, _)| *number)
            .collect();
        for number in old {
            if let Some(group) = self.groups.remove(&number) {
                self.numbers.remove(&group.listed.arn);
                group.account.forget();
            }
        }
        self.positions.retain(|_, account| {
            let is_old = is_old(account);
            if is_old {
                account.forget();
            }
            !is_old
        });
        let read = self.groups.values().map(|group| ids_folder(&group.listed.arn, group.listed.created));
        let known = self.positions.values().map(|account| {
            let position = account.position();
            ids_folder(&position.group, position.created)
        });
        let known: BTreeSet<String> = read.chain(known).collect();
        let files = SeenFiles::new(ids_of(context.checkpoints.dir(), &context.name));
        on_disk(files, move |files| seen_files::remove_others(files.dir(), |name| known.contains(name))).await
    }

    /// Stores ids of what was delivered, and positions that are due. What cannot be stored is tried again.
    pub(super) async fn store(&mut self, now: i64, is_last: bool) -> Result<(), String> {
        for group in self.groups.values_mut() {
            store_ids(group).await?;
            let Some(unsynced) = group.position_due(now, is_last) else { continue };
            on_disk(group.files.clone(), move |files| files.sync(&unsynced)).await?;
            let gone = group.store_position(now);
            if !gone.is_empty() {
                on_disk(group.files.clone(), move |files| files.remove(&gone)).await?;
            }
        }
        Ok(())
    }

    /// Keeps what is remembered within its bounds, and says how many bytes it takes.
    pub(super) fn bound_memory(&mut self) -> u64 {
        let stored: usize = self.groups.values().map(|group| group.seen.len()).sum();
        if stored > MOST_STORED
            && let Some(largest) = self.groups.values_mut().max_by_key(|group| group.seen.len())
        {
            largest.shorten();
        }
        let mut bytes: usize = self.groups.values().map(|group| group.seen.bytes()).sum();
        while bytes > MOST_LOADED {
            let Some(largest) = self.groups.values_mut().max_by_key(|group| group.seen.loaded()) else {
                break;
            };
            let before = largest.seen.bytes();
            if !largest.seen.unload_one() {
                break;
            }
            bytes = bytes.saturating_sub(before.saturating_sub(largest.seen.bytes()));
        }
        bytes as u64
    }
}

async fn store_ids(group: &mut LogGroup) -> Result<(), String> {
    let placed = group.unstored();
    if placed.is_empty() {
        return Ok(());
    }
    let placed = on_disk(group.files.clone(), move |files| files.append(&placed).map(|()| placed)).await?;
    for span in group.stored(&placed) {
        if let Some(counts) = on_disk(group.files.clone(), move |files| files.halve(span)).await? {
            group.seen.halved(span, counts);
        }
    }
    Ok(())
}

/// Where the ids of a log group's events are.
pub(super) fn files(listed: &ListedGroup, context: &SourceContext) -> SeenFiles {
    let folder = ids_folder(&listed.arn, listed.created);
    SeenFiles::new(ids_of(context.checkpoints.dir(), &context.name).join(folder))
}

/// Makes a whole list of the wanted groups.
pub(super) async fn list<S: LogsService>(
    service: &S,
    patterns: &GroupPatterns,
) -> Result<Vec<ListedGroup>, PullFault> {
    let mut all: BTreeMap<String, ListedGroup> = BTreeMap::new();
    for prefix in patterns.prefixes() {
        let mut token: Option<String> = None;
        loop {
            let part = service.groups(prefix, token.as_deref()).await?;
            let wanted = part.groups.into_iter().filter(|group| patterns.matches(&group.name));
            all.extend(wanted.map(|group| (group.arn.clone(), group)));
            token = part.token;
            if token.is_none() {
                break;
            }
            sleep(LIST_PAUSE).await;
        }
    }
    Ok(all.into_values().collect())
}
