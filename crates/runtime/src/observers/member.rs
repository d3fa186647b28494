use std::fmt;
use std::sync::Arc;

use faasflow_core::graph::{BodyIndex, CompositeKind, Follow, Place, Plan, Segment};

/// A branch of a graph, or an item of a for-each. Displayed as messages name it: ``branch `thumb` `` or `item 3`.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// The flow that it executes.
    pub(crate) body: BodyIndex,
    pub(crate) name: MemberName,
    /// The label of an item, if it has one. That of an item with phases of its own is in its token.
    pub(crate) label: Option<String>,
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

    /// Its label, if `outer` is that of the items around it.
    pub(super) fn label_in(&self, outer: &str) -> String {
        self.label.as_deref().map_or_else(|| outer.to_owned(), |label| label_inside(outer, label))
    }

    /// Its path, if `outer` is the path of the branch or item that its graph or for-each stands in, such as `pages/item-3`.
    pub(super) fn path(&self, outer: &str) -> String {
        match (outer, &self.name) {
            ("", MemberName::Branch(name)) => name.to_string(),
            ("", MemberName::Item(number)) => format!("item-{number}"),
            (outer, MemberName::Branch(name)) => [outer, "/", name].concat(),
            (outer, MemberName::Item(number)) => format!("{outer}/item-{number}"),
        }
    }
}

/// The labels of items that are inside each other, from the outermost to the innermost, as one text.
pub(crate) fn joined_labels<'a>(labels: impl IntoIterator<Item = &'a str>) -> String {
    labels.into_iter().fold(String::new(), |outer, label| label_inside(&outer, label))
}

/// The label of an item inside another one.
pub(super) fn label_inside(outer: &str, label: &str) -> String {
    if outer.is_empty() { label.to_owned() } else { [outer, " / ", label].concat() }
}

/// The path of the branches and items that lead to a place, such as `pages/item-3`. It is empty outside of branches.
pub(crate) fn path_to(plan: &Plan, place: &Place) -> String {
    members_of(plan, place).fold(String::new(), |path, member| member.path(&path))
}

/// The names of the branches and items that lead to a place.
pub(crate) fn path_names(plan: &Plan, place: &Place) -> Vec<String> {
    members_of(plan, place).map(|member| member.path("")).collect()
}

/// The innermost branch or item that a place is in; `None` outside of branches.
pub(crate) fn member_of(plan: &Plan, place: &Place) -> Option<Member> {
    members_of(plan, place).nth(place.path().len().checked_sub(1)?)
}

/// The branches and items that lead to a place, as far as the flow has them.
fn members_of(plan: &Plan, place: &Place) -> impl Iterator<Item = Member> {
    let steps: Vec<_> = place.path().iter().map(|member| member.index as usize).zip(place.forks()).collect();
    steps.into_iter().map_while(|(index, fork)| {
        let Some(Follow::Fork(composite)) = plan.segment(&fork).map(Segment::follow) else { return None };
        let composite = plan.composite(*composite);
        Some(match composite.kind() {
            CompositeKind::ForEach => {
                Member { body: composite.branches().first()?.body(), name: MemberName::Item(index + 1), label: None }
            }
            _ => {
                let branch = composite.branches().get(index)?;
                Member { body: branch.body(), name: MemberName::Branch(branch.name().clone()), label: None }
            }
        })
    })
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            // There is a line for each, and formatting would take three times as long.
            MemberName::Branch(name) => ["branch `", name, "`"].iter().try_for_each(|text| f.write_str(text)),
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
