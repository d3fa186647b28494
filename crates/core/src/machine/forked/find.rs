//! Finds the input and the record of one place of a request that is remembered, without looking at the others.

use std::collections::HashMap;

use bytes::Bytes;

use crate::envelope::{Carried, Origin, Terms};
use crate::graph::{CompositeIndex, CompositeKind, Follow, Place, Segment};
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
    let input = |mut walk: Walk<'_>, segment: &Segment, record| Ok((walk.input(segment)?, record));
    match replayed(route.into(), first, found, |walk| walk.towards(place, false, input)) {
        Ok(None) => Find::Nowhere,
        Ok(Some((input, record))) => {
            let record = record.map(|Record { ended, output, reason, span, .. }| {
                Box::new(MemberRecord { ended, output, reason, span })
            });
            Find::Found { input: Box::new(input), record }
        }
        Err(Missing::Keys(keys)) => Find::Needs(keys),
        Err(Missing::Value) => Find::Unreadable,
    }
}

/// Why nothing was found.
pub(super) enum Missing {
    /// These keys have to be read.
    Keys(Vec<Key>),
    /// A value cannot be read by this version, or the store does not show it yet.
    Value,
}

/// Finds the token of a place, with the labels of the items that it is in, and the record of the phase if it has ended. `None` if the
/// request has not reached the place. An item of a for-each is found even if it has not begun.
pub(super) fn reach(
    route: Route<'_>,
    first: &Message,
    place: &Place,
    found: &HashMap<Key, Option<Bytes>>,
) -> Result<Option<(Message, Option<Record>)>, Missing> {
    let there = |walk: Walk<'_>, _: &Segment, record| Ok((walk.message.clone(), record));
    replayed(route, first, found, |walk| walk.towards(place, true, there))
}

/// Does something that only reads keys, with the values that were read so far.
fn replayed<T>(
    route: Route<'_>,
    first: &Message,
    found: &HashMap<Key, Option<Bytes>>,
    act: impl Fn(Walk<'_>) -> Step<T>,
) -> Result<T, Missing> {
    let mut journal = Journal::new();
    loop {
        let start = Walk { route, plan: route.plan(), message: first, replay: Replay::new(&journal), flaw: Flaw::None };
        let keys = match act(start) {
            Ok(done) => return Ok(done),
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
            Err(_) => return Err(Missing::Value),
        };
        return Err(Missing::Keys(keys));
    }
}

impl Walk<'_> {
    /// Follows what is recorded from the place of this token to another one, and returns what `there` returns for the token there, and
    /// for the record if the phase has ended. With `labels`, the token has the labels of the items that it is in.
    fn towards<T>(
        mut self,
        place: &Place,
        labels: bool,
        there: impl FnOnce(Walk<'_>, &Segment, Option<Record>) -> Step<T>,
    ) -> Step<Option<T>> {
        let Some(segment) = self.plan.segment(&self.message.place) else { return Ok(None) };
        let key = self.record_key(segment);
        let record = match self.replay.read(key)? {
            None => None,
            Some(value) => Some(self.decode_record(segment, &value).ok_or_else(unreadable)?),
        };
        if self.message.place == *place {
            return there(self, segment, record).map(Some);
        }
        let Some(record) = record else { return Ok(None) };
        let Some(mut next) = self.follow_towards(segment, record, place)? else { return Ok(None) };
        if let Some((key, _)) = next.label_key().filter(|_| labels)
            && let Some(value) = self.replay.read(key)?
        {
            next.set_label(&value);
        }
        let Walk { route, plan, replay, flaw, .. } = self;
        Walk { route, plan, message: &next, replay, flaw }.towards(place, labels, there)
    }

    /// The token after a phase that has ended, on the way to a place.
    fn follow_towards(&mut self, segment: &Segment, record: Record, place: &Place) -> Step<Option<Message>> {
        match self.follow_of(segment, &record) {
            Follow::Next(next) => Ok(Some(self.message.onward(self.message.place.sibling(&next), record.output))),
            Follow::Fork(composite) => {
                let terms = record.fork.clone().ok_or_else(unreadable)?;
                match self.member_towards(composite, &record, &terms, place) {
                    Some(member) => Ok(Some(member)),
                    None => self.join_towards(composite, terms),
                }
            }
            Follow::Arrive(_) | Follow::End | Follow::Choose(_) => Ok(None),
        }
    }

    /// The first token of the member that a place is in; `None` if it is in no member of this fork.
    pub(super) fn member_towards(
        &self,
        composite: CompositeIndex,
        record: &Record,
        terms: &Terms,
        place: &Place,
    ) -> Option<Message> {
        let fork = &self.message.place;
        let depth = fork.path().len();
        let member = place.path().get(depth).filter(|_| place.forks().nth(depth).as_ref() == Some(fork))?.index;
        (member < terms.members).then(|| self.member_token(composite, record, terms.clone(), member))
    }

    /// The first token of a member.
    pub(super) fn member_token(
        &self,
        composite: CompositeIndex,
        record: &Record,
        terms: Terms,
        member: u32,
    ) -> Message {
        let outline = self.plan.composite(composite);
        // The others begin when those have ended that come before them.
        let begins_at_once = outline.kind() != CompositeKind::Graph
            || outline.branches().get(member as usize).is_some_and(|branch| branch.after().is_empty());
        let (payload, origin): (Carried, Origin) = match (&terms.list, begins_at_once) {
            (Some(_), _) => (Payload::empty().into(), Origin::Item),
            (None, true) => (record.output.clone(), Origin::Token),
            (None, false) => (Payload::empty().into(), Origin::Branches),
        };
        let joins = [&self.message.joins[..], &[terms]].concat();
        Message::begin(self.entry_place(composite, &self.message.place, member), payload, origin, joins)
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
