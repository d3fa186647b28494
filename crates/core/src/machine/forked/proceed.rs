//! What to do for a token, from its arrival to the end of its phase.

use std::convert::Infallible;

use crate::definition::{Composite, Flow};
use crate::envelope::{Carried, Origin, Terms};
use crate::graph::{BodyIndex, CompositeIndex, Follow, Place, Plan, Segment};
use crate::machine::{Caller, OnOutage, Unfit};
use crate::outcome::Outcome;
use crate::state::{Key, layout};

use super::effect::{Answer, Effect, Ending, Input, Ran, Reply, Resolved};
use super::ended::Ended;
use super::flaw::Flaw;
use super::journal::{Journal, Replay, Step, answer};
use super::message::Message;
use super::record::{Over, Reason, Record, decode, encode};

/// Decides what to do next for a token, now that this has happened in its delivery.
///
/// It depends on nothing but its arguments. The driver does what it returns, adds the answer to the journal and asks again,
/// until the effect is a [`Reply`].
///
/// # Panics
///
/// If the journal holds an answer that does not belong to the effect which was returned.
#[must_use]
pub fn proceed(flow: &Flow, message: &Message, journal: &Journal) -> Effect {
    proceed_with(flow, message, journal, Flaw::None)
}

/// The same, with a mistake made on purpose.
#[doc(hidden)]
#[must_use]
pub fn proceed_with(flow: &Flow, message: &Message, journal: &Journal, flaw: Flaw) -> Effect {
    let walk = Walk { flow, plan: flow.plan(), message, replay: Replay::new(journal), flaw };
    match walk.arrive() {
        Err(effect) => effect,
        Ok(never) => match never {},
    }
}

/// The way of one token through one phase. Each `?` is a point at which the driver does something.
pub(super) struct Walk<'a> {
    pub(super) flow: &'a Flow,
    pub(super) plan: &'a Plan,
    pub(super) message: &'a Message,
    pub(super) replay: Replay<'a>,
    pub(super) flaw: Flaw,
}

/// How a walk ends: with an effect.
pub(super) type End = Step<Infallible>;

impl<'a> Walk<'a> {
    fn arrive(mut self) -> End {
        let place = &self.message.place;
        let plan = self.plan;
        let Some(segment) = plan.segment(place) else {
            return reply(Reply::Refused(Unfit::NoSuchPlace(place.clone())));
        };
        if let Some(over) = self.replay.read(layout::over(place.generation()))? {
            return self.late(segment, decode(&over));
        }
        // A join around it may have been decided while the token was on its way.
        for fork in place.forks() {
            if self.replay.read(layout::decided(&fork))?.is_some() {
                return self.drop_out();
            }
        }
        let key = self.record_key(segment);
        let record = match self.replay.read(key.clone())? {
            Some(found) => Record::decode(&found),
            None => {
                let record = self.execute(segment)?;
                let early = self.flaw == Flaw::ClaimBeforeWrite && matches!(segment.follow(), Follow::Arrive(_));
                if early {
                    return self.follow(segment, record);
                }
                Record::decode(&self.replay.create(key, &record.encode())?)
            }
        };
        match record {
            Some(record) => self.follow(segment, record),
            None => reply(Reply::ComeAgain),
        }
    }

    /// Where the end of the phase is recorded. The last phase of a member records the end of the member.
    fn record_key(&self, segment: &Segment) -> Key {
        let place = &self.message.place;
        match (segment.follow(), place.fork()) {
            (Follow::Arrive(_), Some((fork, index))) => layout::member(&fork, index),
            _ => layout::result(place),
        }
    }

