//! Functions that run in containers.
//!
//! The rest of the gateway uses [`Containers`], which has the engine once there is one. [`supervise`] keeps the containers of
//! one function running. `replica.rs` manages one of them from its start to its removal, and `leftovers.rs` removes those
//! that nothing manages.

mod attempt;
mod connection;
mod leftovers;
mod mount;
mod names;
mod plan;
mod ready;
mod replica;
mod running;
mod supervise;

pub(crate) use connection::Containers;
pub use connection::EngineChoice;
pub(crate) use replica::pull;
pub(crate) use supervise::supervise;
