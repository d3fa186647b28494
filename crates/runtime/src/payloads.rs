//! Payloads that a state manager keeps between phases.

use std::time::Duration;

use faasflow_core::Payload;
use faasflow_core::envelope::Reference;
use faasflow_core::state::{Scope, StateError, StateManager};

/// How often a payload is read again that is not what was stored: a backend under repair may serve a part of it.
const READS: usize = 3;

/// Stores a payload for the phase numbered `phase`.
pub(crate) async fn store(
    manager: &dyn StateManager,
    scope: &Scope,
    payload: &Payload,
    phase: usize,
) -> Result<Reference, StateError> {
    let reference = Reference::to(payload, phase);
    manager.set(scope, reference.key(), payload.bytes().clone()).await?;
    Ok(reference)
}

/// Fetches a payload, whole or not at all; `None` if it is there no more.
pub(crate) async fn fetch(
    manager: &dyn StateManager,
    scope: &Scope,
    reference: &Reference,
) -> Result<Option<Payload>, StateError> {
    let mut wait = Duration::from_millis(50);
    let mut read = 1;
    loop {
        let Some(found) = manager.get(scope, reference.key()).await? else { return Ok(None) };
        match reference.check(found) {
            Ok(payload) => return Ok(Some(payload)),
            Err(fault) if read == READS => {
                return Err(StateError::permanent("a payload is not what was stored").with_source(fault));
            }
            Err(_) => {
                read += 1;
                tokio::time::sleep(wait).await;
                wait *= 4;
            }
        }
    }
}
