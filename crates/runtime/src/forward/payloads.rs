//! Payloads that a state manager keeps between phases, read until they are what was stored.

use std::time::Duration;

use faasflow_core::Payload;
use faasflow_core::state::{Reference, Scope, StateError, StateManagerExt};

/// How often a payload is read again that is not what was stored: a backend under repair may serve a part of it.
const READS: usize = 3;

/// Fetches a payload, whole or not at all; `None` if it is there no more.
pub(crate) async fn fetch(
    manager: &impl StateManagerExt,
    scope: &Scope,
    reference: &Reference,
) -> Result<Option<Payload>, StateError> {
    let mut wait = Duration::from_millis(50);
    let mut read = 1;
    loop {
        let Some(found) = manager.read_payload(scope, reference).await? else { return Ok(None) };
        match found {
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
