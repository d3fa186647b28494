//! The names of the containers that tasks of this gateway manage. All others are leftovers.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How long the engine may still create a container after the gateway has stopped waiting for it.
const DOUBT: Duration = Duration::from_secs(120);

/// The names of the containers that are managed.
#[derive(Debug, Default)]
pub(super) struct Names {
    state: Mutex<State>,
    pub(super) suspected: Notify,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) managed: BTreeSet<String>,
    /// Whether there may be leftovers.
    pub(super) suspicion: bool,
    /// Until when the engine may still create one.
    pub(super) until: Option<Instant>,
}

/// The name of a container, held from before its creation until its removal.
#[derive(Debug)]
pub(super) struct Name {
    names: Arc<Names>,
    name: String,
}

impl Names {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a name. Its container is not a leftover until the name is dropped.
    pub(super) fn take(self: &Arc<Self>, name: String) -> Name {
        self.state().managed.insert(name.clone());
        Name { names: self.clone(), name }
    }

    /// Starts a search for leftovers.
    pub(super) fn suspect(&self) {
        self.state().suspicion = true;
        self.suspected.notify_one();
    }
}

impl Name {
    /// Gives up a container that may exist or may still be created. It becomes a leftover, to be removed later.
    pub(super) fn abandon(self) {
        self.names.state().until = Some(Instant::now() + DOUBT);
        let names = self.names.clone();
        drop(self);
        names.suspect();
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        self.names.state().managed.remove(&self.name);
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.name
    }
}
