//! Functions that are images: containers, made, watched and removed.
//!
//! [`Containers`] is what the rest of the gateway knows: the engine, once there is one. [`supervise`] keeps the containers of
//! one function. `replica.rs` follows each of them from its start to its removal, and `leftovers.rs`
//! removes those that nobody follows.

use std::time::Duration;

use crate::functions::process::{GRACE, LAST_LINES};

mod attempt;
mod backoff;
mod connection;
mod leftovers;
mod made;
mod mount;
mod plan;
mod ready;
mod replica;
mod supervise;

pub(crate) use connection::Containers;
pub use connection::EngineChoice;
pub(crate) use plan::{check, environment};
pub(crate) use replica::pull;
pub(crate) use supervise::supervise;

/// How long the engine may take for one thing when the gateway stops, beyond what it is asked to wait.
const ENGINE: Duration = Duration::from_secs(3);
/// How long it may take then to stop and remove a container.
const REMOVAL: Duration = Duration::from_secs(GRACE.as_secs() + LAST_LINES.as_secs() + 2 * ENGINE.as_secs());

/// How long it may take in all until a function's containers have ended: those that run, or those that are being made, and
/// the last look for others. An engine that answers takes [`process::ENDING`](crate::functions::process::ENDING).
pub(crate) const ENDING: Duration = Duration::from_secs(REMOVAL.as_secs() + ENGINE.as_secs() + 1);
