//! What a request has ahead of it that has not begun.

use std::collections::{HashMap, HashSet};

use crate::graph::{Branch, CompositeIndex, CompositeKind, Follow, Place, Plan};

use super::ended::Ended;
use super::progress::{PlaceProgress, Standing};

/// A place that has not begun.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ahead {
    /// The place.
    pub place: Place,
    /// What it waits for.
    pub waits_for: WaitsFor,
}

/// What a place waits for that has not begun.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitsFor {
    /// The ends of these places, or of one of them if they are in branches of a choice.
    Places(Vec<Place>),
    /// The ends of the branches that begin at these places.
    Branches(Vec<Place>),
    /// The members that this place begins.
    Members(Place),
}

/// The places that a request has ahead of it and that have not begun, in the order of the plan. `places` are those that its
/// [progress](super::Progress) lists.
///
/// Those in items of a for-each are left out, because there may be too many of them. So are those in the branches of a choice, because
/// nobody knows which one it will be.
#[must_use]
pub fn ahead(plan: &Plan, places: &[PlaceProgress]) -> Vec<Ahead> {
    let known = places.iter().map(|progress| &progress.place).collect();
    let is_in_item = |place: &Place| place.forks().any(|fork| plan.begins_items(&fork));
    let mut outlook = Outlook { plan, known, found: Vec::new(), at: HashMap::new() };
    for progress in places.iter().filter(|progress| !is_in_item(&progress.place)) {
        let Some(segment) = plan.segment(&progress.place) else { continue };
        match (progress.standing, segment.follow(), progress.members) {
            (Standing::Waiting | Standing::Running, follow, _) => outlook.follow(&progress.place, follow),
            (Standing::Ended(Ended::Done), Follow::Fork(composite), Some(members))
                if members.waiting + members.running > 0 =>
            {
                let failed = places.iter().filter(|place| place.ended().is_some_and(|ended| ended != Ended::Done));
                let failed = failed.filter_map(|place| place.place.fork());
                let failed = failed.filter(|(fork, _)| *fork == progress.place).map(|(_, branch)| branch as usize);
                outlook.fork(&progress.place, *composite, &failed.collect());
            }
            _ => {}
        }
    }
    outlook.found.sort_by_key(|ahead| (ahead.place.phase(), ahead.place.to_string()));
    outlook.found
}

/// The branches that come directly or indirectly after a failed one.
fn given_up(branches: &[Branch], failed: &HashSet<usize>) -> HashSet<usize> {
    let mut stopped = HashSet::new();
    loop {
        let is_stopped = |before: &usize| failed.contains(before) || stopped.contains(before);
        let more = branches.iter().enumerate().filter(|(_, branch)| branch.after().iter().any(is_stopped));
        let more: HashSet<usize> = more.map(|(index, _)| index).collect();
        if more.len() == stopped.len() {
            return more;
        }
        stopped = more;
    }
}

struct Outlook<'a> {
    plan: &'a Plan,
    /// The places that have begun.
    known: HashSet<&'a Place>,
    found: Vec<Ahead>,
    at: HashMap<Place, usize>,
}

impl Outlook<'_> {
    /// Adds what follows a place.
    fn follow(&mut self, place: &Place, follow: &Follow) {
        match follow {
            Follow::Next(next) => self.add(&place.sibling(next), WaitsFor::Places(vec![place.clone()])),
            Follow::Fork(composite) => self.fork(place, *composite, &HashSet::new()),
            Follow::Choose(composite) => {
                // All branches lead to the same place.
                let branch = self.plan.composite(*composite).branches().first();
                let end = branch.map(|branch| self.plan.end_of(branch.body()).clone());
                if let Some(end @ (Follow::Next(_) | Follow::Fork(_) | Follow::Choose(_))) = end {
                    self.follow(place, &end);
                }
            }
            Follow::Arrive(_) | Follow::End => {}
        }
    }

    /// Adds the branches that a fork begins, and what comes after them. Those that come after a failed one never begin.
    fn fork(&mut self, fork: &Place, composite: CompositeIndex, failed: &HashSet<usize>) {
        let outline = self.plan.composite(composite);
        if outline.kind() == CompositeKind::Graph {
            let stopped = given_up(outline.branches(), failed);
            let entry = |branch: usize| match self.plan.entry(composite, branch) {
                Follow::Next(entry) => u32::try_from(branch).ok().map(|branch| fork.member(branch, entry)),
                _ => None,
            };
            let entries: Vec<Option<Place>> = (0..outline.branches().len()).map(entry).collect();
            for (branch, of) in outline.branches().iter().enumerate() {
                if stopped.contains(&branch) {
                    continue;
                }
                let before: Vec<Place> = of.after().iter().filter_map(|before| entries[*before].clone()).collect();
                let waits_for = match before.is_empty() {
                    true => WaitsFor::Places(vec![fork.clone()]),
                    false => WaitsFor::Branches(before),
                };
                if let Some(place) = &entries[branch] {
                    self.add(place, waits_for);
                }
            }
        }
        self.add(&fork.sibling(self.plan.join(composite).place()), WaitsFor::Members(fork.clone()));
    }

    fn add(&mut self, place: &Place, waits_for: WaitsFor) {
        if self.known.contains(place) {
            return;
        }
        if let Some(at) = self.at.get(place) {
            // Several branches of a choice lead here, of which one is taken.
            if let (WaitsFor::Places(known), WaitsFor::Places(more)) = (&mut self.found[*at].waits_for, waits_for) {
                known.extend(more.into_iter().filter(|place| !known.contains(place)).collect::<Vec<_>>());
            }
            return;
        }
        let Some(segment) = self.plan.segment(place) else { return };
        self.at.insert(place.clone(), self.found.len());
        self.found.push(Ahead { place: place.clone(), waits_for });
        self.follow(place, &segment.follow().clone());
    }
}
