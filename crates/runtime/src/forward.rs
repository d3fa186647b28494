//! Forwards a request to its next phase.

mod forwarder;
mod payloads;
mod post;
mod seal;

#[cfg(test)]
mod tests;

pub use forwarder::{Forward, ForwardError, Forwarder};
pub(crate) use post::GatewayForwarder;
pub(crate) use seal::{NoPayload, NotForwarded, Onward, PAYLOAD_GONE, call_id, envelope};
