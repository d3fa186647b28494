//! The possible moves in a state, and their results.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;

use bytes::Bytes;
use faasflow_core::envelope::{Carried, Origin};
use faasflow_core::graph::Place;
use faasflow_core::machine::Caller;
use faasflow_core::machine::forked::{Answer, Effect, Ending, Flaw, Journal, Message, Reply, proceed_with};
use faasflow_core::state::Key;
use faasflow_core::{Failure, Flow, Payload};

use super::cost::Cost;
use super::interner::Interner;
use super::state::{Move, State, outcome_number};
use super::steps::Steps;

/// The values that the numbers in states represent, and everything that is computed from them.
pub(super) struct World<'a> {
    pub(super) flow: &'a Flow,
    pub(super) steps: Steps<'a>,
    pub(super) flaw: Flaw,
    pub(super) messages: Interner<Message>,
    pub(super) keys: Interner<Key>,
    pub(super) values: Interner<Bytes>,
    pub(super) outputs: Interner<Carried>,
    pub(super) locals: Vec<Arc<Local>>,
    /// For a delivery and an answer, the delivery after that answer.
    answered: HashMap<(u32, Answer), u32>,
    /// The sort key of each message.
    orders: Vec<u64>,
    pub(super) numbers: HashMap<(u32, Journal), u32>,
    pub(super) memo: HashMap<(u32, Vec<Option<u32>>), u32>,
    /// All messages with each place.
    places: HashMap<Place, Vec<u32>>,
    /// The number of effects so far, in all states.
    pub(super) cost: Cost,
    /// The number of keys that the deliveries of each message have read or written so far, in all states.
    pub(super) keys_of: HashMap<u32, usize>,
    /// Whether each post checks the number of items in flight.
    pub(super) counts_items: bool,
}

/// The progress of a delivery, and its next effect, which follows from that.
pub(super) struct Local {
    pub(super) message: u32,
    pub(super) journal: Journal,
    pub(super) effect: Effect,
    /// Its sort key, which follows from the message and the journal.
    order: u64,
    /// The output of its steps, and their failure, for later effects.
    pub(super) output: Option<Payload>,
    pub(super) failure: Option<Failure>,
}

/// The description of a guarantee that was violated.
pub(super) type Broken = String;

