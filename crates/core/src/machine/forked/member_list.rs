//! The members of one graph or for-each of a request, a page at a time.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use crate::envelope::Terms;
use crate::graph::{CompositeIndex, CompositeKind, Follow, Place};
use crate::machine::Route;
use crate::state::{Key, layout};

use super::control::Control;
use super::ended::Ended;
use super::find::{Missing, reach};
use super::flaw::Flaw;
use super::journal::Journal;
use super::labels::{decode_labels, label_of};
use super::message::Message;
use super::proceed::Walk;
use super::progress::PlaceProgress;
use super::record::Record;
use super::survey::{SoFar, Surveyor};
use super::tally::{Members, Tally};

/// How far a member is, in the order in which members are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum MemberStatus {
    /// It has failed, or has replied for the whole request.
    Failed,
    /// It is in progress, and its last delivery was given up.
    Retrying,
    /// It is in progress or in the queue.
    Running,
    /// It has not begun. If the request is paused or parked, it may have.
    Waiting,
    /// It has succeeded.
    Done,
    /// It will not end any more, because it is not needed.
    Stopped,
}

/// Which members to list.
#[derive(Clone, Debug)]
pub struct MemberQuery<'a> {
    /// The place that began them.
    pub fork: &'a Place,
    /// Only those with this status.
    pub status: Option<MemberStatus>,
    /// Only those whose number, counted from 1, is this text, or whose label or branch name contains it in upper or lower case.
    pub search: Option<&'a str>,
    /// Only those after this one, which was the last of the page before.
    pub after: Option<(MemberStatus, u32)>,
    /// At most so many.
    pub limit: usize,
}

/// Members, or the keys that have to be read to find them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberList {
    /// These keys have to be read.
    Needs(Vec<Key>),
    /// The request has not reached this place, or its definition does not have it.
    Nowhere,
    /// The place has begun no members.
    NoMembers,
    /// The value of this key, or of another one, cannot be read by this version, or the store does not show it yet.
    Unreadable(Option<Key>),
    /// The members.
    Page(Box<MemberPage>),
}

/// A page of members.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberPage {
    /// How many there are in all, whatever is listed.
    pub members: Members,
    /// The members of this page.
    pub listed: Vec<MemberProgress>,
    /// Where the next page begins, if there is one.
    pub after: Option<(MemberStatus, u32)>,
}

/// How far a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberProgress {
    /// Which branch or item it is, from 0.
    pub index: u32,
    /// How far it is.
    pub status: MemberStatus,
    /// The place where it begins.
    pub entry: Place,
    /// The label of the item.
    pub label: Option<String>,
    /// Its phases that have begun or are about to, in order. Those in graphs and for-eaches inside it are left out.
    pub phases: Vec<PlaceProgress>,
}

/// Why a request does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// It does.
    None,
    /// It is paused or parked.
    Waits,
    /// It has ended, or what it has begun here is not needed any more.
    Ended,
}

/// The members that a fork began.
pub(super) struct ForkMembers {
    token: Message,
    record: Record,
    terms: Terms,
    composite: CompositeIndex,
    halt: Halt,
    /// The status of each member.
    pub(super) statuses: Vec<MemberStatus>,
    /// Those that have begun.
    pub(super) begun: HashSet<u32>,
    /// The phases of those that have begun and are not counted by the join.
    late: HashMap<u32, Vec<PlaceProgress>>,
    pub(super) members: Members,
}

/// Why no members are listed.
pub(super) enum NotListed {
    Needs(Vec<Key>),
    Nowhere,
    NoMembers,
    Unreadable(Option<Key>),
}

impl From<Missing> for NotListed {
    fn from(missing: Missing) -> NotListed {
        match missing {
            Missing::Keys(keys) => NotListed::Needs(keys),
            Missing::Value => NotListed::Unreadable(None),
        }
    }
}

/// Lists members. `first` is the [first token](Message::fresh) of the request in its current generation, and `found` contains what was
/// read so far: each key that this function asked for, with its value if it exists.
///
/// Call it again with more keys until it needs no more. It reads the way to the place, all entries of the join, the phases of the members
/// that are in progress and of those of this page, and for a search all labels.
#[must_use]
pub fn list_members<'a>(
    route: impl Into<Route<'a>>,
    first: &Message,
    query: &MemberQuery<'_>,
    found: &HashMap<Key, Option<Bytes>>,
) -> MemberList {
    let route = route.into();
    let page = ForkMembers::find(route, first, query.fork, found).and_then(|members| members.page(route, query, found));
    match page {
        Ok(page) => MemberList::Page(Box::new(page)),
        Err(NotListed::Needs(keys)) => MemberList::Needs(keys),
        Err(NotListed::Nowhere) => MemberList::Nowhere,
        Err(NotListed::NoMembers) => MemberList::NoMembers,
        Err(NotListed::Unreadable(key)) => MemberList::Unreadable(key),
    }
}

