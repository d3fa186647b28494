//! The possible moves in a state, and their results.

use std::sync::Arc;

use bytes::Bytes;
use faasflow_core::envelope::Carried;
use faasflow_core::graph::Place;
use faasflow_core::machine::Caller;
use faasflow_core::machine::forked::{Answer, Effect, Entrant, Flaw, Journal, Message, Reply, proceed_with};
use faasflow_core::state::Key;
use faasflow_core::{Failure, Flow, Payload};

use super::act::{ACTIONS, Act, Action, Actions};
use super::cost::Cost;
use super::hashing::{QuickMap, hash};
use super::interner::Interner;
use super::setup::Setup;
use super::state::{Current, Move, State};
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
    answered: QuickMap<(u32, Answer), u32>,
    /// The sort key of each message.
    orders: Vec<u64>,
    pub(super) numbers: QuickMap<(u32, Journal), u32>,
    /// The key and the value of the entry that a delivery tries, alone or together with another one.
    tried: QuickMap<(u32, Option<u32>), (u32, u32)>,
    pub(super) memo: QuickMap<(u32, Vec<Option<u32>>), u32>,
    /// All messages with each place.
    pub(super) places: QuickMap<Place, Vec<u32>>,
    /// The number of effects so far, in all states.
    pub(super) cost: Cost,
    /// The number of keys that the deliveries of each message have read or written so far, in all states.
    pub(super) keys_of: QuickMap<u32, usize>,
    /// Whether each post checks the number of items in flight.
    pub(super) counts_items: bool,
    /// Whether the request is remembered.
    pub(super) remembered: bool,
    /// Whether the queue may lose messages.
    pub(super) loses: bool,
    /// How often something in progress may be interrupted, if that is limited.
    pub(super) interruptions: Option<u8>,
    /// Whether equivalent orders are left out.
    pub(super) reduced: bool,
    /// Whether there is at most one fault.
    pub(super) one_fault: bool,
    pub(super) acts: Interner<Act>,
    /// The first token of the request.
    pub(super) first: Option<Message>,
    /// The number of executions so far, in all states.
    pub(super) executions: usize,
}

