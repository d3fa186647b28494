//! HTTP as both ends of Faasflow speak it: one client, one server, one way to read a body.
//!
//! The flow function and the local gateway share these, so that `TCP_NODELAY`, timeouts, limits and the
//! graceful stop are decided once.

mod body;
mod client;
mod server;

pub use body::{ReadBodyError, read_body};
pub use client::{HttpClient, HttpError};
pub use server::{ServerOptions, serve};
