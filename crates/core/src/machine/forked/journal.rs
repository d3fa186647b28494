use std::collections::HashMap;

use bytes::Bytes;

use crate::state::Key;

use super::effect::{Answer, Effect};

/// What has happened in a delivery so far: the answers to the effects, in order.
///
/// The machine runs from its beginning each time it is asked, takes these answers instead of having the effects done again,
/// and comes to the first effect that has no answer yet. So its code reads from top to bottom, and all of its state is here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Journal {
    answers: Vec<Answer>,
}

impl Journal {
    /// A journal of a delivery that has just arrived.
    #[must_use]
    pub fn new() -> Journal {
        Journal::default()
    }

    /// Adds what came of the last effect.
    pub fn add(&mut self, answer: Answer) {
        self.answers.push(answer);
    }

    /// The same, but a write that was not answered and then read back leaves no trace: it is as if it had been answered, or not
    /// been tried. An exploration needs that, so as not to see the same state twice.
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

    /// How many effects have an answer.
    #[must_use]
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Whether nothing has happened yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }
}

/// A value, or the effect that has to be done before there is one.
pub(super) type Step<T> = Result<T, Effect>;

/// Reads a journal from its beginning.
pub(super) struct Replay<'a> {
    answers: std::slice::Iter<'a, Answer>,
    /// What is known to be in the store. Nothing there ever changes, so it need not be read again.
    known: HashMap<Key, Bytes>,
}

/// An answer that does not belong to its effect is a fault of the driver.
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

    /// The answer to an effect, if it was done.
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

    /// Writes a value unless the key is there, and returns what is there now. If it is not known whether the value was written,
    /// what is there is read back.
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

    /// Does something that yields nothing.
    pub(super) fn act(&mut self, effect: impl FnOnce() -> Effect) -> Step<()> {
        answer!(self.perform(effect)?, Answer::Done => Ok(()))
    }
}
