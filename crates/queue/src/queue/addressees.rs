//! For which functions and requests the dead letters are, so that a search does not read all of them again.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::call::bare_name;
use crate::letter::{self, Letter, LetterFilter};

/// The addressees of letters that have been read, by their numbers. A number always stands for the same call.
#[derive(Debug, Default)]
pub(crate) struct Addressees(Mutex<HashMap<u64, Addressee>>);

/// For which function and request a letter is.
#[derive(Debug)]
pub(super) struct Addressee {
    pub(super) function: Box<str>,
    request: Option<Box<str>>,
}

impl Addressees {
    /// What is known. Every operation leaves it consistent, so a poisoned lock can be ignored.
    pub(super) fn known(&self) -> MutexGuard<'_, HashMap<u64, Addressee>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the letters that are gone.
    pub(super) fn keep(&self, ids: &[u64]) {
        let there: HashSet<u64> = ids.iter().copied().collect();
        self.known().retain(|id, _| there.contains(id));
    }

    /// Notes for whom a letter is.
    pub(super) fn note(&self, id: u64, letter: &Letter) {
        let function = bare_name(letter.call.function()).into();
        let request = letter::request(&letter.call).map(|request| request.as_str().into());
        self.known().insert(id, Addressee { function, request });
    }

    /// Whether a letter is known to be for another function or request than those that are looked for.
    pub(super) fn exclude(&self, id: u64, filter: &LetterFilter) -> bool {
        let is_for = |known: &Addressee| {
            filter.function.as_ref().is_none_or(|function| bare_name(function) == &*known.function)
                && (filter.request.is_none() || filter.request.as_deref() == known.request.as_deref())
        };
        self.known().get(&id).is_some_and(|known| !is_for(known))
    }
}