/// What a driver knows of the entries of a join without asking the store.
pub(super) enum Knowledge {
    /// All that exist.
    All,
    /// That the join was forked. It takes it that there are none yet, which may be wrong.
    Fork,
    Nothing,
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
    pub(super) fn new(setup: &'a Setup) -> World<'a> {
        let Setup { flow, fakes, flaw, remembered, actions, .. } = setup;
        let (flaw, remembered) = (*flaw, *remembered);
        let steps = Steps { flow, fakes, generation: 0 };
        World {
            flow,
            steps,
            flaw,
            messages: Interner::default(),
            keys: Interner::default(),
            values: Interner::default(),
            outputs: Interner::default(),
            locals: Vec::new(),
            answered: QuickMap::default(),
            orders: Vec::new(),
            numbers: QuickMap::default(),
            tried: QuickMap::default(),
            memo: QuickMap::default(),
            places: QuickMap::default(),
            cost: Cost::default(),
            keys_of: QuickMap::default(),
            counts_items: true,
            remembered,
            loses: actions[Action::Recover.number()] > 0,
            interruptions: setup.interruptions,
            reduced: setup.reduced,
            one_fault: setup.faults <= 1,
            acts: Interner::default(),
            first: None,
            executions: 0,
        }
    }

    /// The state before the first delivery of the request.
    pub(super) fn start(&mut self, input: &Payload, faults: usize, actions_left: Actions) -> State {
        let message = Message::fresh(self.flow.plan().start(), input.clone(), Caller::Left);
        let message = Message { remembered: self.remembered, ..message };
        let first = self.message(&message);
        self.first = Some(message);
        let interruptions_left = self.interruptions;
        let faults_left = u8::try_from(faults).expect("fewer than 256 faults");
        State {
            queue: vec![first],
            posted: vec![first],
            faults_left,
            actions_left,
            interruptions_left,
            ..State::default()
        }
    }

    pub(super) fn message(&mut self, message: &Message) -> u32 {
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
        if let Some(alone) = self.independent(state, &running) {
            return alone;
        }
        queue.sort_by_key(|message| self.orders[*message as usize]);
        let mut moves: Vec<Move> = running.iter().map(|local| Move::Step(*local)).collect();
        for (&first, &second) in running.iter().flat_map(|first| running.iter().map(move |second| (first, second))) {
            if first != second && self.enter_together(first, second) {
                moves.push(Move::Together(first, second));
            }
        }
        moves.extend(queue.iter().map(|message| Move::Deliver(*message)));
        if self.remembered {
            self.actions(state, &mut moves);
        }
        if state.faults_left > 0 {
            running.iter().for_each(|local| moves.extend(self.faults_of(*local)));
            moves.extend(queue.iter().map(|message| Move::DeliverTwice(*message)));
            if self.loses {
                moves.extend(queue.iter().map(|message| Move::Lose(*message)));
            }
        }
        if state.interruptions_left == Some(0) && state.current != Current::Nothing {
            moves.retain(|this| state.goes_on(*this));
        }
        moves
    }

    /// What can go wrong with the next effect of a delivery.
    pub(super) fn faults_of(&self, local: u32) -> Vec<Move> {
        match &self.locals[local as usize].effect {
            Effect::Create(..) | Effect::Enter(_) => vec![Move::Die(local), Move::Unanswered(local), Move::Lost(local)],
            Effect::Read(_) | Effect::ReadAll(_) => Vec::new(),
            _ => vec![Move::Die(local)],
        }
    }

    /// What can be done with the request from outside.
    fn actions(&self, state: &State, moves: &mut Vec<Move>) {
        let mut acting = state.acting.clone();
        acting.dedup();
        acting.sort_by_cached_key(|act| hash(self.acts.value(*act)));
        moves.extend(acting.iter().map(|act| Move::Act(*act)));
        if self.is_to_be_resumed(state) {
            moves.push(Move::Resume);
        }
        if state.needs_recovery {
            moves.push(Move::Recover);
        }
        moves.extend(ACTIONS.into_iter().filter(|action| self.is_possible(state, *action)).map(Move::Begin));
        if state.faults_left > 0 {
            moves.extend(acting.into_iter().map(Move::ActDies));
        }
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
        let goes_on = state.current == Current::Nothing || state.goes_on(this);
        if let Some(left) = state.interruptions_left.as_mut().filter(|_| !goes_on) {
            *left -= 1;
        }
        state.current = Current::Nothing;
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
            Move::Together(first, second) => {
                state.stop(first);
                let answer = self.enter(state, first, Some(second));
                self.go_on(state, first, answer)?;
                // The other one finds the entry that the first has created.
                if let Ok(index) = state.running.binary_search(&second) {
                    state.running.remove(index);
                    let answer = self.enter(state, second, None);
                    self.go_on(state, second, answer)?;
                }
            }
            Move::Lose(message) => {
                state.dequeue(message);
                state.needs_recovery = true;
            }
            Move::Begin(action) => self.begin(state, action),
            Move::Resume => self.begin_resuming(state),
            Move::Recover => self.begin_recovery(state),
            Move::Act(act) => self.act(state, act)?,
            Move::ActDies(act) => {
                // What it has left undone is recovered.
                state.end_act(act);
                state.needs_recovery = true;
            }
            Move::Die(local) => {
                state.stop(local);
                state.enqueue(self.locals[local as usize].message);
                state.needs_recovery |= matches!(self.locals[local as usize].effect, Effect::Retire(_));
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
        let (before, executions) = (state.clone(), self.executions);
        self.begin_delivery(state, message)?;
        if self.executions > executions {
            return self.may_execute(&before, self.messages.value(message));
        }
        Ok(())
    }

    fn begin_delivery(&mut self, state: &mut State, message: u32) -> Result<(), Broken> {
        let mut local = self.local(message, Journal::new(), None, None);
        while let Effect::Read(_) | Effect::ReadAll(_) = self.locals[local as usize].effect {
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
            Effect::CountEntries(fork) => {
                let count = u32::try_from(self.entries(state, fork).count()).expect("a join has few entries");
                Answer::Entries(Some(count))
            }
            Effect::Enter(_) => self.enter(state, local, None),
            Effect::Post(messages) => {
                for posted in messages {
                    self.post(state, message, posted)?;
                }
                Answer::Done
            }
            Effect::Report(outcome, ending) => {
                let generation = self.messages.value(message).place.generation();
                self.ended(state, generation, *outcome, ending)?;
                Answer::Done
            }
            Effect::Retire(_) => {
                state.retire(self.messages.value(message).place.generation());
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
                    Reply::Ended(outcome, Some(ending)) => {
                        let generation = self.messages.value(message).place.generation();
                        self.ended(state, generation, *outcome, ending)?;
                    }
                    Reply::ComeAgain => state.enqueue(message),
                    Reply::Refused(unfit) => return Err(format!("a token is refused: {unfit:?}")),
                    _ => {}
                }
                return Ok(None);
            }
            other => unreachable!("{other:?} is done at once"),
        }))
    }

    fn entrant(&self, local: u32) -> Option<&Entrant> {
        match &self.locals[local as usize].effect {
            Effect::Enter(entrant) => Some(entrant),
            _ => None,
        }
    }

    /// Whether two deliveries are about to create the same entry.
    fn enter_together(&self, first: u32, second: u32) -> bool {
        self.entrant(first).zip(self.entrant(second)).is_some_and(|(first, second)| first.key() == second.key())
    }

    /// Creates an entry unless it exists, alone or together with another delivery.
    fn enter(&mut self, state: &mut State, local: u32, with: Option<u32>) -> Answer {
        self.count(self.locals[local as usize].message, 0, 1);
        let (key, value) = match self.tried.get(&(local, with)) {
            Some(tried) => *tried,
            None => {
                let entrant = self.entrant(local).expect("it enters a join");
                let entry = entrant.entry(self.flow.plan(), with.and_then(|with| self.entrant(with)));
                let key = entrant.key().clone();
                let tried = (self.keys.number(&key), self.values.number(&entry));
                self.tried.insert((local, with), tried);
                tried
            }
        };
        state.write(key, value);
        let stands = state.value(key).expect("it was written");
        Answer::Stands(self.values.value(stands).clone())
    }

    /// What the driver of a delivery knows of the entries of its join. It differs from member to member, so that all ways are explored.
    pub(super) fn knowledge(&self, local: u32) -> Knowledge {
        let message = self.messages.value(self.locals[local as usize].message);
        match message.place.fork().map(|(_, member)| member % 3) {
            Some(1) => Knowledge::All,
            Some(2) => Knowledge::Fork,
            _ => Knowledge::Nothing,
        }
    }

    pub(super) fn entries<'b>(&'b self, state: &'b State, fork: &Place) -> impl Iterator<Item = &'b Bytes> {
        let prefix = format!("entry/{fork}/");
        let entries = state.store.iter().filter(move |(key, _)| self.keys.value(*key).as_str().starts_with(&prefix));
        entries.map(|(_, value)| self.values.value(*value))
    }

    /// Counts keys that a delivery of the message has read and written.
    pub(super) fn count(&mut self, message: u32, reads: usize, creates: usize) {
        self.cost.reads += reads;
        self.cost.creates += creates;
        *self.keys_of.entry(message).or_default() += reads + creates;
    }
}
