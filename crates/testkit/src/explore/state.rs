//! A state of the world: the contents of the store and the queue, and the progress of each delivery.

use std::hash::{Hash, Hasher};

use faasflow_core::Outcome;

use super::act::{Action, Actions};

/// A state as lists of numbers, which the [`World`](super::world::World) resolves. The lists are sorted, so states are equal if
/// the same events have happened in different orders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// Keys and values of the store.
    pub(super) store: Vec<(u32, u32)>,
    /// Messages that wait for delivery.
    pub(super) queue: Vec<u32>,
    /// Deliveries in progress: see [`Local`](super::world::Local).
    pub(super) running: Vec<u32>,
    /// All messages that have ever been posted.
    pub(super) posted: Vec<u32>,
    /// The messages of joins, each with the message that fired it.
    pub(super) fired: Vec<(u32, u32)>,
    /// How each generation of the request ended: its number, its outcome, and the number of its output.
    pub(super) ends: Vec<(u32, u8, u32)>,
    /// The number of times that the finaliser has run.
    pub(super) finalised: u8,
    pub(super) faults_left: u8,
    /// Actions in progress: see [`Act`](super::act::Act).
    pub(super) acting: Vec<u32>,
    /// How often each action may still be taken.
    pub(super) actions_left: Actions,
    /// Whether something was lost that only a recovery brings back.
    pub(super) needs_recovery: bool,
    /// Whether a recovery has found the request paused. There will be another one after the pause.
    pub(super) passed_over: bool,
    /// The generations that were retired.
    pub(super) retired: Vec<u32>,
    /// What the last move has left in progress, if interruptions are limited.
    pub(super) current: Current,
    pub(super) interruptions_left: Option<u8>,
}

/// Something in progress that may be interrupted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Current {
    #[default]
    Nothing,
    Delivery(u32),
    Action(u32),
}

/// Something that can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// A delivery performs its next effect.
    Step(u32),
    /// Two deliveries become one entry of a join.
    Together(u32, u32),
    /// A message is delivered.
    Deliver(u32),
    /// A message is delivered, and will be delivered again.
    DeliverTwice(u32),
    /// The process dies before its next effect, if that effect changes something. Dying after an effect is the same as dying
    /// before the next one, and it does not matter between which reads a process dies.
    Die(u32),
    /// A write succeeds, and its answer is lost.
    Unanswered(u32),
    /// A write is lost, and so is its answer.
    Lost(u32),
    /// The queue loses a message.
    Lose(u32),
    /// Someone takes an action that may never be taken.
    Begin(Action),
    /// Someone resumes a request that is paused, which happens at some time.
    Resume,
    /// Someone recovers requests after something was lost, which happens at some time.
    Recover,
    /// An action takes its next step.
    Act(u32),
    /// The process that performs an action dies before its next step.
    ActDies(u32),
}

impl Move {
    pub(super) fn is_fault(self) -> bool {
        matches!(
            self,
            Move::DeliverTwice(_)
                | Move::Die(_)
                | Move::Unanswered(_)
                | Move::Lost(_)
                | Move::Lose(_)
                | Move::ActDies(_)
        )
    }

    /// Whether the request has to end without it.
    pub(super) fn is_optional(self) -> bool {
        self.is_fault() || matches!(self, Move::Begin(_))
    }
}

/// Without the faults and interruptions that may still happen: see [`Known`](super::known::Known).
impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let State {
            store,
            queue,
            running,
            posted,
            fired,
            ends,
            finalised,
            faults_left: _,
            acting,
            actions_left,
            needs_recovery,
            passed_over,
            retired,
            current,
            interruptions_left: _,
        } = self;
        for pairs in [store, fired] {
            hasher.write_usize(pairs.len());
            pairs.iter().for_each(|(one, other)| hasher.write_u64(u64::from(*one) << 32 | u64::from(*other)));
        }
        for numbers in [queue, running, posted, acting, retired] {
            hasher.write_usize(numbers.len());
            numbers.iter().for_each(|number| hasher.write_u32(*number));
        }
        (ends, finalised, actions_left, needs_recovery, passed_over, current).hash(hasher);
    }
}

impl State {
    pub(super) fn value(&self, key: u32) -> Option<u32> {
        self.store.binary_search_by_key(&key, |(key, _)| *key).ok().map(|index| self.store[index].1)
    }

    pub(super) fn write(&mut self, key: u32, value: u32) {
        if let Err(index) = self.store.binary_search_by_key(&key, |(key, _)| *key) {
            self.store.insert(index, (key, value));
        }
    }

    /// Writes a value even if the key exists.
    pub(super) fn replace(&mut self, key: u32, value: u32) {
        match self.store.binary_search_by_key(&key, |(key, _)| *key) {
            Ok(index) => self.store[index].1 = value,
            Err(index) => self.store.insert(index, (key, value)),
        }
    }

    /// Whether a move belongs to what is in progress.
    pub(super) fn goes_on(&self, this: Move) -> bool {
        match this {
            Move::Step(local) | Move::Die(local) | Move::Unanswered(local) | Move::Lost(local) => {
                self.current == Current::Delivery(local)
            }
            Move::Together(first, second) => {
                [Current::Delivery(first), Current::Delivery(second)].contains(&self.current)
            }
            Move::Act(act) | Move::ActDies(act) => self.current == Current::Action(act),
            _ => false,
        }
    }

    pub(super) fn start(&mut self, local: u32) {
        if self.interruptions_left.is_some() {
            self.current = Current::Delivery(local);
        }
        let index = self.running.partition_point(|other| *other < local);
        self.running.insert(index, local);
    }

    pub(super) fn stop(&mut self, local: u32) {
        let index = self.running.iter().position(|other| *other == local).expect("it is under way");
        self.running.remove(index);
    }

    pub(super) fn retire(&mut self, generation: u32) {
        if let Err(index) = self.retired.binary_search(&generation) {
            self.retired.insert(index, generation);
        }
    }

    pub(super) fn end_act(&mut self, act: u32) {
        let index = self.acting.iter().position(|other| *other == act).expect("it is under way");
        self.acting.remove(index);
    }

    /// Puts a message into the queue, unless it is already waiting there.
    pub(super) fn enqueue(&mut self, message: u32) {
        if let Err(index) = self.queue.binary_search(&message) {
            self.queue.insert(index, message);
        }
    }

    pub(super) fn dequeue(&mut self, message: u32) {
        let index = self.queue.binary_search(&message).expect("it waits");
        self.queue.remove(index);
    }
}

pub(super) fn outcome_number(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Success => 0,
        Outcome::Recovered => 1,
        Outcome::Failure => 2,
        Outcome::Stopped => 3,
    }
}

pub(super) fn outcome_of(number: u8) -> Outcome {
    [Outcome::Success, Outcome::Recovered, Outcome::Failure, Outcome::Stopped][usize::from(number)]
}
