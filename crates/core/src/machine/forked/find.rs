//! Finds the input and the record of one place of a request that is remembered, without looking at the others.

use std::collections::HashMap;

use bytes::Bytes;

use crate::envelope::{Carried, Origin, Terms};
use crate::graph::{CompositeIndex, CompositeKind, Follow, Place};
use crate::machine::Route;
use crate::payload::Payload;
use crate::state::Key;

use super::effect::{Answer, Effect, Input};
use super::flaw::Flaw;
use super::join::Next;
use super::journal::{Journal, Replay, Step};
use super::message::Message;
use super::proceed::Walk;
use super::record::{MemberRecord, Record};
use super::tally::Tally;

/// What a request has recorded at a place, or the keys that have to be read to find out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Find {
    /// These keys have to be read.
    Needs(Vec<Key>),
    /// The request has not reached this place, or its definition does not have it.
    Nowhere,
    /// A value cannot be read by this version, or the store does not show it yet.
    Unreadable,
    /// The place.
    Found {
        /// What its phase begins with.
        input: Box<Input>,
        /// How the phase ended; `None` if it has not.
        record: Option<Box<MemberRecord>>,
    },
}

/// Finds a place. `first` is the [first token](Message::fresh) of the request in its current generation, and `found` contains what was
/// read so far: each key that this function asked for, with its value if it exists.
///
/// Call it again with more keys until it needs no more. It follows only the way to the place, so it reads no entries of a join unless
/// the place is after that join, and then their number grows with the logarithm of the number of members.
#[must_use]
pub fn find<'a>(
    route: impl Into<Route<'a>>,
    first: &Message,
    place: &Place,
    found: &HashMap<Key, Option<Bytes>>,
) -> Find {
    let route = route.into();
    let mut journal = Journal::new();
    loop {
        let start = Walk { route, plan: route.plan(), message: first, replay: Replay::new(&journal), flaw: Flaw::None };
        let keys = match start.towards(place) {
            Ok(None) => return Find::Nowhere,
            Ok(Some((input, record))) => {
                let record = record.map(|Record { ended, output, reason, span, .. }| {
                    Box::new(MemberRecord { ended, output, reason, span })
                });
                return Find::Found { input: Box::new(input), record };
            }
            Err(Effect::Read(key)) => match found.get(&key) {
                Some(value) => {
                    journal.add(Answer::Found(value.clone()));
                    continue;
                }
                None => vec![key],
            },
            Err(Effect::ReadAll(keys)) => {
                let values: Option<Vec<_>> = keys.iter().map(|key| found.get(key).cloned()).collect();
                match values {
                    Some(values) => {
                        journal.add(Answer::FoundAll(values));
                        continue;
                    }
                    None => keys,
                }
            }
            Err(_) => return Find::Unreadable,
        };
        return Find::Needs(keys);
    }
}

impl Walk<'_> {
    /// Follows what is recorded from the place of this token to another one, and returns the input there, and the record if the phase
    /// has ended.
    fn towards(mut self, place: &Place) -> Step<Option<(Input, Option<Record>)>> {
        let (plan, message) = (self.plan, self.message);
        let Some(segment) = plan.segment(&message.place) else { return Ok(None) };
        let key = self.record_key(segment);
        let record = match self.replay.read(key)? {
            None => None,
            Some(value) => Some(self.decode_record(segment, &value).ok_or_else(unreadable)?),
        };
        if self.message.place == *place {
            return Ok(Some((self.input(segment)?, record)));
        }
        let Some(record) = record else { return Ok(None) };
        let next = match self.follow_of(segment, &record) {
            Follow::Next(next) => self.message.onward(self.message.place.sibling(&next), record.output),
            Follow::Fork(composite) => {
                let terms = record.fork.clone().ok_or_else(unreadable)?;
                match self.member_towards(composite, &record, &terms, place) {
                    Some(member) => member,
                    None => match self.join_towards(composite, terms)? {
                        Some(join) => join,
                        None => return Ok(None),
                    },
                }
            }
            Follow::Arrive(_) | Follow::End | Follow::Choose(_) => return Ok(None),
        };
        let Walk { route, plan, replay, flaw, .. } = self;
        Walk { route, plan, message: &next, replay, flaw }.towards(place)
    }

    /// The first token of the member that a place is in; `None` if it is in no member of this fork.
    fn member_towards(
        &self,
        composite: CompositeIndex,
        record: &Record,
        terms: &Terms,
        place: &Place,
    ) -> Option<Message> {
        let fork = &self.message.place;
        let depth = fork.path().len();
        let member = place.path().get(depth).filter(|_| place.forks().nth(depth).as_ref() == Some(fork))?.index;
        if member >= terms.members {
            return None;
        }
        let outline = self.plan.composite(composite);
        let is_first = outline.kind() != CompositeKind::Graph
            || outline.branches().get(member as usize).is_some_and(|branch| branch.after().is_empty());
        let (payload, origin): (Carried, Origin) = match (&terms.list, is_first) {
            (Some(_), _) => (Payload::empty().into(), Origin::Item),
            (None, true) => (record.output.clone(), Origin::Token),
            (None, false) => (Payload::empty().into(), Origin::Branches),
        };
        let joins = [&self.message.joins[..], std::slice::from_ref(terms)].concat();
        Some(Message::begin(self.entry_place(composite, fork, member), payload, origin, joins))
    }

    /// The token of the join; `None` if it has not been decided.
    fn join_towards(&mut self, composite: CompositeIndex, terms: Terms) -> Step<Option<Message>> {
        let fork = &self.message.place.clone();
        let outline = self.plan.composite(composite);
        let entry = match Tally::new(outline, &terms).verdict {
            Some(_) => None,
            None => match self.next_entry(composite, fork, &terms, 0)? {
                Next::Decided(number, _) => Some(number),
                Next::Free(_) => return Ok(None),
            },
        };
        Ok(Some(self.join_token(composite, fork, terms, entry)))
    }
}

fn unreadable() -> Effect {
    Effect::Reply(super::effect::Reply::ComeAgain)
}
