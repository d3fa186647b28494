//! Images run by a container engine: Docker, Podman, or anything else that speaks Docker's API.
//!
//! This crate is the only one that knows how an engine is asked. It finds one, makes containers of images, and tells what
//! became of them. When to start and stop them is for the gateway to decide.
//!
//! Futures are boxed, so that the client is compiled here and not in every crate that awaits one
//! (`docs/decisions/0018-build-time.md`).

mod blueprint;
mod engine;
mod error;
mod logs;
mod network;
mod place;
mod pull;
pub mod quantity;
mod state;
mod told;
mod wire;

pub use blueprint::{Blueprint, HOST_NAME, Host, LEAST_MEMORY, PODMAN_HOST_NAME, Reach, Resources, SECRETS};
pub use engine::{Engine, Found, Image, Kind};
pub use error::EngineError;
pub use network::{Bridge, Own};
pub use place::{Place, usual_sockets};
pub use state::{Health, State};
