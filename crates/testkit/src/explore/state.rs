//! A state of the world: the contents of the store and the queue, and the progress of each delivery.

use faasflow_core::Outcome;

/// A state as lists of numbers, which the [`World`](super::world::World) resolves. The lists are sorted, so states are equal if
/// the same events have happened in different orders.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
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
    /// How the request ended: its outcome, and the number of its output.
    pub(super) end: Option<(u8, u32)>,
    /// The number of times that the finaliser has run.
    pub(super) finalised: u8,
    pub(super) faults_left: u8,
}

/// Something that can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// A delivery performs its next effect.
    Step(u32),
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
    }
}

pub(super) fn outcome_of(number: u8) -> Outcome {
    [Outcome::Success, Outcome::Recovered, Outcome::Failure][usize::from(number)]
}
