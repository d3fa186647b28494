//! A request's state, in its envelope or in a state manager.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Result;

use super::extension::StateManagerExt as _;
use super::manager::{Scope, StateManager};
use super::value::StateValue;

/// The values that travel in the envelope, by key.
pub type EmbeddedState = BTreeMap<String, StateValue>;

/// A request's state, wherever it lives.
pub(crate) enum Store {
    Embedded(Mutex<EmbeddedState>),
    External(Arc<dyn StateManager>, Scope),
}

impl Store {
    pub(crate) async fn get(&self, key: &str) -> Result<Option<StateValue>> {
        match self {
            Store::Embedded(values) => Ok(lock(values).get(key).cloned()),
            Store::External(manager, scope) => manager.read_value(scope, key).await,
        }
    }

    pub(crate) async fn set(&self, key: &str, value: StateValue) -> Result<()> {
        match self {
            Store::Embedded(values) => {
                lock(values).insert(key.to_owned(), value);
            }
            Store::External(manager, scope) => manager.write_value(scope, key, &value).await?,
        }
        Ok(())
    }

    pub(crate) async fn remove(&self, key: &str) -> Result<()> {
        match self {
            Store::Embedded(values) => {
                lock(values).remove(key);
            }
            Store::External(manager, scope) => manager.remove_value(scope, key).await?,
        }
        Ok(())
    }

    pub(crate) fn embedded(&self) -> EmbeddedState {
        match self {
            Store::Embedded(values) => lock(values).clone(),
            Store::External(..) => EmbeddedState::new(),
        }
    }
}

/// Every operation on the map completes or has no effect, so the map is usable after a panic elsewhere while it was
/// locked.
fn lock(values: &Mutex<EmbeddedState>) -> MutexGuard<'_, EmbeddedState> {
    values.lock().unwrap_or_else(PoisonError::into_inner)
}
