use std::fmt;
use std::sync::Arc;

use faasflow_core::graph::BodyIndex;

/// A branch of a graph, or an item of a for-each. Displayed as messages name it: ``branch `thumb` `` or `item 3`.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// The flow that it executes.
    pub(crate) body: BodyIndex,
    pub(crate) name: MemberName,
}

/// The name of a branch or an item.
#[derive(Clone, Debug)]
pub(crate) enum MemberName {
    Branch(Arc<str>),
    /// The number of the item in its list, from 1.
    Item(usize),
}

impl Member {
    /// The name of its span.
    pub(super) fn span_name(&self) -> String {
        match &self.name {
            MemberName::Branch(name) => format!("branch {name}"),
            MemberName::Item(number) => format!("item {number}"),
        }
    }

    /// Its path, if `outer` is the path of the branch or item that its graph or for-each stands in, such as `pages/item-3`.
    pub(super) fn path(&self, outer: &str) -> String {
        let separator = if outer.is_empty() { "" } else { "/" };
        match &self.name {
            MemberName::Branch(name) => format!("{outer}{separator}{name}"),
            MemberName::Item(number) => format!("{outer}{separator}item-{number}"),
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            MemberName::Branch(name) => write!(f, "branch `{name}`"),
            MemberName::Item(number) => write!(f, "item {number}"),
        }
    }
}
