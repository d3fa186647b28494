//! The functions and requests that dead letters are for, so that a search does not read all of them again.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::call::bare_name;
use crate::letter::{self, Letter, LetterFilter};

/// The addressees of letters that have been read, by their numbers. A number always stands for the same call.
#[derive(Debug, Default)]
pub(crate) struct Addressees(Mutex<HashMap<u64, Addressee>>);

/// The function and the request that a letter is for.
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

    /// Notes what a letter is for.
    pub(super) fn note(&self, id: u64, letter: &Letter) {
        let function = bare_name(letter.call.function()).into();
        let request = letter::request(&letter.call).map(|request| request.as_str().into());
        self.known().insert(id, Addressee { function, request });
    }

    /// Whether a letter is known, and the filter does not include it.
    pub(super) fn exclude(&self, id: u64, filter: &LetterFilter) -> bool {
        let includes = |known: &Addressee| filter.includes(&known.function, known.request.as_deref());
        self.known().get(&id).is_some_and(|known| !includes(known))
    }
}