    /// Executes the phase, and whatever user code belongs to its end.
    fn execute(&mut self, segment: &Segment) -> Step<Record> {
        let input = self.input(segment)?;
        let record = match answer!(self.replay.perform(|| Effect::Execute(input))?, Answer::Ran(ran) => ran) {
            Ran::Done(output) => self.succeeded(segment, output.clone())?,
            Ran::Failed(reason) => self.ask(segment.body(), reason.clone())?,
            Ran::Replied(output) => Record::replied(output.clone()),
        };
        match self.follow_of(segment, &record) {
            Follow::Arrive(composite) => Ok(Record { turn: self.turn(composite)?, ..record }),
            _ => Ok(record),
        }
    }

    fn input(&mut self, segment: &Segment) -> Step<Input> {
        let place = &self.message.place;
        Ok(match (&self.message.origin, place.fork()) {
            (Origin::Item, Some((fork, index))) => {
                match self.message.joins.last().and_then(|terms| terms.list.as_ref()) {
                    Some(list) => {
                        let chunk = layout::chunk(&fork, &list.sha256, index / list.per_chunk.max(1));
                        Input::Item { chunk, index: index % list.per_chunk.max(1) }
                    }
                    None => Input::Carried(self.message.payload.clone()),
                }
            }
            (Origin::Branches, Some((fork, index))) => {
                let (composite, _) = self.plan.body(segment.body()).owner().expect("a branch belongs to a graph");
                let after = self.plan.composite(composite).branches()[index as usize].after();
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

    /// What follows the success of the steps at once: a choice, or the terms of the members that begin.
    fn succeeded(&mut self, segment: &Segment, output: Carried) -> Step<Record> {
        match *segment.follow() {
            Follow::Choose(composite) => {
                match answer!(self.replay.perform(|| Effect::Choose(composite))?, Answer::Chosen(chosen) => chosen) {
                    Ok(branch) => Ok(Record { chosen: Some(*branch), ..Record::done(output) }),
                    Err(reason) => self.ask(segment.body(), reason.clone()),
                }
            }
            Follow::Fork(composite) => match self.flow.composite(composite) {
                Composite::ForEach { at_most, complete, .. } => {
                    let fork = self.message.place.clone();
                    let split = || Effect::Split { composite, fork };
                    match answer!(self.replay.perform(split)?, Answer::Split(split) => split) {
                        Ok((members, list)) => {
                            let (policy, list) = (complete.policy(*members), Some(list.clone()));
                            let terms =
                                Terms { members: *members, policy, at_most: *at_most, list, seen: 0, due_ms: None };
                            // The list has it.
                            let output = crate::Payload::empty().into();
                            Ok(Record { fork: Some(terms), ..Record::done(output) })
                        }
                        Err(reason) => self.ask(segment.body(), reason.clone()),
                    }
                }
                graph => {
                    let members = u32::try_from(self.plan.composite(composite).branches().len()).unwrap_or(u32::MAX);
                    let policy = graph.complete().policy(members);
                    let terms = Terms { members, policy, at_most: members, list: None, seen: 0, due_ms: None };
                    Ok(Record { fork: Some(terms), ..Record::done(output) })
                }
            },
            _ => Ok(Record::done(output)),
        }
    }

    /// Asks the failure handlers around a failure, from the nearest to that of the branch, or of the flow.
    fn ask(&mut self, mut body: BodyIndex, reason: Reason) -> Step<Record> {
        loop {
            if self.flow.handler_of(body).is_some() {
                match answer!(self.replay.perform(|| Effect::Ask(body))?, Answer::Resolved(resolved) => resolved) {
                    Resolved::Recovered(output) => {
                        let recovered = Some(body.index());
                        return Ok(Record { recovered, reason: Some(reason), ..Record::done(output.clone()) });
                    }
                    Resolved::Replied(output) => return Ok(Record::replied(output.clone())),
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

    /// What follows the phase, given how it ended.
    fn follow_of(&self, segment: &Segment, record: &Record) -> Follow {
        match (record.ended, record.recovered, record.chosen, segment.follow()) {
            (Ended::Failed | Ended::Replied, ..) => self.way_out(segment),
            (Ended::Done, Some(body), ..) => self.plan.end_of(BodyIndex(body)).clone(),
            (Ended::Done, None, Some(branch), Follow::Choose(composite)) => self.plan.entry(*composite, branch).clone(),
            (Ended::Done, .., follow) => follow.clone(),
        }
    }

    /// What a failure that nobody has recovered leads to: the join of the branch, or the end of the request.
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
        if let Some(composite) = segment.joins() {
            // What is still under way inside need not go on.
            let fork = self.fork_place(composite);
            self.replay.create(layout::decided(&fork), &encode(&()))?;
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

    /// The place that began the graph or for-each whose members come together here.
    pub(super) fn fork_place(&self, composite: CompositeIndex) -> Place {
        self.message.place.sibling(self.plan.fork(composite).place())
    }

    pub(super) fn post(mut self, messages: Vec<Message>) -> End {
        if !messages.is_empty() {
            self.replay.act(|| Effect::Post(messages))?;
        }
        self.leave(Reply::Forwarded)
    }

    /// The result is not needed.
    pub(super) fn drop_out(self) -> End {
        self.leave(Reply::Dropped)
    }

    /// Ends the delivery. What it has posted need not arrive late and find the request over: a queue may know it already, and
    /// drop it.
    fn leave(mut self, with: Reply) -> End {
        self.tidy()?;
        reply(with)
    }

    /// If the request has finished while this delivery was under way, removes again what it has written. If it only ends now,
    /// the token that ends it still needs what is there, and removes it afterwards.
    fn tidy(&mut self) -> Step<()> {
        if self.replay.read(layout::finished(self.message.place.generation()))?.is_some() {
            self.replay.act(|| Effect::Forget)?;
        }
        Ok(())
    }

    /// The request has ended, or this generation of it.
    fn late(mut self, segment: &Segment, over: Option<Over>) -> End {
        let Some(over) = over.filter(|over| over.by == self.message.place.to_string()) else {
            return self.leave(Reply::Late);
        };
        // This very token has ended it, and may have been interrupted.
        if self.replay.read(layout::finished(self.message.place.generation()))?.is_some() {
            return self.leave(Reply::Ended(over.outcome(), None));
        }
        let record = self.replay.read(self.record_key(segment))?;
        match record.and_then(|record| Record::decode(&record)) {
            Some(record) => self.conclude(over.outcome(), ending(record)),
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
        let over = Over { by: by.clone(), outcome: outcome.as_str().to_owned() };
        let stands = self.replay.create(layout::over(self.message.place.generation()), &encode(&over))?;
        match decode::<Over>(&stands) {
            Some(over) if over.by == by => self.conclude(over.outcome(), ending(record)),
            _ => self.leave(Reply::Late),
        }
    }

    /// Does what a request is owed at its end.
    fn conclude(mut self, outcome: Outcome, ending: Ending) -> End {
        let on_outage = match self.message.caller {
            Caller::Waits => OnOutage::GoOn,
            Caller::Left => OnOutage::ComeAgain,
        };
        self.replay.act(|| Effect::Report(outcome, ending.clone()))?;
        self.replay.act(|| Effect::Finally(outcome, on_outage))?;
        // From here on, a delivery that comes late removes what is left. This token needs nothing of it.
        self.replay.create(layout::finished(self.message.place.generation()), &encode(&()))?;
        self.replay.act(|| Effect::Forget)?;
        reply(Reply::Ended(outcome, Some(ending)))
    }
}

/// What a request ends with whose last phase ended like this.
fn ending(record: Record) -> Ending {
    match (record.ended, record.reason) {
        (Ended::Failed, Some(reason)) => Ending::Failed(reason),
        _ => Ending::Payload(record.output),
    }
}

pub(super) fn reply(reply: Reply) -> End {
    Err(Effect::Reply(reply))
}

fn no_place(place: &Place) -> Unfit {
    Unfit::NoSuchPlace(place.clone())
}
