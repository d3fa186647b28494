//! The steps of a phase: inline code, and requests to functions and callback URLs.

mod answers;
mod caller;
mod execute;
mod outage;
mod outgoing;
mod report;
mod send;
mod unanswered;

#[cfg(test)]
mod tests;

pub(crate) use answers::Answers;
pub(crate) use caller::Caller;
pub(crate) use execute::{Execution, SegmentResult};
#[cfg(test)]
pub(crate) use outage::detect;
pub(crate) use unanswered::Unanswered;
