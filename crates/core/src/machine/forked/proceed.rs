//! Decides what to do for a token, from its arrival to the end of its phase.

use std::convert::Infallible;

use bytes::Bytes;

use crate::definition::Composite;
use crate::envelope::{Carried, List, Origin, Terms};
use crate::graph::{BodyIndex, CompositeIndex, Follow, Place, Plan, Segment};
use crate::machine::{Caller, OnOutage, Route, Unfit};
use crate::outcome::Outcome;
use crate::state::{Key, layout};

use super::control::Control;
use super::effect::{Answer, Effect, Ending, Input, Ran, Reply, Resolved};
use super::ended::Ended;
use super::flaw::Flaw;
use super::journal::{Journal, Replay, Step, answer};
use super::message::Message;
use super::record::{Over, Reason, Record, decode, encode};

/// Decides what to do next for a token, given what has happened in its delivery so far.
///
/// The decision depends only on the arguments. The driver performs the effect, adds the answer to the journal and calls this
/// function again, until the effect is a [`Reply`].
///
/// # Panics
///
/// If the journal contains an answer that does not match its effect.
#[must_use]
pub fn proceed<'a>(route: impl Into<Route<'a>>, message: &'a Message, journal: &'a Journal) -> Effect {
    proceed_with(route, message, journal, Flaw::None)
}

/// Decides like [`proceed`], with a deliberate mistake.
#[doc(hidden)]
#[must_use]
pub fn proceed_with<'a>(route: impl Into<Route<'a>>, message: &'a Message, journal: &'a Journal, flaw: Flaw) -> Effect {
    match Walk::new(route.into(), message, journal, flaw).arrive() {
        Err(effect) => effect,
        Ok(never) => match never {},
    }
}

/// The path of one token through one phase. At each `?`, the driver may have to perform an effect.
pub(super) struct Walk<'a> {
    pub(super) route: Route<'a>,
    /// The plan of the route.
    pub(super) plan: &'a Plan,
    pub(super) message: &'a Message,
    pub(super) replay: Replay<'a>,
    pub(super) flaw: Flaw,
}

/// The end of a walk, which is always an effect.
pub(super) type End = Step<Infallible>;

