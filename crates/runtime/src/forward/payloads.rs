//! Fetches payloads that a state manager keeps between phases.

use std::time::Duration;

use faasflow_core::Payload;
use faasflow_core::state::{Reference, Scope, StateError, StateManagerExt};

/// How many times a payload is read if it differs from what was stored. A backend under repair may return only a part of it.
const MAX_READS: usize = 3;

/// Fetches a complete payload. Returns `None` if it no longer exists.
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
            Err(fault) if read == MAX_READS => {
                return Err(StateError::permanent("a payload differs from what was stored").with_source(fault));
            }
            Err(_) => {
                read += 1;
                tokio::time::sleep(wait).await;
                wait *= 4;
            }
        }
    }
}
