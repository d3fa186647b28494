//! The names of a gateway's containers, which tell those that somebody looks after from what was left behind.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How long the engine may go on making a container after nobody waits for it any more.
const DOUBT: Duration = Duration::from_secs(120);

/// The names of the containers that somebody looks after.
#[derive(Debug, Default)]
pub(super) struct Names {
    state: Mutex<State>,
    pub(super) suspected: Notify,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) taken: BTreeSet<String>,
    /// Whether there may be leftovers.
    pub(super) suspicion: bool,
    /// Until when one may appear that was not there yet.
    pub(super) until: Option<Instant>,
}

/// A container's name. From before the container is made until it is removed.
#[derive(Debug)]
pub(super) struct Name {
    names: Arc<Names>,
    name: String,
}

impl Names {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a name, which no leftover has from now on.
    pub(super) fn take(self: &Arc<Self>, name: String) -> Name {
        self.state().taken.insert(name.clone());
        Name { names: self.clone(), name }
    }

    /// Has leftovers looked for.
    pub(super) fn suspect(&self) {
        self.state().suspicion = true;
        self.suspected.notify_one();
    }
}

impl Name {
    /// The container may be there, or may appear: it is removed once it can be.
    pub(super) fn lose(self) {
        self.names.state().until = Some(Instant::now() + DOUBT);
        let names = self.names.clone();
        drop(self);
        names.suspect();
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        self.names.state().taken.remove(&self.name);
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.name
    }
}
