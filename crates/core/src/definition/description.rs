//! A flow as data, for `describe`, `GET /_/flow` and drawings.
//!
//! The format has two versions. A flow without flows inside it is written as version 1, a list of phases with their steps, which
//! every reader understands. Any other flow is written as version 2, a tree. [`Description::from_json`] reads both, and reports
//! later versions as an error. Adding a field does not require a new version, because readers ignore unknown fields.

mod describe;
mod element;
mod flow;
mod format;
mod step;

pub use element::{BodyDescription, BranchDescription, CompositeDescription, ElementDescription, PhaseDescription};
pub use flow::Description;
pub use format::{DescriptionError, NEWEST_VERSION};
pub use step::{ActionDescription, RequestDescription, StepDescription};
