//! The state of a join after each entry: a pure function of the members in the order of their entries.

use serde::{Deserialize, Serialize};

use crate::definition::MemberOutcome;
use crate::envelope::Terms;
use crate::graph::{Composite, CompositeKind};
use crate::unset::is_unset;

use super::ended::Ended;

/// The number of members of a graph or for-each that ended in each way, and whether that decides the join.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    #[serde(default, skip_serializing_if = "is_unset")]
    done: u32,
    #[serde(default, skip_serializing_if = "is_unset")]
    failed: u32,
    #[serde(default, skip_serializing_if = "is_unset")]
    not_begun: u32,
    /// One [`letter`] for each branch of a graph. Empty for a for-each, which may have too many items.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    branches: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) verdict: Option<Verdict>,
}

/// What was decided about a graph or for-each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is complete, so the join runs.
    Complete,
    /// Too many members failed.
    Failed,
    /// The last member that ended replied for the whole request.
    Replied,
}

/// How many members of a graph or for-each there are, and how many of them have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Members {
    /// All of them: the sum of the counts below.
    pub all: u32,
    /// How many may be in progress at once.
    pub at_most: u32,
    /// Those that have not begun, or may not have because the request is paused or parked.
    pub waiting: u32,
    /// Those that have begun and not ended.
    pub running: u32,
    /// Those that succeeded.
    pub done: u32,
    /// Those that failed.
    pub failed: u32,
    /// Those that will not end any more, because they are not needed.
    pub stopped: u32,
}

/// The letters of [`Tally::branches`].
mod letter {
    /// It has not ended. It may not have begun either.
    pub(super) const OPEN: u8 = b'.';
    pub(super) const DONE: u8 = b'd';
    pub(super) const FAILED: u8 = b'f';
    /// It will not begin, because a branch that it comes after failed.
    pub(super) const NOT_BEGUN: u8 = b'n';
}

impl Tally {
    /// The tally before any member has ended.
    pub(super) fn new(composite: &Composite, terms: &Terms) -> Tally {
        let branches = match composite.kind() {
            CompositeKind::Graph => ".".repeat(composite.branches().len()),
            _ => String::new(),
        };
        Tally { branches, ..Tally::default() }.decide(terms)
    }

    /// The tally after one more member has ended.
    pub(super) fn after(&self, composite: &Composite, terms: &Terms, member: u32, ended: Ended) -> Tally {
        let mut tally = self.clone();
        match ended {
            Ended::Done => tally.done += 1,
            Ended::Failed | Ended::Replied => tally.failed += 1,
        }
        if !tally.branches.is_empty() {
            let mut letters = std::mem::take(&mut tally.branches).into_bytes();
            letters[member as usize] = if ended == Ended::Done { letter::DONE } else { letter::FAILED };
            if ended != Ended::Done {
                tally.not_begun += give_up(composite, &mut letters, member as usize);
            }
            tally.branches = String::from_utf8(letters).expect("letters are ASCII");
        }
        match ended {
            Ended::Replied => Tally { verdict: Some(Verdict::Replied), ..tally },
            _ => tally.decide(terms),
        }
    }

    /// How far the members are, for those who look at a request. `begun` has those that have begun and are not counted here yet,
    /// and how each has ended, if it has.
    pub(super) fn count(&self, terms: &Terms, begun: impl IntoIterator<Item = Option<Ended>>) -> Members {
        let Tally { done, failed, not_begun: stopped, .. } = *self;
        let (all, at_most) = (terms.members, terms.at_most);
        let mut members = Members { all, at_most, waiting: 0, running: 0, done, failed, stopped };
        for ended in begun {
            match ended {
                Some(Ended::Done) => members.done += 1,
                Some(Ended::Failed | Ended::Replied) => members.failed += 1,
                None => members.running += 1,
            }
        }
        let Members { running, done, failed, stopped, .. } = members;
        Members { waiting: all.saturating_sub(running + done + failed + stopped), ..members }
    }

    /// How many members have not ended and can still end.
    pub(super) fn open(&self, terms: &Terms) -> u32 {
        terms.members.saturating_sub(self.done + self.failed + self.not_begun)
    }

    fn decide(mut self, terms: &Terms) -> Tally {
        let succeeds = terms.policy.decide(self.done, self.failed, self.open(terms));
        self.verdict = succeeds.map(|succeeds| if succeeds { Verdict::Complete } else { Verdict::Failed });
        self
    }

    /// Whether a branch of a graph will not begin, because a branch that it comes after failed.
    pub(super) fn gave_up(&self, branch: usize) -> bool {
        self.branches.as_bytes().get(branch) == Some(&letter::NOT_BEGUN)
    }

