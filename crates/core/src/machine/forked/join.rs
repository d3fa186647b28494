//! How the members of a graph or for-each begin, end and come together.
//!
//! A join has entries, numbered from 0 without gaps. A member that ends writes its result and then becomes part of the next
//! entry: alone, or together with members that end at about the same time. So each member is in one entry, and the entries
//! record the order in which the members ended. Each entry contains the [tally](Tally) of all entries up to and including
//! itself. Everything else follows from that:
//!
//! - The entry whose tally decides the join is the claim. There is exactly one, and no entry comes after it.
//! - The join is decided on the members of the entries up to the claim. That set never changes.
//! - Each member of an entry frees a slot, so the next item begins. A member that is delivered again finds its entry, which
//!   determines the members that it began.
//!
//! Before a member writes its result, it takes a number, and its result contains that number. It only ever tries to become part of
//! that entry. If the entry was created without it, it takes another number, and writes that down first as well. So a member that
//! is delivered twice at the same time tries the same entries in the same order, and becomes part of one.

use bytes::Bytes;

use crate::definition::Policy;
use crate::envelope::{Carried, Origin, Terms};
use crate::graph::{CompositeIndex, CompositeKind, Follow, Place, Segment};
use crate::payload::Payload;
use crate::state::{Key, layout};

use super::effect::{Answer, Effect, Input, Reply};
use super::ended::Ended;
use super::entry::{Entrant, Entry};
use super::flaw::Flaw;
use super::journal::{Step, answer};
use super::message::Message;
use super::proceed::{End, Walk, no_place, reply};
use super::record::{Record, decode, encode};
use super::tally::{Tally, Verdict};

/// How many results a join reads together with its entry. They are kept for the time of the delivery, and each is at most 64 KiB large.
const READ_AHEAD: u32 = 16;

/// What a member finds at the end of a join's entries.
pub(super) enum Next {
    /// The entry with this number may be created.
    Free(u32),
    /// This last entry decided the join.
    Decided(u32, Entry),
}

