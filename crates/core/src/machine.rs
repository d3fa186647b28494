//! Decides what to do next for a request. The decision does no I/O and reads no clock: the runtime performs the
//! effects, reports what happened, and asks again.
//!
//! ```text
//! arrived ──▶ take ──▶ run ──┬─▶ forward ──▶ answer: forwarded
//!                            ├─▶ report, finally, forget, answer: ended
//!                            └─▶ ask the failure handler ──▶ report, finally, forget, answer: ended
//! an outage, at any point ──▶ deliver again
//! ```
//!
//! [`advance`] is for requests with a single token, whose position travels in the envelope. It needs no store. [`forked`] is
//! for requests with branches.

pub mod forked;

mod advance;
mod outage;
mod route;
mod token;

pub use advance::{Effect, Effects, Happened, OnOutage, Unfit, advance};
pub use outage::{NoticedBy, Outage};
pub use route::Route;
pub use token::{Caller, Token};
