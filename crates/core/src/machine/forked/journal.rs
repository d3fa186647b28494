use std::collections::HashMap;

use bytes::Bytes;

use crate::graph::Place;
use crate::state::Key;

use super::effect::{Answer, Effect};
use super::entry::Entrant;

/// What has happened in a delivery so far: the answers to the effects, in order.
///
/// On each call, the machine runs from the beginning. It takes the answers from the journal instead of requesting the effects
/// again, until it reaches the first effect without an answer. So its code reads from top to bottom, and the journal is its
/// only state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Journal {
    answers: Vec<Answer>,
}

impl Journal {
    /// Creates the journal of a delivery that has just arrived.
    #[must_use]
    pub fn new() -> Journal {
        Journal::default()
    }

    /// Adds the answer to the last effect.
    pub fn add(&mut self, answer: Answer) {
        self.answers.push(answer);
    }

    /// Adds an answer like [`add`](Journal::add). In addition, it simplifies the journal when a key is read after a write
    /// whose result was unknown: the journal then looks as if the write had been answered or never attempted. Explorations
    /// need this to recognise equal states.
    #[doc(hidden)]
    pub fn add_settled(&mut self, answer: Answer) {
        match (self.answers.last(), answer) {
            (Some(Answer::Unknown), Answer::Found(found)) => {
                self.answers.pop();
                self.answers.extend(found.map(Answer::Stands));
            }
            (_, answer) => self.answers.push(answer),
        }
    }

    /// The number of effects that have been answered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Whether no effect has been answered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }
}

/// A value, or the effect that must be performed to obtain it.
pub(super) type Step<T> = Result<T, Effect>;

/// Reads a journal from its beginning.
pub(super) struct Replay<'a> {
    answers: std::slice::Iter<'a, Answer>,
    /// The known contents of the store. They never change, so no key is read twice.
    known: HashMap<Key, Bytes>,
}

/// Extracts the answer to an effect. Any other answer is a bug in the driver.
macro_rules! answer {
    ($given:expr, $pattern:pat => $value:expr) => {
        match $given {
            $pattern => $value,
            other => unreachable!("the driver gave an answer to another effect: {other:?}"),
        }
    };
}
pub(super) use answer;

impl<'a> Replay<'a> {
    pub(super) fn new(journal: &'a Journal) -> Replay<'a> {
        Replay { answers: journal.answers.iter(), known: HashMap::new() }
    }

    /// Returns the answer to an effect, or requests the effect.
    pub(super) fn perform(&mut self, effect: impl FnOnce() -> Effect) -> Step<&'a Answer> {
        self.answers.next().ok_or_else(effect)
    }

    /// The value of a key, if it was read before.
    pub(super) fn known(&self, key: &Key) -> Option<Bytes> {
        self.known.get(key).cloned()
    }

    /// Reads a key.
    pub(super) fn read(&mut self, key: Key) -> Step<Option<Bytes>> {
        if let Some(value) = self.known.get(&key) {
            return Ok(Some(value.clone()));
        }
        let found = answer!(self.perform(|| Effect::Read(key.clone()))?, Answer::Found(found) => found.clone());
        if let Some(value) = &found {
            self.known.insert(key, value.clone());
        }
        Ok(found)
    }

    /// Reads a key whose value may have changed.
    pub(super) fn read_again(&mut self, key: Key) -> Step<Option<Bytes>> {
        self.known.remove(&key);
        self.read(key)
    }

    /// Reads keys that may not exist, at once. Later reads of those that do exist need no effect.
    pub(super) fn read_all(&mut self, keys: Vec<Key>) -> Step<Vec<Option<Bytes>>> {
        let found = answer!(self.perform(|| Effect::ReadAll(keys.clone()))?, Answer::FoundAll(found) => found.clone());
        let existing = keys.into_iter().zip(&found).filter_map(|(key, value)| Some((key, value.clone()?)));
        self.known.extend(existing);
        Ok(found)
    }

    /// Writes a value unless the key exists, and returns the value that is there afterwards. If the result of the write is
    /// unknown, the key is read.
    pub(super) fn create(&mut self, key: &Key, value: &Bytes) -> Step<Bytes> {
        let effect = || Effect::Create(key.clone(), value.clone());
        self.write(key, effect)
    }

    /// Creates an entry of a join unless it exists, and returns the one that is there afterwards.
    pub(super) fn enter(&mut self, entrant: &Entrant) -> Step<Bytes> {
        self.write(&entrant.key, || Effect::Enter(Box::new(entrant.clone())))
    }

    fn write(&mut self, key: &Key, effect: impl Fn() -> Effect) -> Step<Bytes> {
        if let Some(value) = self.known.get(key) {
            return Ok(value.clone());
        }
        loop {
            match self.perform(&effect)? {
                Answer::Stands(value) => {
                    self.known.insert(key.clone(), value.clone());
                    return Ok(value.clone());
                }
                Answer::Unknown => {
                    if let Some(value) = self.read(key.clone())? {
                        return Ok(value);
                    }
                }
                other => unreachable!("the driver gave an answer to another effect: {other:?}"),
            }
        }
    }

    /// The number of entries of a join that the driver knows of.
    pub(super) fn known_entries(&mut self, fork: &Place) -> Step<Option<u32>> {
        answer!(self.perform(|| Effect::CountEntries(fork.clone()))?, Answer::Entries(known) => Ok(*known))
    }

    /// Performs an effect that has no result.
    pub(super) fn act(&mut self, effect: impl FnOnce() -> Effect) -> Step<()> {
        answer!(self.perform(effect)?, Answer::Done => Ok(()))
    }
}
