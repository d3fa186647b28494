use std::collections::HashMap;

use bytes::Bytes;

use crate::state::Key;

use super::effect::{Answer, Effect};

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

    /// Writes a value unless the key exists, and returns the value that is there afterwards. If the result of the write is
    /// unknown, the key is read.
    pub(super) fn create(&mut self, key: Key, value: &Bytes) -> Step<Bytes> {
        if let Some(value) = self.known.get(&key) {
            return Ok(value.clone());
        }
        loop {
            match self.perform(|| Effect::Create(key.clone(), value.clone()))? {
                Answer::Stands(value) => {
                    self.known.insert(key, value.clone());
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

    /// Performs an effect that has no result.
    pub(super) fn act(&mut self, effect: impl FnOnce() -> Effect) -> Step<()> {
        answer!(self.perform(effect)?, Answer::Done => Ok(()))
    }
}
