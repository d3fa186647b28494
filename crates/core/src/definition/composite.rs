//! Flows inside a flow: graphs, choices, for-eaches and sub-flows.

mod branches;
mod choice;
mod complete;
mod for_each;
mod graph;
mod items;
mod label;
mod member;

pub use branches::Branches;
pub use choice::{Choice, IntoBranchName};
pub use complete::{Complete, Policy};
pub use for_each::{ForEach, IntoItems};
pub use graph::Graph;
pub use items::Items;
pub use label::{IntoLabel, MAX_LABEL};
pub use member::{MemberOutcome, MemberResult};

pub(crate) use items::split_array;
