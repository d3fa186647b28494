//! Runs images in a container engine: Docker, Podman, or any other engine that speaks Docker's API.
//!
//! Only this crate sends requests to an engine. It connects to one, creates containers from images, and reports their state.
//! The gateway decides when to start and stop them.
//!
//! Futures are boxed, so that the client is compiled here and not in every crate that awaits one
//! (`docs/decisions/0018-build-time.md`).

mod address;
mod answers;
mod blueprint;
mod engine;
mod error;
mod logs;
mod network;
mod pull;
pub mod quantity;
mod state;
mod wire;

pub use address::{Address, AddressError, usual_sockets};
pub use blueprint::{Blueprint, HOST_NAME, Host, LEAST_MEMORY, PODMAN_HOST_NAME, Reach, Resources, SECRETS};
pub use engine::{Engine, Image, Kind, ListedContainer};
pub use error::{EngineError, EngineMessage};
pub use network::{Bridge, OwnContainer};
pub use state::{Health, State};