impl Walk<'_> {
    /// Begins the first members of a graph or for-each, or fires its join if it is decided before any member begins.
    pub(super) fn fork(self, composite: CompositeIndex, record: Record) -> End {
        let outline = self.plan.composite(composite);
        let Some(terms) = record.fork else { return reply(Reply::ComeAgain) };
        if Tally::new(outline, &terms).verdict.is_some() {
            let fork = self.message.place.clone();
            return self.fire(composite, &fork, terms, None);
        }
        let first = Tally::first(outline, &terms);
        let joins = |terms: &Terms| [&self.message.joins[..], std::slice::from_ref(terms)].concat();
        let begin = |member: u32| {
            let origin = if terms.list.is_some() { Origin::Item } else { Origin::Token };
            let place = self.entry_place(composite, &self.message.place, member);
            Message::begin(place, record.output.clone(), origin, joins(&terms))
        };
        let messages = first.into_iter().map(begin).collect();
        self.post(messages)
    }

    /// Where a member begins.
    pub(super) fn entry_place(&self, composite: CompositeIndex, fork: &Place, member: u32) -> Place {
        let branch = match self.plan.composite(composite).kind() {
            CompositeKind::ForEach => 0,
            _ => member as usize,
        };
        match self.plan.entry(composite, branch) {
            Follow::Next(segment) => fork.member(member, segment),
            other => unreachable!("a branch of a graph begins with a phase, not with {other:?}"),
        }
    }

    /// Posts the token of the join.
    fn fire(self, composite: CompositeIndex, fork: &Place, terms: Terms, entry: Option<u32>) -> End {
        let token = self.join_token(composite, fork, terms, entry);
        self.post(vec![token])
    }

    pub(super) fn join_token(
        &self,
        composite: CompositeIndex,
        fork: &Place,
        terms: Terms,
        entry: Option<u32>,
    ) -> Message {
        let joins = self.message.joins[..fork.path().len()].to_vec();
        let place = fork.sibling(self.plan.join(composite).place());
        Message::join(place, Terms { seen: 0, due_ms: None, label: None, ..terms }, entry, joins)
    }

    /// The number of the entry that this member first tries to create; `None` if the join is decided.
    pub(super) fn turn(&mut self, composite: CompositeIndex) -> Step<Option<u32>> {
        let Some(((fork, _), terms)) = self.message.place.fork().zip(self.message.joins.last()) else {
            return Ok(None);
        };
        debug_assert!(self.plan.composite(composite).kind().joins());
        let known = self.replay.known_entries(&fork)?.filter(|known| *known >= terms.seen);
        let (from, known) = known.map_or((terms.seen, false), |known| (known, true));
        let next = match known {
            // Usually these are all entries. If there are more, the member finds them later.
            true => self.after_entry(composite, &fork, terms, from)?,
            false => self.next_entry(composite, &fork, terms, from)?,
        };
        Ok(match next {
            Next::Free(number) => Some(number),
            Next::Decided(..) => None,
        })
    }

    /// Finds the next free entry. All entries before `from` are known to exist. The number of reads grows with the logarithm of
    /// the number of members that have ended since.
    pub(super) fn next_entry(
        &mut self,
        composite: CompositeIndex,
        fork: &Place,
        terms: &Terms,
        from: u32,
    ) -> Step<Next> {
        let (mut low, mut high, mut stride) = (from, terms.members, 1);
        let mut probe = low;
        while probe < high {
            match self.replay.read(layout::entry(fork, probe))? {
                Some(_) => {
                    low = probe + 1;
                    probe = probe.saturating_add(stride);
                    stride *= 2;
                }
                None => high = probe,
            }
        }
        while low < high {
            let middle = low + (high - low) / 2;
            match self.replay.read(layout::entry(fork, middle))? {
                Some(_) => low = middle + 1,
                None => high = middle,
            }
        }
        self.after_entry(composite, fork, terms, low)
    }

    /// Whether the entry with this number may be created. All entries before it exist.
    fn after_entry(&mut self, composite: CompositeIndex, fork: &Place, terms: &Terms, number: u32) -> Step<Next> {
        let Some(last) = number.checked_sub(1) else { return Ok(Next::Free(0)) };
        let entry = self.entry(composite, fork, terms, last)?;
        Ok(match entry.tally.verdict {
            None => Next::Free(number),
            Some(_) => Next::Decided(last, entry),
        })
    }

    /// The tally before the entry with this number.
    fn tally_before(&mut self, composite: CompositeIndex, fork: &Place, terms: &Terms, number: u32) -> Step<Tally> {
        Ok(match number.checked_sub(1) {
            None => Tally::new(self.plan.composite(composite), terms),
            Some(last) => self.entry(composite, fork, terms, last)?.tally,
        })
    }

    /// Reads an entry that is known to exist. If the request has ended and removed it, this delivery is late. If the store does
    /// not show it yet, the delivery must come again.
    fn entry(&mut self, composite: CompositeIndex, fork: &Place, terms: &Terms, number: u32) -> Step<Entry> {
        let found = self.replay.read(layout::entry(fork, number))?;
        if found.is_none() {
            self.leave_if_over()?;
        }
        self.decode_entry(composite, terms, found.as_ref())
    }

    /// Decodes an entry. If it is absent or does not fit the terms, the delivery must come again.
    fn decode_entry(&self, composite: CompositeIndex, terms: &Terms, value: Option<&Bytes>) -> Step<Entry> {
        let entry: Option<Entry> = value.and_then(decode);
        let entry = entry.filter(|entry| entry.fits(self.plan.composite(composite), terms));
        entry.ok_or(Effect::Reply(Reply::ComeAgain))
    }

    /// Handles the end of a member. Unless its last phase recorded that end, it is recorded here.
    pub(super) fn member_ended(mut self, segment: &Segment, composite: CompositeIndex, record: Record) -> End {
        let place = &self.message.place;
        let Some(((fork, member), terms)) = place.fork().zip(self.message.joins.last()) else {
            return reply(Reply::Refused(no_place(place)));
        };
        let key = layout::member(&fork, member);
        let is_written = matches!(segment.follow(), Follow::Arrive(_));
        if self.flaw == Flaw::ClaimBeforeWrite {
            return self.claim_before_write(composite, &fork, member, record);
        }
        let record = match is_written {
            true => record,
            false => {
                let own = Record { recovered: None, chosen: None, fork: None, ..record };
                let stands = self.replay.create(&key, &own.encode())?;
                match Record::decode(&stands) {
                    Some(record) => record,
                    None => return reply(Reply::ComeAgain),
                }
            }
        };
        match self.flaw {
            Flaw::NoClaim => return self.fire_without_claim(composite, &fork, terms),
            Flaw::CountInsteadOfSet => return self.count_again(composite, &fork, member, &record),
            _ => {}
        }
        match self.claim(composite, &fork, member, &record)? {
            Some((number, entry)) => self.ended_as(composite, number, &entry),
            None => self.drop_out(),
        }
    }

    /// Makes this member part of an entry, or finds the entry that it is part of; `None` if the join was decided without it.
    fn claim(
        &mut self,
        composite: CompositeIndex,
        fork: &Place,
        member: u32,
        record: &Record,
    ) -> Step<Option<(u32, Entry)>> {
        let Some(terms) = self.message.joins.last() else { return Ok(None) };
        let Some(mut number) = record.turn else { return Ok(None) };
        for attempt in 1.. {
            let before = self.tally_before(composite, fork, terms, number)?;
            let entrant = Entrant {
                key: layout::entry(fork, number),
                number,
                composite,
                terms: terms.clone(),
                before,
                member,
                ended: record.ended,
            };
            let stands = self.replay.enter(&entrant)?;
            match self.decode_entry(composite, terms, Some(&stands))? {
                entry if entry.contains(member) => return Ok(Some((number, entry))),
                entry if entry.tally.verdict.is_some() => return Ok(None),
                _ => {}
            }
            let next = match self.next_entry(composite, fork, terms, number + 1)? {
                Next::Free(number) => number,
                // An earlier delivery of this member decided the join.
                Next::Decided(number, entry) if entry.contains(member) => return Ok(Some((number, entry))),
                Next::Decided(..) => return Ok(None),
            };
            let stands = self.replay.create(&layout::turn(fork, member, attempt), &encode(&next))?;
            number = decode(&stands).ok_or(Effect::Reply(Reply::ComeAgain))?;
        }
        unreachable!("there are more attempts than entries")
    }

    /// Fires the join or begins further members, depending on the entry.
    fn ended_as(mut self, composite: CompositeIndex, number: u32, entry: &Entry) -> End {
        let Some(((fork, member), terms)) = self.message.place.fork().zip(self.message.joins.last()) else {
            return self.drop_out();
        };
        if entry.tally.verdict.is_some() {
            return match entry.last() == member {
                true => self.fire(composite, &fork, terms.clone(), Some(number)),
                false => self.drop_out(),
            };
        }
        let before = self.tally_before(composite, &fork, terms, number)?;
        let outline = self.plan.composite(composite);
        let next = entry.tally_after(outline, terms, &before, member).next(outline, terms, member);
        let begin = |member: u32| {
            let mut joins = self.message.joins.clone();
            if let Some(terms) = joins.last_mut() {
                terms.seen = number + 1;
                terms.due_ms = None;
                terms.label = None;
            }
            let origin = if terms.list.is_some() { Origin::Item } else { Origin::Branches };
            let payload: Carried = Payload::empty().into();
            Message::begin(self.entry_place(composite, &fork, member), payload, origin, joins)
        };
        let messages = next.into_iter().map(begin).collect();
        self.post(messages)
    }

    /// Whether members may still be in progress after their join was decided. Usually the entry that decided it has been read.
    pub(super) fn has_open_members(&mut self, composite: CompositeIndex) -> Step<bool> {
        match &self.message.origin {
            Origin::Join { entry: None, .. } => Ok(false),
            Origin::Join { terms, entry: Some(number) } => {
                let fork = self.fork_place(composite);
                let entry = self.entry(composite, &fork, terms, *number)?;
                Ok(entry.tally.open(terms) > 0)
            }
            _ => Ok(true),
        }
    }

    /// What a join that was decided by this entry begins with: the entry, and the results of the members if it probably needs all of them
    /// and they are few.
    pub(super) fn join_keys(&self, composite: CompositeIndex, terms: &Terms, entry: u32) -> impl Iterator<Item = Key> {
        let fork = self.fork_place(composite);
        let needs_all = terms.policy == Policy::Failures(0) && terms.members <= READ_AHEAD;
        let members = if needs_all { terms.members } else { 0 };
        let entry = layout::entry(&fork, entry);
        std::iter::once(entry).chain((0..members).map(move |member| layout::member(&fork, member)))
    }

    /// The input of a join: the outcome of each member at the time when the join was decided.
    pub(super) fn join_input(&mut self, composite: CompositeIndex, terms: &Terms, entry: Option<u32>) -> Step<Input> {
        let fork = self.fork_place(composite);
        let outline = self.plan.composite(composite);
        let (tally, decider, mut entries) = match entry {
            None => (Tally::new(outline, terms), None, Vec::new()),
            Some(number) => {
                let entry = self.entry(composite, &fork, terms, number)?;
                let members: Vec<(u32, Ended)> = entry.members().collect();
                let decider = entry.last();
                (entry.tally, Some(decider), vec![members])
            }
        };
        if let Some(last) = entry.filter(|_| tally.needs_entries(terms)) {
            let keys = (0..=last).map(|number| layout::entry(&fork, number)).collect();
            let found = answer!(self.replay.perform(|| Effect::ReadAll(keys))?, Answer::FoundAll(found) => found);
            entries.clear();
            if found.iter().any(Option::is_none) {
                self.leave_if_over()?;
            }
            for value in found {
                entries.push(self.decode_entry(composite, terms, value.as_ref())?.members().collect());
            }
        }
        let composite = self.deployed(composite)?;
        let members = (0u32..).zip(tally.members(outline, terms, &entries));
        let members: Vec<_> = members.map(|(index, outcome)| (outcome, layout::member(&fork, index))).collect();
        let known = members.iter().map(|(_, key)| self.replay.known(key)).collect();
        let verdict = tally.verdict.unwrap_or(Verdict::Complete);
        Ok(Input::Join { composite, verdict, members, known, decider })
    }
}

