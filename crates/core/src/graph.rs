//! The plan of a flow: its segments, how they follow each other, and the places of requests in it.

mod earlier;
mod fingerprint;
mod item_path;
mod outline;
mod parse;
mod place;
mod plan;
mod planning;
mod segment;
mod shape;

pub use earlier::Earlier;
pub use fingerprint::Fingerprint;
pub use item_path::ItemPath;
pub(crate) use outline::Outline;
pub use outline::{Body, BodyIndex, Branch, Composite, CompositeIndex, CompositeKind, Node, PlannedStep, StepIndex};
pub use place::{Member, Place};
pub use plan::Plan;
pub use segment::{Follow, Segment};
pub(crate) use shape::MAX_SHAPE;
