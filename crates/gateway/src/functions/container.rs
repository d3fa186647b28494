//! Functions that are images: containers, made, watched and removed.
//!
//! [`Containers`] is what the rest of the gateway knows: the engine, once there is one. [`supervise`] keeps the containers of
//! one function. `replica.rs` follows each of them from its start to its removal, and `leftovers.rs`
//! removes those that nobody follows.

mod attempt;
mod backoff;
mod connection;
mod leftovers;
mod made;
mod mount;
mod names;
mod plan;
mod ready;
mod replica;
mod supervise;

pub(crate) use connection::Containers;
pub use connection::EngineChoice;
pub(crate) use replica::pull;
pub(crate) use supervise::supervise;
