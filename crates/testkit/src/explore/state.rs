//! A state of the world: what is in the store and the queue, and how far each delivery has come.

use faasflow_core::Outcome;

/// A state as lists of numbers, which the [`World`](super::world::World) explains. Lists are sorted, so that states in which
/// the same has happened in another order are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// Keys and values of the store.
    pub(super) store: Vec<(u32, u32)>,
    /// Messages that wait.
    pub(super) queue: Vec<u32>,
    /// Deliveries that are under way: see [`Local`](super::world::Local).
    pub(super) running: Vec<u32>,
    /// Messages that were ever posted.
    pub(super) posted: Vec<u32>,
    /// Messages of joins, and the message that fired each.
    pub(super) fired: Vec<(u32, u32)>,
    /// How the request ended: its outcome, and the number of its output.
    pub(super) end: Option<(u8, u32)>,
    /// How often the finaliser has run.
    pub(super) finalised: u8,
    pub(super) faults_left: u8,
}

/// Something that can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// A delivery does its next effect.
    Step(u32),
    /// A message is delivered.
    Deliver(u32),
    /// A message is delivered, and will be again.
    DeliverTwice(u32),
    /// The process dies before its next effect, which is one that changes something. To die after an effect is to die before
    /// the next, and where a process dies between reads does not matter.
    Die(u32),
    /// A write succeeds, and its answer is lost.
    Unanswered(u32),
    /// A write is lost, and so is its answer.
    Lost(u32),
}

impl Move {
    pub(super) fn is_fault(self) -> bool {
        !matches!(self, Move::Step(_) | Move::Deliver(_))
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

    pub(super) fn start(&mut self, local: u32) {
        let index = self.running.partition_point(|other| *other < local);
        self.running.insert(index, local);
    }

    pub(super) fn stop(&mut self, local: u32) {
        let index = self.running.iter().position(|other| *other == local).expect("it is under way");
        self.running.remove(index);
    }

    /// Puts a message into the queue. One that waits there already is one delivery, not two.
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
    }
}

pub(super) fn outcome_of(number: u8) -> Outcome {
    [Outcome::Success, Outcome::Recovered, Outcome::Failure][usize::from(number)]
}
