//! What the gateway answers: calls of functions, the OpenFaaS API, and the queue's own.

mod enqueue;
mod invoke;
mod name;
mod router;
mod stamp;
mod state;
pub(crate) mod system;

pub(crate) use enqueue::Intake;
pub(crate) use invoke::Invocations;
pub(crate) use router::{router, router_for_containers};
pub(crate) use state::{AppState, States};