impl<'a> Walk<'a> {
    pub(super) fn new(route: Route<'a>, message: &'a Message, journal: &'a Journal, flaw: Flaw) -> Walk<'a> {
        Walk { route, plan: route.plan(), message, replay: Replay::new(journal), flaw }
    }

    fn arrive(mut self) -> End {
        let place = &self.message.place;
        let plan = self.plan;
        let Some(segment) = plan.segment(place).filter(|_| self.fits_joins()) else {
            return reply(Reply::Refused(no_place(place)));
        };
        let key = self.record_key(segment);
        let joins = place.forks().map(|fork| layout::decided(&fork));
        let of_phase = [layout::posted(place), key.clone()];
        let control = self.message.remembered.then(layout::control);
        // What a join begins with is read later, and is known then.
        let of_join: Vec<Key> = match &self.message.origin {
            Origin::Join { terms, entry: Some(number) } => {
                segment.joins().map(|composite| self.join_keys(composite, terms, *number).collect()).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        let of_join_count = of_join.len();
        let keys = std::iter::once(layout::over(place.generation())).chain(of_join);
        let keys = keys.chain(joins).chain(of_phase).chain(control).collect();
        let mut found = self.replay.read_all(keys)?.into_iter();
        if let Some(over) = found.next().flatten() {
            return self.late(segment, decode(&over));
        }
        let mut found = found.skip(of_join_count);
        let control = self.message.remembered.then(|| found.next_back().flatten()).flatten();
        let record = found.next_back().flatten();
        let posted = found.next_back().flatten();
        let Some(control) = Control::decode(control.as_ref()) else { return reply(Reply::ComeAgain) };
        if control.generation() > place.generation() {
            return self.leave(Reply::Late);
        }
        // A join around it may have been decided while the token was on its way.
        if found.any(|decided| decided.is_some()) {
            return self.drop_out();
        }
        // If each delivery of a token posted what follows, a queue that drops no duplicates would deliver more and more tokens.
        if posted.is_some() {
            return self.leave(Reply::Forwarded);
        }
        let record = match record {
            Some(found) => self.decode_record(segment, &found),
            None => {
                let control = self.pass_pause(control)?;
                let record = match self.reused(segment, &control)? {
                    Some(record) => record,
                    None => self.execute(segment)?,
                };
                let early = self.flaw == Flaw::ClaimBeforeWrite && matches!(segment.follow(), Follow::Arrive(_));
                if early {
                    return self.follow(segment, record);
                }
                let stands = self.replay.create(&key, &record.encode())?;
                self.decode_record(segment, &stands)
            }
        };
        match record {
            Some(record) => self.follow(segment, record),
            None => reply(Reply::ComeAgain),
        }
    }

    /// Ends the delivery if the request is paused, after a note that resuming the request has to post the token again. It is read
    /// afterwards whether the request is still paused, because the caller who has resumed it meanwhile may not have seen the note.
    fn pass_pause(&mut self, mut control: Control) -> Step<Control> {
        while control.paused {
            let pause = control.pauses();
            self.replay.create(&layout::held(&self.message.place, pause), &encode(&()))?;
            if self.flaw == Flaw::HoldWithoutLook {
                return Err(Effect::Reply(Reply::Paused));
            }
            let value = self.replay.read_again(layout::control())?;
            control = Control::decode(value.as_ref()).ok_or(Effect::Reply(Reply::ComeAgain))?;
            if control.paused && control.pauses() == pause {
                return Err(Effect::Reply(Reply::Paused));
            }
        }
        Ok(control)
    }

    /// Whether each element of the token's path is one of the members of its join.
    fn fits_joins(&self) -> bool {
        let (path, joins) = (self.message.place.path(), &self.message.joins);
        path.len() == joins.len() && path.iter().zip(joins).all(|(member, terms)| member.index < terms.members)
    }

    /// Decodes the record of a phase; `None` if the machine cannot have written it for this phase.
    pub(super) fn decode_record(&self, segment: &Segment, value: &Bytes) -> Option<Record> {
        let record = Record::decode(value)?;
        let fits = match (record.ended, record.recovered, segment.follow()) {
            (Ended::Done, Some(body), _) => body < self.plan.bodies().len(),
            (Ended::Done, None, Follow::Choose(composite)) => {
                record.chosen.is_some_and(|branch| branch < self.plan.composite(*composite).branches().len())
            }
            _ => true,
        };
        fits.then_some(record)
    }

    /// The key of the phase's record. The last phase of a member records the end of the member.
    pub(super) fn record_key(&self, segment: &Segment) -> Key {
        self.record_key_at(&self.message.place, segment)
    }

    fn record_key_at(&self, place: &Place, segment: &Segment) -> Key {
        match (segment.follow(), place.fork()) {
            (Follow::Arrive(_), Some((fork, index))) => layout::member(&fork, index),
            _ => layout::result(place),
        }
    }

    /// The record of the phase's success in an earlier generation of the request, if that is to be used.
    fn reused(&mut self, segment: &Segment, control: &Control) -> Step<Option<Record>> {
        let place = &self.message.place;
        let earlier: Vec<u32> = control.reused(place).filter(|earlier| *earlier < place.generation()).collect();
        if earlier.is_empty() || self.flaw == Flaw::ExecuteAgain {
            return Ok(None);
        }
        let key = |generation: &u32| self.record_key_at(&place.clone().in_generation(*generation), segment);
        let found = self.replay.read_all(earlier.iter().map(key).collect())?;
        for value in found.into_iter().flatten() {
            let Some(record) = self.decode_record(segment, &value) else {
                return Err(Effect::Reply(Reply::ComeAgain));
            };
            if record.ended != Ended::Done {
                continue;
            }
            return self.with_turn(segment, record).map(Some);
        }
        Ok(None)
    }

    /// Executes the phase, and the user code that belongs to its end.
    fn execute(&mut self, segment: &Segment) -> Step<Record> {
        if self.route.segment(&self.message.place).is_none() {
            return Err(Effect::Reply(Reply::Refused(Unfit::OtherDefinition)));
        }
        let input = self.input(segment)?;
        let (ran, times) =
            answer!(self.replay.perform(|| Effect::Execute(input))?, Answer::Ran(ran, times) => (ran, times.clone()));
        let record = match ran {
            Ran::Done(output) => self.succeeded(segment, output.clone())?,
            Ran::Failed(reason) => self.ask(segment.body(), reason.clone())?,
            Ran::Replied(output, reason) => Record { reason: reason.clone(), ..Record::replied(output.clone()) },
        };
        let record = Record { span: self.message.span.clone(), times, ..record };
        self.with_turn(segment, record)
    }

    /// Adds the entry that a member tries first, if the phase is its last.
    fn with_turn(&mut self, segment: &Segment, record: Record) -> Step<Record> {
        match self.follow_of(segment, &record) {
            Follow::Arrive(composite) => Ok(Record { turn: self.turn(composite)?, ..record }),
            _ => Ok(record),
        }
    }

    pub(super) fn input(&mut self, segment: &Segment) -> Step<Input> {
        let place = &self.message.place;
        Ok(match (&self.message.origin, place.fork()) {
            (Origin::Item, Some((fork, index))) => {
                match self.message.joins.last().and_then(|terms| terms.list.as_ref()) {
                    Some(list) => {
                        let fork = fork.in_generation(list.generation);
                        let chunk = layout::chunk(&fork, &list.sha256, index / list.per_chunk.max(1));
                        Input::Item { chunk, index: index % list.per_chunk.max(1) }
                    }
                    None => Input::Carried(self.message.payload.clone()),
                }
            }
            (Origin::Branches, Some((fork, _))) => {
                let (composite, branch) = self.plan.body(segment.body()).owner().expect("a branch belongs to a graph");
                let after = self.plan.composite(composite).branches()[branch].after();
                let key = |branch: usize| layout::member(&fork, u32::try_from(branch).unwrap_or(u32::MAX));
                Input::Branches(after.iter().map(|&branch| (branch, key(branch))).collect())
            }
            (Origin::Join { terms, entry }, _) => {
                let Some(composite) = segment.joins() else {
                    return Err(Effect::Reply(Reply::Refused(no_place(place))));
                };
                return self.join_input(composite, terms, *entry);
            }
            _ => Input::Carried(self.message.payload.clone()),
        })
    }

    /// Completes the record of steps that succeeded: with a choice, or with the terms of the members that begin.
    fn succeeded(&mut self, segment: &Segment, output: Carried) -> Step<Record> {
        match *segment.follow() {
            Follow::Choose(composite) => {
                let composite = self.deployed(composite)?;
                match answer!(self.replay.perform(|| Effect::Choose(composite))?, Answer::Chosen(chosen) => chosen) {
                    Ok(branch) => Ok(Record { chosen: Some(*branch), ..Record::done(output) }),
                    Err(reason) => self.ask(segment.body(), reason.clone()),
                }
            }
            Follow::Fork(composite) => match self.route.flow().composite(self.deployed(composite)?) {
                Composite::ForEach { at_most, complete, .. } => {
                    let (composite, fork) = (self.deployed(composite)?, self.message.place.clone());
                    let split = || Effect::Split { composite, fork };
                    match answer!(self.replay.perform(split)?, Answer::Split(split) => split) {
                        Ok((members, list)) => {
                            let generation = self.message.place.generation();
                            let (policy, list) = (complete.policy(*members), Some(List { generation, ..list.clone() }));
                            let terms = Terms {
                                members: *members,
                                policy,
                                at_most: *at_most,
                                list,
                                seen: 0,
                                due_ms: None,
                                label: None,
                            };
                            // The list contains the items.
                            let output = crate::Payload::empty().into();
                            Ok(Record { fork: Some(terms), ..Record::done(output) })
                        }
                        Err(reason) => self.ask(segment.body(), reason.clone()),
                    }
                }
                graph => {
                    let members = u32::try_from(self.plan.composite(composite).branches().len()).unwrap_or(u32::MAX);
                    let policy = graph.complete().policy(members);
                    let terms =
                        Terms { members, policy, at_most: members, list: None, seen: 0, due_ms: None, label: None };
                    Ok(Record { fork: Some(terms), ..Record::done(output) })
                }
            },
            _ => Ok(Record::done(output)),
        }
    }

    /// The same composite in the deployed definition. What is ahead has been compared.
    pub(super) fn deployed(&self, composite: CompositeIndex) -> Step<CompositeIndex> {
        self.route.composite(composite).ok_or(Effect::Reply(Reply::Refused(Unfit::OtherDefinition)))
    }

    /// Asks the failure handlers around a failure, from the innermost to that of the branch or of the flow.
    fn ask(&mut self, mut body: BodyIndex, reason: Reason) -> Step<Record> {
        loop {
            let deployed = self.route.body(body).filter(|deployed| self.route.flow().handler_of(*deployed).is_some());
            if let Some(deployed) = deployed {
                match answer!(self.replay.perform(|| Effect::Ask(deployed))?, Answer::Resolved(resolved) => resolved) {
                    Resolved::Recovered(output) => {
                        let recovered = Some(body.index());
                        return Ok(Record { recovered, reason: Some(reason), ..Record::done(output.clone()) });
                    }
                    Resolved::Replied(output) => {
                        return Ok(Record { reason: Some(reason), ..Record::replied(output.clone()) });
                    }
                    Resolved::Declined => {}
                }
            }
            match self.plan.body(body).owner() {
                Some((composite, _)) if !self.plan.composite(composite).kind().joins() => {
                    body = self.plan.parent(composite);
                }
                _ => return Ok(Record::failed(reason)),
            }
        }
    }

    /// What follows the phase, depending on how it ended.
    pub(super) fn follow_of(&self, segment: &Segment, record: &Record) -> Follow {
        match (record.ended, record.recovered, record.chosen, segment.follow()) {
            (Ended::Failed | Ended::Replied, ..) => self.way_out(segment),
            (Ended::Done, Some(body), ..) => self.plan.end_of(BodyIndex(body)).clone(),
            (Ended::Done, None, Some(branch), Follow::Choose(composite)) => self.plan.entry(*composite, branch).clone(),
            (Ended::Done, .., follow) => follow.clone(),
        }
    }

    /// What follows an unrecovered failure or a reply: the join of the branch, or the end of the request.
    fn way_out(&self, segment: &Segment) -> Follow {
        let mut body = segment.body();
        while let Some((composite, _)) = self.plan.body(body).owner() {
            if self.plan.composite(composite).kind().joins() {
                return Follow::Arrive(composite);
            }
            body = self.plan.parent(composite);
        }
        Follow::End
    }

    fn follow(mut self, segment: &Segment, record: Record) -> End {
        if let Some(composite) = segment.joins()
            && self.has_open_members(composite)?
        {
            // The members that are still in progress are not needed.
            let fork = self.fork_place(composite);
            self.replay.create(&layout::decided(&fork), &encode(&()))?;
        }
        match self.follow_of(segment, &record) {
            Follow::End => self.end(record),
            Follow::Next(next) => {
                let next = self.message.onward(self.message.place.sibling(&next), record.output);
                self.post(vec![next])
            }
            Follow::Fork(composite) => self.fork(composite, record),
            Follow::Arrive(composite) => self.member_ended(segment, composite, record),
            Follow::Choose(_) => unreachable!("a phase that chooses records the branch"),
        }
    }

    /// The place that began the graph or for-each that is joined here.
    pub(super) fn fork_place(&self, composite: CompositeIndex) -> Place {
        self.message.place.sibling(self.plan.fork(composite).place())
    }

    pub(super) fn post(mut self, messages: Vec<Message>) -> End {
        if !messages.is_empty() {
            self.replay.act(|| Effect::Post(messages))?;
            if self.notes_posts() {
                self.replay.create(&layout::posted(&self.message.place), &encode(&()))?;
            }
        }
        self.leave(Reply::Forwarded)
    }

    /// Whether it is written down that what follows the phase was posted.
    fn notes_posts(&self) -> bool {
        let is_start = self.message.place == self.plan.start();
        match self.message.remembered {
            // Other callers with the same id learn from it that the request goes on. Later, the single token of a linear flow is
            // posted twice if it is delivered twice, but is not multiplied.
            true => is_start || self.plan.needs_store(),
            // A caller waits for the answer of the first phase. If that is delivered again, the tokens that it posts end above.
            false => !is_start,
        }
    }

    /// Ends a delivery whose result is not needed.
    pub(super) fn drop_out(self) -> End {
        self.leave(Reply::Dropped)
    }

    /// Ends the delivery, and cleans up first. The tokens that it posted cannot be relied on to clean up later, because a queue
    /// may drop them as duplicates.
    fn leave(mut self, with: Reply) -> End {
        self.tidy()?;
        reply(with)
    }

    /// Leaves if the request has ended since this delivery began: its values may be gone.
    pub(super) fn leave_if_over(&mut self) -> Step<()> {
        match self.replay.read_again(layout::over(self.message.place.generation()))? {
            Some(_) => {
                self.tidy()?;
                Err(Effect::Reply(Reply::Late))
            }
            None => Ok(()),
        }
    }

    /// Removes what this delivery has written if the request finished in the meantime. If the request has ended but not
    /// finished, the token that ended it still needs the data and removes it later.
    fn tidy(&mut self) -> Step<()> {
        // What is remembered is removed as a whole later.
        if self.message.remembered {
            return Ok(());
        }
        if self.replay.read(layout::finished(self.message.place.generation()))?.is_some() {
            self.replay.act(|| Effect::Forget)?;
        }
        Ok(())
    }

    /// Handles a token that arrives when its request, or its generation of the request, has ended.
    fn late(mut self, segment: &Segment, over: Option<Over>) -> End {
        let Some(over) = over.filter(|over| over.by == self.message.place.to_string()) else {
            return self.leave(Reply::Late);
        };
        // A previous delivery of this token ended the request, and may have been interrupted.
        if self.replay.read(layout::finished(self.message.place.generation()))?.is_some() {
            return self.leave(Reply::Ended(over.outcome(), None));
        }
        let record = self.replay.read(self.record_key(segment))?;
        match record.and_then(|record| Record::decode(&record)) {
            Some(record) => self.conclude(over.outcome(), ending(record)),
            // Another delivery may have finished the request and removed the record in between.
            None if self.replay.read_again(layout::finished(self.message.place.generation()))?.is_some() => {
                self.leave(Reply::Ended(over.outcome(), None))
            }
            None => reply(Reply::ComeAgain),
        }
    }

    fn end(mut self, record: Record) -> End {
        let outcome = match record.ended {
            Ended::Done if record.recovered == Some(0) => Outcome::Recovered,
            Ended::Done => Outcome::Success,
            Ended::Failed | Ended::Replied => Outcome::Failure,
        };
        let by = self.message.place.to_string();
        let record_key = self.message.remembered.then(|| self.plan.segment(&self.message.place)).flatten();
        let record_key = record_key.map(|segment| self.record_key(segment).as_str().to_owned());
        let at_ms = if self.message.remembered { record.times.done_ms } else { 0 };
        let over = Over { by: by.clone(), outcome: outcome.as_str().to_owned(), at_ms, record: record_key };
        let stands = self.replay.create(&layout::over(self.message.place.generation()), &encode(&over))?;
        match decode::<Over>(&stands) {
            Some(over) if over.by == by => self.conclude(over.outcome(), ending(record)),
            _ => self.leave(Reply::Late),
        }
    }

    /// Reports the end of the request, runs the finaliser and removes the request's data.
    pub(super) fn conclude(mut self, outcome: Outcome, ending: Ending) -> End {
        let on_outage = match self.message.caller {
            Caller::Waits => OnOutage::GoOn,
            Caller::Left => OnOutage::ComeAgain,
        };
        self.replay.act(|| Effect::Report(outcome, ending.clone()))?;
        self.replay.act(|| Effect::Finally(outcome, on_outage))?;
        // From here on, this token needs no data of the request, so late deliveries may remove what is left.
        self.replay.create(&layout::finished(self.message.place.generation()), &encode(&()))?;
        self.replay.act(|| if self.message.remembered { Effect::Retire(outcome) } else { Effect::Forget })?;
        reply(Reply::Ended(outcome, Some(ending)))
    }
}

/// The ending of a request whose last phase has this record.
fn ending(record: Record) -> Ending {
    match (record.ended, record.reason) {
        (Ended::Failed, Some(reason)) => Ending::Failed(reason),
        _ => Ending::Payload(record.output),
    }
}

pub(super) fn reply(reply: Reply) -> End {
    Err(Effect::Reply(reply))
}

pub(super) fn no_place(place: &Place) -> Unfit {
    Unfit::NoSuchPlace(place.clone())
}
