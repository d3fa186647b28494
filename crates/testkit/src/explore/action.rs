//! What people and recovery do with a request from outside.

use std::collections::HashMap;

use bytes::Bytes;
use faasflow_core::Outcome;
use faasflow_core::graph::Follow;
use faasflow_core::machine::forked::{
    Answer, Control, Effect, Ended, Flaw, Journal, MemberRecord, Message, Progress, Reason, Redrive, Reply, Survey,
    Unposted, end_of, over_key, result_key, stop, survey,
};
use faasflow_core::state::Key;

use super::act::{Act, Action, Why};
use super::state::{Current, State};
use super::world::{Broken, World};

impl World<'_> {
    pub(super) fn control(&self, state: &State) -> Control {
        let value = self.find(state, &Control::key());
        Control::decode(value.as_ref()).expect("the machine has written it")
    }

    /// The first token of the request in its current generation.
    fn first(&self, state: &State) -> Message {
        let first = self.first.clone().expect("the request has begun");
        let place = first.place.clone().in_generation(self.control(state).generation());
        Message { place, ..first }
    }

    /// How the current generation of the request has ended.
    fn end_of_current(&self, state: &State) -> Option<Outcome> {
        let over = self.find(state, &over_key(self.control(state).generation()))?;
        end_of(&over).map(|(outcome, _)| outcome)
    }

    pub(super) fn exists(&self, state: &State, key: &Key) -> bool {
        self.find(state, key).is_some()
    }

    fn is_finished(&self, state: &State, generation: u32) -> bool {
        let key = format!("finished@{generation}");
        state.store.iter().any(|(other, _)| self.keys.value(*other).as_str() == key)
    }

    /// Whether someone resumes the request some time later.
    pub(super) fn is_to_be_resumed(&self, state: &State) -> bool {
        self.control(state).paused
            && self.end_of_current(state).is_none()
            && !state.acting.iter().any(|act| self.acts.value(*act).resumes())
    }

    /// Whether an action is possible now.
    pub(super) fn is_possible(&self, state: &State, action: Action) -> bool {
        let left = state.actions_left[action.number()] > 0;
        left && match action {
            Action::Pause => self.end_of_current(state).is_none() && !self.control(state).paused,
            Action::Stop => self.end_of_current(state).is_none(),
            Action::Recover => true,
            Action::Redrive => matches!(self.finished(state), Some(Outcome::Failure | Outcome::Stopped)),
            Action::RedriveFromSecond => self.finished(state).is_some(),
        }
    }

    /// The outcome of the current generation, if its end is complete.
    fn finished(&self, state: &State) -> Option<Outcome> {
        self.end_of_current(state).filter(|_| self.is_finished(state, self.control(state).generation()))
    }

    /// Begins an action.
    pub(super) fn begin(&mut self, state: &mut State, action: Action) {
        state.actions_left[action.number()] -= 1;
        match action {
            Action::Pause => {
                let control = self.control(state).pausing();
                self.decide(state, &control);
            }
            Action::Stop => self.begin_stop(state),
            Action::Recover => self.begin_recovery(state),
            Action::Redrive => self.begin_redrive(state, Redrive::Failed),
            Action::RedriveFromSecond => self.begin_redrive(state, Redrive::Phase(2)),
        }
    }

    fn begin_redrive(&mut self, state: &mut State, from: Redrive) {
        let control = self.control(state).redriven(from, 0);
        self.decide(state, &control);
        let first = self.first(state);
        self.post_tokens(state, vec![first], false);
    }

    fn begin_stop(&mut self, state: &mut State) {
        let first = self.first(state);
        self.start_act(state, &Act::Stop { first, journal: Journal::new() });
    }

    pub(super) fn begin_resuming(&mut self, state: &mut State) {
        match self.flaw {
            Flaw::PostBeforeResume => self.begin_survey(state, Why::Resume),
            _ => self.start_act(state, &Act::Resume),
        }
    }

    pub(super) fn begin_recovery(&mut self, state: &mut State) {
        state.needs_recovery = false;
        self.begin_survey(state, Why::Recover);
    }

    fn begin_survey(&mut self, state: &mut State, why: Why) {
        let first = self.first(state);
        self.start_act(state, &Act::Survey { why, first, found: Vec::new() });
    }

    fn start_act(&mut self, state: &mut State, act: &Act) {
        let number = self.acts.number(act);
        if state.interruptions_left.is_some() {
            state.current = Current::Action(number);
        }
        let index = state.acting.partition_point(|other| *other < number);
        state.acting.insert(index, number);
    }

    /// Performs the next step of an action.
    pub(super) fn act(&mut self, state: &mut State, number: u32) -> Result<(), Broken> {
        state.end_act(number);
        match self.acts.value(number).clone() {
            Act::Resume => {
                let control = self.control(state).resumed(Unposted::Held, 0);
                self.decide(state, &control);
                state.needs_recovery |= std::mem::take(&mut state.passed_over);
                if self.flaw != Flaw::PostBeforeResume {
                    self.begin_survey(state, Why::Resume);
                }
            }
            Act::Survey { why, first, found } => self.look(state, why, first, found),
            Act::Retire(generation) => state.retire(generation),
            Act::Post { mut tokens, then_resume } => {
                let token = tokens.remove(0);
                self.post_again(state, &token)?;
                self.post_tokens(state, tokens, then_resume);
            }
            Act::Stop { first, journal } => self.stop(state, first, journal)?,
        }
        Ok(())
    }

    fn decide(&mut self, state: &mut State, control: &Control) {
        let (key, value) = (self.keys.number(&Control::key()), self.values.number(&control.encode()));
        state.replace(key, value);
    }

    fn look(&mut self, state: &mut State, why: Why, first: Message, mut found: Vec<(Key, Option<Bytes>)>) {
        let flow = self.flow;
        let survey = |found: &[(Key, Option<Bytes>)]| survey(flow, &first, &HashMap::from_iter(found.iter().cloned()));
        let Survey::Needs(keys) = survey(&found) else { unreachable!("more keys are needed") };
        for key in keys {
            let value = self.find(state, &key);
            found.push((key, value));
        }
        match survey(&found) {
            Survey::Needs(_) => self.start_act(state, &Act::Survey { why, first, found }),
            Survey::Unreadable(key) => unreachable!("the machine has written `{key}`"),
            Survey::Progress(progress) => self.found_out(state, why, first, *progress),
        }
    }

    fn found_out(&mut self, state: &mut State, why: Why, first: Message, progress: Progress) {
        if why == Why::Recover {
            match &progress.end {
                Some(end) if end.is_finished => {
                    return self.start_act(state, &Act::Retire(first.place.generation()));
                }
                Some(end) if end.outcome == Outcome::Stopped => {
                    return self.start_act(state, &Act::Stop { first, journal: Journal::new() });
                }
                None if progress.control.paused => {
                    match self.control(state).paused {
                        true => state.passed_over = true,
                        false => state.needs_recovery = true,
                    }
                    return;
                }
                _ => {}
            }
        }
        let then_resume = why == Why::Resume && self.flaw == Flaw::PostBeforeResume;
        let tokens = match (why, progress.control.unposted) {
            (Why::Resume, None | Some(Unposted::Held)) => progress.held,
            _ => progress.open,
        };
        self.post_tokens(state, tokens, then_resume);
    }

    fn post_tokens(&mut self, state: &mut State, tokens: Vec<Message>, then_resume: bool) {
        match (tokens.is_empty(), then_resume) {
            (false, _) => self.start_act(state, &Act::Post { tokens, then_resume }),
            (true, true) => self.start_act(state, &Act::Resume),
            (true, false) => {}
        }
    }

    fn stop(&mut self, state: &mut State, first: Message, mut journal: Journal) -> Result<(), Broken> {
        let reason = Reason { step: 0, name: "the request".into(), text: "it was stopped".into(), code: "".into() };
        let generation = first.place.generation();
        let answer = match stop(self.flow, &first, 0, &reason, &journal) {
            Effect::Create(_, value) if self.flaw == Flaw::StopWithoutClaim && journal.is_empty() => {
                Answer::Stands(value)
            }
            Effect::Create(key, value) => {
                let (key, value) = (self.keys.number(&key), self.values.number(&value));
                state.write(key, value);
                let stands = state.value(key).expect("it was written");
                Answer::Stands(self.values.value(stands).clone())
            }
            Effect::Read(key) => Answer::Found(self.find(state, &key)),
            Effect::Report(outcome, ending) => {
                self.ended(state, generation, outcome, &ending)?;
                Answer::Done
            }
            Effect::Finally(..) => {
                state.finalised += 1;
                Answer::Done
            }
            Effect::Retire(_) => {
                state.retire(generation);
                Answer::Done
            }
            Effect::Reply(Reply::Ended(..) | Reply::Late) => return Ok(()),
            other => return Err(format!("stopping has the effect {other:?}")),
        };
        journal.add(answer);
        self.start_act(state, &Act::Stop { first, journal });
        Ok(())
    }

    /// Whether a delivery of the message may execute its phase if it begins now.
    pub(super) fn may_execute(&self, state: &State, message: &Message) -> Result<(), Broken> {
        let (place, generation) = (&message.place, message.place.generation());
        if !message.remembered {
            return Ok(());
        }
        if let Some(over) = self.find(state, &over_key(generation)) {
            let outcome = end_of(&over).map_or(Outcome::Failure, |(outcome, _)| outcome);
            return Err(format!("the phase at {place} is executed, but the request has ended, {outcome}"));
        }
        if self.control(state).paused {
            return Err(format!("the phase at {place} is executed, but the request is paused"));
        }
        let control = self.control(state);
        let recorded = control.reused(place).chain([generation]).find(|earlier| {
            let place = place.clone().in_generation(*earlier);
            let member = place.fork().map(|(fork, index)| format!("member/{fork}/{index}"));
            state.store.iter().any(|(key, value)| {
                let key = self.keys.value(*key).as_str();
                let is_last = || {
                    self.flow
                        .plan()
                        .segment(&place)
                        .is_some_and(|segment| matches!(segment.follow(), Follow::Arrive(_)))
                };
                let its_own = key == result_key(&place).as_str() || (Some(key) == member.as_deref() && is_last());
                its_own
                    && MemberRecord::decode(self.values.value(*value)).is_some_and(|record| record.ended == Ended::Done)
            })
        });
        match recorded {
            Some(earlier) => Err(format!("the phase at {place} is executed again, but generation {earlier} succeeded")),
            None => Ok(()),
        }
    }
}
