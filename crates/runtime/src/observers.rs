//! Everything that becomes visible of a request comes from one stream of events. Each event is emitted once.
//!
//! To add an observer, implement [`Observer`] in a new file and register it in [`Observers`].

mod counts;
mod event;
mod lines;
mod log_line;
mod member;
mod observer;
mod output;
mod spans;
mod steps;
mod stream;

pub(crate) use event::{Activity, CallKind, Event, Origin, PayloadLocation, Peer, Report, StepHandler, StepRun};
#[cfg(test)]
pub(crate) use log_line::log_line;
pub(crate) use member::{Member, MemberName, joined_labels, member_of, path_names, path_to};
pub(crate) use stream::{Observers, Scope};
