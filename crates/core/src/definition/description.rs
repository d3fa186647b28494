//! A flow as data, for `describe`, `GET /_/flow` and drawings.
//!
//! There are two versions of the format. A flow without flows inside it is written as version 1, a list of phases with their
//! steps, which every reader knows. Any other flow is written as version 2, a tree. [`Description::from_json`] reads both, and says
//! so when it meets a later one. A new field does not make a new version, because readers ignore what they do not know.

mod describe;
mod element;
mod flow;
mod format;
mod step;

pub use element::{BodyDescription, BranchDescription, CompositeDescription, ElementDescription, PhaseDescription};
pub use flow::Description;
pub use format::{DescriptionError, NEWEST_VERSION};
pub use step::{ActionDescription, RequestDescription, StepDescription};
