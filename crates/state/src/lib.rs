//! State managers for Faasflow: where the state of requests lives when it is not in their envelopes.
//!
//! Each can be given to a flow with `.state(…)`, or be named by the setting `state_manager`, and takes its own
//! settings and secrets as OpenFaaS gives them: see [`SETTINGS`].

mod memory;
mod open;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "s3")]
mod s3;
mod settings;

pub use memory::Memory;
pub use open::open;
#[cfg(feature = "redis")]
pub use redis::{Redis, RedisBuilder};
#[cfg(feature = "s3")]
pub use s3::{S3, S3Builder};
pub use settings::SETTINGS;
