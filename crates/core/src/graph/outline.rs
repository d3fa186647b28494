//! The structure of a flow: its bodies, and the steps and composites in each of them.

use std::sync::Arc;

/// What a plan needs to know about a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlannedStep<'a> {
    /// Inline code.
    Modifier,
    /// The payload is sent to a URL.
    Callback,
    /// A function is called.
    Call {
        /// Its name.
        function: &'a str,
        /// Whether it is called within the phase of the step before.
        sync: bool,
    },
}

impl PlannedStep<'_> {
    pub(super) fn is_call(&self) -> bool {
        matches!(self, PlannedStep::Call { .. })
    }

    pub(super) fn is_async(&self) -> bool {
        matches!(self, PlannedStep::Call { sync: false, .. })
    }
}

macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub(crate) usize);

        impl $name {
            /// Its index in the flow's list.
            #[must_use]
            pub fn index(self) -> usize {
                self.0
            }
        }
    };
}

index! {
    /// The position of a step in the definition of its flow. Steps of nested flows are included, depth first.
    StepIndex
}
index! {
    /// A flow or a flow inside it. The flow itself is 0, and the others follow depth first.
    BodyIndex
}
index! {
    /// A graph, choice, for-each or sub-flow of a flow, counted depth first.
    CompositeIndex
}

impl StepIndex {
    /// The number of the step, from 1, as messages show it.
    #[must_use]
    pub fn number(self) -> usize {
        self.0 + 1
    }
}

impl CompositeIndex {
    /// The number of the graph, choice, for-each or sub-flow, from 1, as messages and metrics show it. One inside another comes
    /// after it.
    #[must_use]
    pub fn number(self) -> usize {
        self.0 + 1
    }
}

/// An element of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Node {
    /// A step.
    Step(StepIndex),
    /// A graph, choice, for-each or sub-flow.
    Composite(CompositeIndex),
}

/// A flow or a flow inside it, as a list of steps and composites.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// The composite that it belongs to, and which of its branches it is; `None` for the flow itself.
    pub(crate) owner: Option<(CompositeIndex, usize)>,
    pub(crate) nodes: Vec<Node>,
}

impl Body {
    /// The composite that it belongs to, and which of its branches it is; `None` for the flow itself.
    #[must_use]
    pub fn owner(&self) -> Option<(CompositeIndex, usize)> {
        self.owner
    }

    /// Its steps and composites, in order.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }
}

/// The kind of a composite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CompositeKind {
    /// Branches that run concurrently, then a join.
    Graph,
    /// One branch of several.
    Choice,
    /// One branch for each item of a list, then a join.
    ForEach,
    /// Another flow as a part of this one.
    Flow,
}

impl CompositeKind {
    /// Whether its members are joined.
    #[must_use]
    pub fn joins(self) -> bool {
        matches!(self, CompositeKind::Graph | CompositeKind::ForEach)
    }
}

/// A graph, choice, for-each or sub-flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composite {
    pub(crate) kind: CompositeKind,
    /// The body that contains it.
    pub(crate) parent: BodyIndex,
    pub(crate) branches: Vec<Branch>,
    /// Whether all calls inside are synchronous.
    pub(crate) is_inline: bool,
}

impl Composite {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> CompositeKind {
        self.kind
    }

    /// Its branches, in order of definition. A for-each and a sub-flow have one.
    #[must_use]
    pub fn branches(&self) -> &[Branch] {
        &self.branches
    }

    /// Whether all calls inside are synchronous, so that it runs within one phase.
    #[must_use]
    pub fn is_inline(&self) -> bool {
        self.is_inline
    }

    /// The branches of a graph that come directly after this one.
    pub fn successors(&self, branch: usize) -> impl Iterator<Item = usize> {
        (0..self.branches.len()).filter(move |&other| self.branches[other].after.contains(&branch))
    }
}

/// A branch of a composite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    pub(crate) name: Arc<str>,
    pub(crate) body: BodyIndex,
    pub(crate) after: Vec<usize>,
}

impl Branch {
    /// Its name; a for-each's is `item`.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its steps and composites.
    #[must_use]
    pub fn body(&self) -> BodyIndex {
        self.body
    }

    /// The branches of the graph that it waits for.
    #[must_use]
    pub fn after(&self) -> &[usize] {
        &self.after
    }
}

/// The structure of a flow, from which its plan is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outline<'a> {
    pub(crate) steps: Vec<PlannedStep<'a>>,
    pub(crate) bodies: Vec<Body>,
    pub(crate) composites: Vec<Composite>,
}

impl<'a> Outline<'a> {
    /// The outline of a flow without flows inside it.
    pub(super) fn linear(steps: impl IntoIterator<Item = PlannedStep<'a>>) -> Outline<'a> {
        let steps: Vec<_> = steps.into_iter().collect();
        let nodes = (0..steps.len()).map(|index| Node::Step(StepIndex(index))).collect();
        Outline { steps, bodies: vec![Body { owner: None, nodes }], composites: Vec::new() }
    }

    /// Whether a step of the body, or of a body inside it, satisfies the condition.
    pub(crate) fn any_step(&self, body: BodyIndex, condition: &impl Fn(&PlannedStep<'_>) -> bool) -> bool {
        self.bodies[body.0].nodes.iter().any(|node| self.any_step_of(*node, condition))
    }

    pub(super) fn any_step_of(&self, node: Node, condition: &impl Fn(&PlannedStep<'_>) -> bool) -> bool {
        match node {
            Node::Step(step) => condition(&self.steps[step.0]),
            Node::Composite(composite) => {
                self.composites[composite.0].branches.iter().any(|branch| self.any_step(branch.body, condition))
            }
        }
    }
}
