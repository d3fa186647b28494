//! The plan of a flow: its segments, what follows each of them, and the places of requests in it.

mod fingerprint;
mod place;
mod plan;

pub use fingerprint::Fingerprint;
pub use place::Place;
pub use plan::{Plan, PlannedStep, Segment, StepIndex};
