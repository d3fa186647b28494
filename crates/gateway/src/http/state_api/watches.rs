//! How many answers go on and tell the ends of requests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use faasflow_admin::state as api;

/// The answers that are open, by function. Cloning is cheap.
#[derive(Clone, Default)]
pub(crate) struct Watches(Arc<Mutex<HashMap<String, usize>>>);

/// One of the answers that are open.
pub(super) struct Open {
    watches: Watches,
    function: String,
}

impl Watches {
    fn change<T>(&self, change: impl FnOnce(&mut HashMap<String, usize>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Opens an answer; `None` if the function has too many.
    pub(super) fn open(&self, function: &str) -> Option<Open> {
        self.change(|open| {
            let count = open.entry(function.to_owned()).or_default();
            (*count < api::MOST_WATCHES).then(|| *count += 1)
        })?;
        Some(Open { watches: self.clone(), function: function.to_owned() })
    }
}

impl Open {
    pub(super) fn function(&self) -> &str {
        &self.function
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.watches.change(|open| {
            if let Some(count) = open.get_mut(&self.function) {
                *count -= 1;
                if *count == 0 {
                    open.remove(&self.function);
                }
            }
        });
    }
}
