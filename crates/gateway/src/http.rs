//! The HTTP interface: calls of functions, OpenFaaS's API, and the API of the queue.

mod enqueue;
mod invoke;
mod method;
mod name;
mod router;
mod stamp;
mod state;
mod state_api;
pub(crate) mod system;

pub(crate) use enqueue::Intake;
pub(crate) use invoke::Invocations;
pub(crate) use router::{router, router_for_containers};
pub(crate) use state::{AppState, States};
pub(crate) use state_api::access::StateAccess;