impl<'a> World<'a> {
    pub(super) fn new(flow: &'a Flow, steps: Steps<'a>, flaw: Flaw) -> World<'a> {
        World {
            flow,
            steps,
            flaw,
            messages: Interner::default(),
            keys: Interner::default(),
            values: Interner::default(),
            outputs: Interner::default(),
            locals: Vec::new(),
            answered: HashMap::new(),
            orders: Vec::new(),
            numbers: HashMap::new(),
            memo: HashMap::new(),
            places: HashMap::new(),
            cost: Cost::default(),
            keys_of: HashMap::new(),
            counts_items: true,
        }
    }

    /// The state before the first delivery of the request.
    pub(super) fn start(&mut self, input: &Payload, faults: usize) -> State {
        let message = Message::fresh(self.flow.plan().start(), input.clone(), Caller::Left);
        let first = self.message(&message);
        let faults_left = u8::try_from(faults).expect("fewer than 256 faults");
        State { queue: vec![first], posted: vec![first], faults_left, ..State::default() }
    }

    fn message(&mut self, message: &Message) -> u32 {
        let number = self.messages.number(message);
        if self.orders.len() == number as usize {
            self.orders.push(hash(&message.place.to_string()));
        }
        number
    }

    /// The possible moves, in an order that is the same in every run.
    pub(super) fn moves(&self, state: &State) -> Vec<Move> {
        let (mut running, mut queue) = (state.running.clone(), state.queue.clone());
        running.dedup();
        running.sort_by_key(|local| self.locals[*local as usize].order);
        queue.sort_by_key(|message| self.orders[*message as usize]);
        let mut moves: Vec<Move> = running.iter().map(|local| Move::Step(*local)).collect();
        moves.extend(queue.iter().map(|message| Move::Deliver(*message)));
        if state.faults_left > 0 {
            for &local in &running {
                match &self.locals[local as usize].effect {
                    Effect::Create(..) => moves.extend([Move::Die(local), Move::Unanswered(local), Move::Lost(local)]),
                    Effect::Read(_) | Effect::ReadAll(_) => {}
                    _ => moves.push(Move::Die(local)),
                }
            }
            moves.extend(queue.iter().map(|message| Move::DeliverTwice(*message)));
        }
        moves
    }

    /// The state after a move.
    pub(super) fn make(&mut self, state: &State, this: Move) -> Result<State, Broken> {
        let mut state = state.clone();
        self.change(&mut state, this)?;
        Ok(state)
    }

    /// Makes a move.
    pub(super) fn change(&mut self, state: &mut State, this: Move) -> Result<(), Broken> {
        if this.is_fault() {
            state.faults_left -= 1;
        }
        match this {
            Move::Deliver(message) => {
                state.dequeue(message);
                self.deliver(state, message)?;
            }
            Move::DeliverTwice(message) => self.deliver(state, message)?,
            Move::Step(local) => {
                state.stop(local);
                if let Some(answer) = self.perform(state, local)? {
                    self.go_on(state, local, answer)?;
                }
            }
            Move::Die(local) => {
                state.stop(local);
                state.enqueue(self.locals[local as usize].message);
            }
            Move::Unanswered(local) => {
                state.stop(local);
                self.perform(state, local)?;
                self.go_on(state, local, Answer::Unknown)?;
            }
            Move::Lost(local) => {
                state.stop(local);
                self.go_on(state, local, Answer::Unknown)?;
            }
        }
        Ok(())
    }

    /// Begins a delivery. Its initial reads are a single step, because the keys that they read only appear until the end of the
    /// request. Reading them one at a time would be the same as beginning earlier.
    fn deliver(&mut self, state: &mut State, message: u32) -> Result<(), Broken> {
        self.cost.deliveries += 1;
        let mut local = self.local(message, Journal::new(), None, None);
        while let Effect::Read(_) = self.locals[local as usize].effect {
            match self.perform(state, local)? {
                Some(answer) => local = self.next(local, answer),
                None => return Ok(()),
            }
        }
        self.settle(state, local)
    }

    fn go_on(&mut self, state: &mut State, local: u32, answer: Answer) -> Result<(), Broken> {
        let next = self.next(local, answer);
        self.settle(state, next)
    }

    /// The delivery after another answer.
    pub(super) fn next(&mut self, local: u32, answer: Answer) -> u32 {
        if let Some(next) = self.answered.get(&(local, answer.clone())) {
            return *next;
        }
        let Local { message, journal, output, failure, .. } = &*self.locals[local as usize].clone();
        let mut journal = journal.clone();
        journal.add_settled(answer.clone());
        let next = self.local(*message, journal, output.clone(), failure.clone());
        self.answered.insert((local, answer), next);
        next
    }

    pub(super) fn local(
        &mut self,
        message: u32,
        journal: Journal,
        output: Option<Payload>,
        failure: Option<Failure>,
    ) -> u32 {
        if let Some(number) = self.numbers.get(&(message, journal.clone())) {
            return *number;
        }
        let effect = proceed_with(self.flow, self.messages.value(message), &journal, self.flaw);
        let number = u32::try_from(self.locals.len()).expect("fewer deliveries than states");
        let order = hash(&(self.messages.value(message), &journal));
        self.locals.push(Arc::new(Local { message, journal: journal.clone(), effect, order, output, failure }));
        self.numbers.insert((message, journal), number);
        number
    }

    /// Performs an effect that other deliveries can observe. `None` if the delivery is over.
    pub(super) fn perform(&mut self, state: &mut State, local: u32) -> Result<Option<Answer>, Broken> {
        let this = self.locals[local as usize].clone();
        let message = this.message;
        Ok(Some(match &this.effect {
            Effect::Read(key) => {
                self.count(message, 1, 0);
                let key = self.keys.number(key);
                Answer::Found(state.value(key).map(|value| self.values.value(value).clone()))
            }
            Effect::ReadAll(keys) => {
                self.count(message, keys.len(), 0);
                let found = keys.iter().map(|key| {
                    let value = state.value(self.keys.number(key))?;
                    Some(self.values.value(value).clone())
                });
                Answer::FoundAll(found.collect())
            }
            Effect::Create(key, value) => {
                self.count(message, 0, 1);
                let (key, value) = (self.keys.number(key), self.values.number(value));
                state.write(key, value);
                let stands = state.value(key).expect("it was written");
                Answer::Stands(self.values.value(stands).clone())
            }
            Effect::Post(messages) => {
                for posted in messages {
                    self.post(state, message, posted)?;
                }
                Answer::Done
            }
            Effect::Report(outcome, ending) => {
                self.ended(state, *outcome, ending)?;
                Answer::Done
            }
            Effect::Finally(..) => {
                state.finalised += 1;
                Answer::Done
            }
            Effect::Forget => {
                let keys = &self.keys;
                state.store.retain(|(key, _)| keys.value(*key).outlives_request());
                Answer::Done
            }
            Effect::Reply(reply) => {
                match reply {
                    Reply::Ended(outcome, Some(ending)) => self.ended(state, *outcome, ending)?,
                    Reply::ComeAgain => state.enqueue(message),
                    Reply::Refused(unfit) => return Err(format!("a token is refused: {unfit:?}")),
                    _ => {}
                }
                return Ok(None);
            }
            other => unreachable!("{other:?} is done at once"),
        }))
    }

    /// Counts keys that a delivery of the message has read and written.
    pub(super) fn count(&mut self, message: u32, reads: usize, creates: usize) {
        self.cost.reads += reads;
        self.cost.creates += creates;
        *self.keys_of.entry(message).or_default() += reads + creates;
    }

    fn post(&mut self, state: &mut State, by: u32, message: &Message) -> Result<(), Broken> {
        self.cost.posts += 1;
        let number = self.message(message);
        let same = self.places.entry(message.place.clone()).or_default();
        if !same.contains(&number) {
            same.push(number);
        }
        // A delivery that continues after the end of the request may find its data removed, and begin again. The tokens that it
        // then posts are dropped, because the request is over.
        let over = state.store.iter().any(|(key, _)| self.keys.value(*key).outlives_request());
        if !over && same.iter().any(|other| *other != number && state.posted.binary_search(other).is_ok()) {
            return Err(format!("two different tokens are posted under the call id of {}", message.place));
        }
        if let Origin::Join { .. } = message.origin {
            match state.fired.iter().find(|(join, _)| *join == number) {
                None => {
                    state.fired.push((number, by));
                    state.fired.sort_unstable();
                }
                Some((_, first)) if *first != by && !over => {
                    let (first, by) = (&self.messages.value(*first).place, &self.messages.value(by).place);
                    return Err(format!("the join at {} is fired by {first} and by {by}", message.place));
                }
                Some(_) => {}
            }
        }
        // The queue drops duplicates. For a queue that does not, delivering twice is a separate fault.
        let Err(index) = state.posted.binary_search(&number) else { return Ok(()) };
        state.posted.insert(index, number);
        if !over {
            self.check_slots(state, message)?;
        }
        state.enqueue(number);
        Ok(())
    }

    /// The number of items of the same for-each in flight, and the maximum. They are those that were posted but have not ended.
    fn in_flight(&self, state: &State, message: &Message) -> Option<(usize, u32)> {
        let ((fork, _), terms) = message.place.fork().zip(message.joins.last())?;
        let begun = state.posted.iter().filter(|other| {
            let other = self.messages.value(**other);
            other.origin == Origin::Item && other.place.fork().is_some_and(|(of, _)| of == fork)
        });
        let prefix = format!("entry/{fork}/");
        let ended = state.store.iter().filter(|(key, _)| self.keys.value(*key).as_str().starts_with(&prefix));
        Some((begun.count().saturating_sub(ended.count()), terms.at_most))
    }

    fn check_slots(&self, state: &State, message: &Message) -> Result<(), Broken> {
        if !self.counts_items {
            return Ok(());
        }
        match self.in_flight(state, message).filter(|_| message.origin == Origin::Item) {
            Some((count, at_most)) if count > at_most as usize => {
                Err(format!("{count} items are in flight, and at most {at_most} may be"))
            }
            _ => Ok(()),
        }
    }

    fn ended(&mut self, state: &mut State, outcome: faasflow_core::Outcome, ending: &Ending) -> Result<(), Broken> {
        let output = match ending {
            Ending::Payload(output) => output.clone(),
            // Which branch failed first depends on the order.
            _ => Payload::empty().into(),
        };
        let end = (outcome_number(outcome), self.outputs.number(&output));
        match state.end {
            Some(other) if other != end => Err("the request ends in two different ways".to_owned()),
            _ => {
                state.end = Some(end);
                Ok(())
            }
        }
    }

    /// Checks the guarantees for a state without further moves.
    pub(super) fn check_end(&self, state: &State, faults: usize) -> Result<(), Broken> {
        if state.end.is_none() {
            return Err("there is nothing left to do, but the request has not ended".to_owned());
        }
        let used = faults - usize::from(state.faults_left);
        if usize::from(state.finalised) > 1 + used {
            return Err(format!("the finaliser has run {} times, with {used} fault(s)", state.finalised));
        }
        let left = state.store.iter().map(|(key, _)| self.keys.value(*key)).filter(|key| !key.outlives_request());
        match left.map(Key::as_str).collect::<Vec<_>>() {
            left if left.is_empty() => Ok(()),
            left => Err(format!("the request has ended, and these are still in the store: {}", left.join(", "))),
        }
    }
}

/// A hash that is the same in every run.
fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
