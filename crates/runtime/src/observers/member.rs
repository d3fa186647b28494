use std::fmt;
use std::sync::Arc;

use faasflow_core::graph::{BodyIndex, CompositeKind, Follow, Place, Plan, Segment};

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

/// The path of the branches and items that lead to a place, such as `pages/item-3`. It is empty outside of branches.
pub(crate) fn path_to(plan: &Plan, place: &Place) -> String {
    let mut path = String::new();
    for (member, fork) in place.path().iter().zip(place.forks()) {
        let Some(Follow::Fork(composite)) = plan.segment(&fork).map(Segment::follow) else { break };
        let composite = plan.composite(*composite);
        let (index, branches) = (member.index as usize, composite.branches());
        let (branch, name) = match composite.kind() {
            CompositeKind::ForEach => (branches.first(), MemberName::Item(index + 1)),
            _ => match branches.get(index) {
                Some(branch) => (Some(branch), MemberName::Branch(branch.name().clone())),
                None => break,
            },
        };
        let Some(branch) = branch else { break };
        path = Member { body: branch.body(), name }.path(&path);
    }
    path
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            MemberName::Branch(name) => write!(f, "branch `{name}`"),
            MemberName::Item(number) => write!(f, "item {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use faasflow_core::{Flow, ForEach, Graph};

    use super::*;

    #[test]
    fn the_path_to_a_place_names_branches_and_items() {
        let branch = |function: &str| Flow::builder().apply(function);
        let graph = Graph::new().branch("thumb", branch("a")).branch("tags", branch("b"));
        let pages = ForEach::new(branch("first").graph(graph));
        let flow = Flow::builder().for_each(pages).build().unwrap();
        let plan = flow.plan();
        let fork_of = |kind| {
            let is_fork = |segment: &&Segment| match segment.follow() {
                Follow::Fork(composite) => plan.composite(*composite).kind() == kind,
                _ => false,
            };
            plan.segments().find(is_fork).unwrap().place().clone()
        };
        let first = fork_of(CompositeKind::Graph);
        let item = fork_of(CompositeKind::ForEach).member(2, &first);
        assert_eq!(path_to(plan, &plan.start()), "");
        assert_eq!(path_to(plan, &item), "item-3");
        let tags = plan.segments().find(|segment| plan.segment(&item.member(1, segment.place())).is_some()).unwrap();
        assert_eq!(path_to(plan, &item.member(1, tags.place())), "item-3/tags");
        // An envelope may name places that the flow does not have.
        assert_eq!(path_to(plan, &item.member(7, tags.place())), "item-3");
    }
}