    /// Whether the tally can be one of this graph or for-each. A value from the store need not be.
    pub(super) fn fits(&self, composite: &Composite, terms: &Terms) -> bool {
        let branches = match composite.kind() {
            CompositeKind::Graph => composite.branches().len(),
            _ => 0,
        };
        let ended = [self.done, self.failed, self.not_begun].into_iter().map(u64::from).sum::<u64>();
        self.branches.len() == branches && ended <= u64::from(terms.members)
    }

    /// The members that begin before any has ended.
    pub(super) fn first(composite: &Composite, terms: &Terms) -> Vec<u32> {
        match composite.kind() {
            CompositeKind::Graph => {
                let branches = (0u32..).zip(composite.branches());
                branches.filter(|(_, branch)| branch.after().is_empty()).map(|(index, _)| index).collect()
            }
            _ => (0..terms.at_most.min(terms.members)).collect(),
        }
    }

    /// The members that begin because `member` has ended, which this tally counts last.
    pub(super) fn next(&self, composite: &Composite, terms: &Terms, member: u32) -> Vec<u32> {
        match composite.kind() {
            CompositeKind::Graph => {
                let ready = |branch: &usize| {
                    self.letter(*branch) == letter::OPEN
                        && composite.branches()[*branch].after().iter().all(|other| self.letter(*other) == letter::DONE)
                };
                let ready = composite.successors(member as usize).filter(ready);
                ready.filter_map(|branch| u32::try_from(branch).ok()).collect()
            }
            // Each member that ends frees one slot, so one item begins. Each is counted once, so no item is left out.
            _ => {
                let ended_before = (self.done + self.failed).saturating_sub(1);
                let next = terms.at_most.saturating_add(ended_before);
                (next < terms.members).then_some(next).into_iter().collect()
            }
        }
    }

    /// The outcome of each member at the time when this tally decided the join. `entries` has the members of each entry up to
    /// the deciding one. The earlier ones may be left out, unless they [are needed](Tally::needs_entries).
    pub(super) fn members(
        &self,
        composite: &Composite,
        terms: &Terms,
        entries: &[Vec<(u32, Ended)>],
    ) -> Vec<MemberOutcome> {
        let (deciding, before) = match entries.split_last() {
            Some((deciding, before)) => (&deciding[..], before),
            None => (&[][..], entries),
        };
        if composite.kind() == CompositeKind::Graph {
            // The members of the deciding entry begin no others.
            let decides = |branch: usize| deciding.iter().any(|(member, _)| *member as usize == branch);
            let begins = |other: &usize| self.letter(*other) == letter::DONE && !decides(*other);
            let outcome = |branch: usize| match self.letter(branch) {
                letter::DONE => MemberOutcome::Done,
                letter::FAILED => MemberOutcome::Failed,
                letter::NOT_BEGUN => MemberOutcome::NotBegun,
                _ if composite.branches()[branch].after().iter().all(begins) => MemberOutcome::Dropped,
                _ => MemberOutcome::NotBegun,
            };
            return (0..composite.branches().len()).map(outcome).collect();
        }
        if self.done == terms.members {
            return vec![MemberOutcome::Done; terms.members as usize];
        }
        // Each member of an earlier entry began an item. If the join is decided at the fork, no item begins at all.
        let begun = match entries.len() {
            0 => 0,
            _ => terms.at_most as usize + before.iter().map(Vec::len).sum::<usize>(),
        };
        let mut members = vec![MemberOutcome::NotBegun; terms.members as usize];
        members.iter_mut().take(begun).for_each(|member| *member = MemberOutcome::Dropped);
        for (member, ended) in entries.iter().flatten() {
            members[*member as usize] = match ended {
                Ended::Done => MemberOutcome::Done,
                Ended::Failed | Ended::Replied => MemberOutcome::Failed,
            };
        }
        members
    }

    /// Whether the outcome of each member cannot be determined without the entries before the deciding one.
    pub(super) fn needs_entries(&self, terms: &Terms) -> bool {
        self.branches.is_empty() && self.done != terms.members
    }

    fn letter(&self, branch: usize) -> u8 {
        self.branches.as_bytes()[branch]
    }
}

/// Marks the branches that come directly or indirectly after a failed one, and counts them.
fn give_up(graph: &Composite, letters: &mut [u8], failed: usize) -> u32 {
    let mut count = 0;
    for branch in graph.successors(failed).collect::<Vec<_>>() {
        if letters[branch] == letter::OPEN {
            letters[branch] = letter::NOT_BEGUN;
            count += 1 + give_up(graph, letters, branch);
        }
    }
    count
}
