//! The plan of a flow: its segments and what follows each, and the places that requests take in it.

mod fingerprint;
mod place;
mod plan;

pub use fingerprint::Fingerprint;
pub use place::Place;
pub use plan::{Plan, PlannedStep, Segment, StepIndex};