impl Surveyor<'_> {
    /// What is missing, if anything is.
    pub(super) fn complete(&mut self) -> Result<(), NotListed> {
        match (self.seen.unreadable.take(), std::mem::take(&mut self.seen.needs)) {
            (Some(key), _) => Err(NotListed::Unreadable(Some(key))),
            (None, needs) if !needs.is_empty() => Err(NotListed::Needs(needs)),
            _ => Ok(()),
        }
    }

    /// Why nothing goes on at a place.
    pub(super) fn halt(&mut self, place: &Place) -> Result<Halt, NotListed> {
        let control = self.look(layout::control());
        let parked = self.look(layout::parked());
        let over = self.look(layout::over(place.generation()));
        let decided: Vec<_> = place.forks().map(|fork| self.look(layout::decided(&fork))).collect();
        let control = self.decoded(layout::control(), control, |value| Control::decode(Some(value)));
        self.complete()?;
        let is_there = |value: Option<Option<Bytes>>| value.flatten().is_some();
        Ok(if is_there(over) || decided.into_iter().any(is_there) {
            Halt::Ended
        } else if control.is_some_and(|control| control.paused) || is_there(parked) {
            Halt::Waits
        } else {
            Halt::None
        })
    }

    /// The phases of a member, and how it has ended, if it has.
    fn member(&mut self, token: Message, halt: Halt) -> (Option<Ended>, Vec<PlaceProgress>) {
        let ended = self.visit(token, halt != Halt::Ended);
        let mut phases = std::mem::take(&mut self.seen.places);
        halt.applies_to(&mut phases);
        (ended, phases)
    }
}

impl Halt {
    pub(super) fn applies_to(self, phases: &mut [PlaceProgress]) {
        for phase in phases {
            match self {
                Halt::None => {}
                Halt::Waits => phase.wait(),
                Halt::Ended => phase.stop(),
            }
        }
    }
}

impl ForkMembers {
    /// The members that the phase at this place began.
    pub(super) fn find(
        route: Route<'_>,
        first: &Message,
        fork: &Place,
        found: &HashMap<Key, Option<Bytes>>,
    ) -> Result<ForkMembers, NotListed> {
        let (token, record) = reach(route, first, fork, found)?.ok_or(NotListed::Nowhere)?;
        let record = record.ok_or(NotListed::NoMembers)?;
        let journal = Journal::new();
        let walk = Walk::new(route, &token, &journal, Flaw::None);
        let segment = walk.plan.segment(&token.place).ok_or(NotListed::Nowhere)?;
        let Follow::Fork(composite) = walk.follow_of(segment, &record) else { return Err(NotListed::NoMembers) };
        let terms = record.fork.clone().ok_or(NotListed::NoMembers)?;
        let outline = walk.plan.composite(composite);
        let mut surveyor = Surveyor::shallow(route, found);
        let mut halt = surveyor.halt(&token.place)?;
        let so_far = match Tally::new(outline, &terms) {
            // It is decided before any member begins.
            tally if tally.verdict.is_some() => SoFar { begun: Vec::new(), entered: HashMap::new(), tally },
            _ => match surveyor.entries(composite, fork, &terms) {
                Some(entries) => SoFar::after(outline, &terms, &entries),
                None => return Err(surveyor.complete().err().unwrap_or(NotListed::Unreadable(None))),
            },
        };
        if so_far.tally.verdict.is_some() {
            halt = Halt::Ended;
        }
        let not_begun = |index: u32| match halt {
            Halt::Ended => MemberStatus::Stopped,
            _ if so_far.tally.gave_up(index as usize) => MemberStatus::Stopped,
            _ => MemberStatus::Waiting,
        };
        let mut statuses: Vec<MemberStatus> = (0..terms.members).map(not_begun).collect();
        let mut late = HashMap::new();
        for (index, _) in &so_far.begun {
            let status = match so_far.entered.get(index) {
                Some(ended) => status_of(*ended),
                None => {
                    let entry = walk.entry_place(composite, fork, *index);
                    let token = walk.member_towards(composite, &record, &terms, &entry);
                    let (ended, phases) = token.map(|token| surveyor.member(token, halt)).unwrap_or_default();
                    let is_tried = phases.last().is_some_and(|phase| phase.tried.is_some());
                    late.insert(*index, phases);
                    match (ended, halt) {
                        (Some(ended), _) => status_of(ended),
                        (None, Halt::Ended) => MemberStatus::Stopped,
                        (None, Halt::Waits) => MemberStatus::Waiting,
                        (None, Halt::None) if is_tried => MemberStatus::Retrying,
                        (None, Halt::None) => MemberStatus::Running,
                    }
                }
            };
            if let Some(known) = statuses.get_mut(*index as usize) {
                *known = status;
            }
        }
        surveyor.complete()?;
        let mut members = Members { all: terms.members, at_most: terms.at_most, ..Members::default() };
        for status in &statuses {
            *match status {
                MemberStatus::Failed => &mut members.failed,
                MemberStatus::Retrying | MemberStatus::Running => &mut members.running,
                MemberStatus::Waiting => &mut members.waiting,
                MemberStatus::Done => &mut members.done,
                MemberStatus::Stopped => &mut members.stopped,
            } += 1;
        }
        let begun = so_far.begun.iter().map(|(index, _)| *index).collect();
        Ok(ForkMembers { token, record, terms, composite, halt, statuses, begun, late, members })
    }

