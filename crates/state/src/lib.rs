//! State managers for Faasflow. They store the state of requests outside the envelopes.
//!
//! Pass one to a flow with `.state(…)`, or name it in the setting `state_manager`. Each has its own settings and
//! secrets, which come from where OpenFaaS puts them: see [`SETTINGS`].

#[cfg(feature = "gateway")]
mod gateway;
mod memory;
mod open;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "s3")]
mod s3;
mod settings;

#[cfg(feature = "gateway")]
pub use gateway::{GatewayStore, GatewayStoreBuilder};
pub use memory::Memory;
pub use open::open;
#[cfg(feature = "redis")]
pub use redis::{Redis, RedisBuilder};
#[cfg(feature = "s3")]
pub use s3::{S3, S3Builder};
pub use settings::SETTINGS;