/// The protocol with deliberate mistakes, which tests must find.
impl Walk<'_> {
    fn fire_without_claim(mut self, composite: CompositeIndex, fork: &Place, terms: &Terms) -> End {
        let mut tally = Tally::new(self.plan.composite(composite), terms);
        for member in 0..terms.members {
            let found = self.replay.read(layout::member(fork, member))?;
            let Some(record) = found.and_then(|found| Record::decode(&found)) else { return self.post(Vec::new()) };
            tally = tally.after(self.plan.composite(composite), terms, member, record.ended);
        }
        // The join needs this entry as its input. The mistake is that every member writes the same one.
        let mut entry = Entry::new(self.plan.composite(composite), terms, &tally, 0, Ended::Done);
        entry.tally = tally;
        self.replay.create(&layout::entry(fork, terms.members - 1), &encode(&entry))?;
        self.fire(composite, fork, terms.clone(), Some(terms.members - 1))
    }

    fn count_again(mut self, composite: CompositeIndex, fork: &Place, member: u32, record: &Record) -> End {
        let Some(terms) = self.message.joins.last() else { return self.drop_out() };
        loop {
            let Next::Free(number) = self.next_entry(composite, fork, terms, terms.seen)? else {
                return self.drop_out();
            };
            let before = self.tally_before(composite, fork, terms, number)?;
            let mine = Entry::new(self.plan.composite(composite), terms, &before, member, record.ended);
            let stands = self.replay.create(&layout::entry(fork, number), &encode(&mine))?;
            if stands == encode(&mine) {
                return self.ended_as(composite, number, &mine);
            }
        }
    }

    fn claim_before_write(mut self, composite: CompositeIndex, fork: &Place, member: u32, record: Record) -> End {
        let claimed = self.claim(composite, fork, member, &record)?;
        let messages = match &claimed {
            Some((number, entry)) if entry.tally.verdict.is_some() && entry.last() == member => {
                let terms = self.message.joins.last().cloned().expect("a member has terms");
                vec![self.join_token(composite, fork, terms, Some(*number))]
            }
            _ => Vec::new(),
        };
        if !messages.is_empty() {
            self.replay.act(|| Effect::Post(messages))?;
        }
        let own = Record { recovered: None, chosen: None, fork: None, ..record };
        self.replay.create(&layout::member(fork, member), &own.encode())?;
        reply(Reply::Forwarded)
    }
}
