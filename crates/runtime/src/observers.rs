//! Everything that the outside sees of a request hangs on one stream of events, each told once.
//!
//! To add an observer, implement [`Observer`] in a file of its own, and name it in [`Observers`].

mod counts;
mod event;
mod lines;
mod log_line;
mod observer;
mod output;
mod spans;
mod stream;

pub(crate) use event::{Activity, CallKind, Event, Origin, PayloadLocation, Peer, Report, StepHandler, StepRun};
pub(crate) use stream::{Observers, Scope};
