//! The steps of a phase: inline code, and requests to functions and callback URLs.

mod answers;
mod branch;
mod caller;
mod composite;
mod execute;
mod join;
mod members;
mod named;
mod outage;
mod outgoing;
mod panics;
mod report;
mod send;
mod stoppable;
mod tally;
mod unanswered;
mod user_code;

#[cfg(test)]
mod composite_tests;
#[cfg(test)]
mod tests;

pub(crate) use answers::Answers;
pub(crate) use caller::Caller;
pub(crate) use execute::{Execution, SegmentResult};
pub(crate) use join::outputs_before;
#[cfg(test)]
pub(crate) use outage::detect;
pub(crate) use outgoing::PhaseHeaders;
pub(crate) use unanswered::Unanswered;