    fn page(
        mut self,
        route: Route<'_>,
        query: &MemberQuery<'_>,
        found: &HashMap<Key, Option<Bytes>>,
    ) -> Result<MemberPage, NotListed> {
        let mut surveyor = Surveyor::shallow(route, found);
        let all = (0u32..).zip(&self.statuses).map(|(index, status)| (*status, index));
        let is_wanted = |at: &(MemberStatus, u32)| {
            query.status.is_none_or(|status| status == at.0) && query.after.is_none_or(|after| *at > after)
        };
        let mut wanted: Vec<(MemberStatus, u32)> = all.filter(is_wanted).collect();
        wanted.sort_unstable();
        if let Some(text) = query.search {
            wanted = self.matches(&mut surveyor, text, wanted)?;
        }
        let is_last = wanted.len() <= query.limit;
        wanted.truncate(query.limit);
        let after = wanted.last().copied().filter(|_| !is_last);

        let journal = Journal::new();
        let walk = Walk::new(route, &self.token, &journal, Flaw::None);
        let mut listed = Vec::with_capacity(wanted.len());
        for (status, index) in wanted {
            let entry = walk.entry_place(self.composite, query.fork, index);
            let Some(token) = walk.member_towards(self.composite, &self.record, &self.terms, &entry) else { continue };
            let label = surveyor.labelled(token.clone()).labels().last().map(str::to_owned);
            // The token of an item in another one has the label of that one before its own.
            let label = label.filter(|_| label_of(query.fork, &self.terms, index).is_some());
            let phases = match self.late.remove(&index) {
                Some(phases) => phases,
                None if self.begun.contains(&index) => surveyor.member(token, self.halt).1,
                None => Vec::new(),
            };
            listed.push(MemberProgress { index, status, entry, label, phases });
        }
        surveyor.complete()?;
        Ok(MemberPage { members: self.members, listed, after })
    }

    /// Those of the members that a text is searched for finds.
    fn matches(
        &self,
        surveyor: &mut Surveyor<'_>,
        text: &str,
        mut members: Vec<(MemberStatus, u32)>,
    ) -> Result<Vec<(MemberStatus, u32)>, NotListed> {
        let lower = text.to_lowercase();
        let number = text.trim().parse::<u32>().ok();
        let outline = surveyor.route.plan().composite(self.composite);
        let mut chunks: HashMap<Key, Vec<Option<String>>> = HashMap::new();
        members.retain(|(_, index)| {
            let is_named = match outline.kind() {
                CompositeKind::Graph => outline
                    .branches()
                    .get(*index as usize)
                    .is_some_and(|branch| branch.name().to_string().to_lowercase().contains(&lower)),
                _ => false,
            };
            let is_labelled = label_of(&self.token.place, &self.terms, *index).is_some_and(|(key, at)| {
                let labels = chunks.entry(key).or_insert_with_key(|key| {
                    let value = surveyor.look(key.clone()).flatten();
                    value.as_ref().and_then(decode_labels).unwrap_or_default()
                });
                labels.get(at).and_then(Option::as_ref).is_some_and(|label| label.to_lowercase().contains(&lower))
            });
            is_named || is_labelled || number == Some(index + 1)
        });
        surveyor.complete()?;
        Ok(members)
    }
}

fn status_of(ended: Ended) -> MemberStatus {
    match ended {
        Ended::Done => MemberStatus::Done,
        Ended::Failed | Ended::Replied => MemberStatus::Failed,
    }
}
