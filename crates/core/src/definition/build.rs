//! Builds a flow from its draft: numbers all steps, including those of flows inside it, and checks everything.

use std::time::Duration;

use crate::error::Result;
use crate::graph::Composite as CompositeOutline;
use crate::graph::{
    Body, BodyIndex, Branch, CompositeIndex, CompositeKind, Node, Outline, Plan, PlannedStep, StepIndex,
};

use super::check;
use super::composite::Complete;
use super::draft::{
    At, BranchDraft, CollectFn, DecideFn, Draft, Element, ForEachDraft, GraphDraft, JoinFn, LabelFn, SplitFn,
};
use super::fault::{Fault, FaultKind, MAX_DEPTH};
use super::handler::FailureFn;
use super::step::{Action, Step};

/// A flow as lists. Steps, composites and bodies refer to each other by index.
pub(super) struct Built {
    pub(super) steps: Vec<Step>,
    pub(super) composites: Vec<Composite>,
    pub(super) handlers: Vec<Option<FailureFn>>,
    pub(super) plan: Plan,
    pub(super) faults: Vec<Fault>,
}

/// A graph, choice, for-each or sub-flow of a built flow, with the author's functions. The flow's
/// [plan](crate::Flow::plan) has its branches and the order in which they run.
#[derive(Clone)]
#[non_exhaustive]
pub enum Composite {
    /// Branches that run concurrently, then a join.
    Graph {
        /// Makes the output; without it, [`Branches::into_output`](crate::Branches::into_output) does.
        join: Option<JoinFn>,
        /// When it is complete.
        complete: Complete,
        /// The time limit of each branch, if it has one.
        within: Vec<Option<Duration>>,
    },
    /// One branch of several.
    Choice {
        /// Returns the name of the branch to take.
        decide: DecideFn,
        /// The branch for names that are not branches.
        otherwise: Option<usize>,
    },
    /// One branch for each item.
    ForEach {
        /// Makes the items; without it, the payload is a JSON array.
        split: Option<SplitFn>,
        /// Returns the label of an item.
        label: Option<LabelFn>,
        /// Makes the output; without it, [`Items::into_output`](crate::Items::into_output) does.
        collect: Option<CollectFn>,
        /// When it is complete.
        complete: Complete,
        /// How many items may be in flight at once.
        at_most: u32,
        /// The time limit of each item, if there is one.
        within: Option<Duration>,
    },
    /// Another flow as a part of this one.
    Flow,
}

impl Composite {
    /// When it is complete. A choice or a sub-flow is complete when its only branch is.
    #[must_use]
    pub fn complete(&self) -> Complete {
        match self {
            Composite::Graph { complete, .. } | Composite::ForEach { complete, .. } => *complete,
            Composite::Choice { .. } | Composite::Flow => Complete::All,
        }
    }

    /// Whether requests run functions of its author.
    pub(super) fn runs_code(&self) -> bool {
        match self {
            Composite::Graph { join, .. } => join.is_some(),
            Composite::Choice { .. } => true,
            Composite::ForEach { split, label, collect, .. } => split.is_some() || label.is_some() || collect.is_some(),
            Composite::Flow => false,
        }
    }
}

/// The lists while they are being filled. Indices are assigned depth first.
#[derive(Default)]
struct Building {
    steps: Vec<Step>,
    bodies: Vec<Body>,
    handlers: Vec<Option<FailureFn>>,
    composites: Vec<Composite>,
    outlines: Vec<CompositeOutline>,
    faults: Vec<Fault>,
    /// The names that lead to the part that is being built.
    path: Vec<String>,
}

impl Built {
    pub(super) fn new(flow: Draft) -> Built {
        let mut building = Building::default();
        for (kind, _) in &flow.faults {
            building.faults.push(Fault::of_flow(kind.clone()));
        }
        building.body(flow, None);
        let Building { steps, bodies, handlers, composites, outlines, faults, .. } = building;
        let planned = steps.iter().map(|step| planned(step.action())).collect();
        let mut outline = Outline { steps: planned, bodies, composites: outlines };
        for index in 0..outline.composites.len() {
            let branches = &outline.composites[index].branches;
            let is_async = |step: &PlannedStep<'_>| matches!(step, PlannedStep::Call { sync: false, .. });
            let is_inline = !branches.iter().any(|branch| outline.any_step(branch.body, &is_async));
            outline.composites[index].is_inline = is_inline;
        }
        let plan = Plan::new(outline);
        Built { steps, composites, handlers, plan, faults }
    }
}

impl Building {
    fn body(&mut self, flow: Draft, owner: Option<(CompositeIndex, usize)>) -> BodyIndex {
        let index = BodyIndex(self.bodies.len());
        self.bodies.push(Body { owner, nodes: Vec::new() });
        self.handlers.push(flow.on_failure);
        for (element, at) in flow.elements {
            let node = match element {
                Element::Step(step) => Node::Step(self.step(*step, at)),
                Element::Graph(graph) => Node::Composite(self.graph(index, graph, at)),
                Element::Choice(choice) => {
                    let mut branches = choice.branches;
                    let otherwise = choice.otherwise.map(|branch| {
                        branches.push(branch);
                        branches.len() - 1
                    });
                    self.named("choice", |building| {
                        building.faults_of(choice.faults, at);
                        building.need_branch("choice", &branches, at);
                    });
                    let built = Composite::Choice { decide: choice.decide, otherwise };
                    Node::Composite(self.composite(index, CompositeKind::Choice, built, "choice", branches, &[], at))
                }
                Element::ForEach(for_each) => Node::Composite(self.for_each(index, *for_each, at)),
                Element::Flow(body) => {
                    let (kind, built) = (CompositeKind::Flow, Composite::Flow);
                    Node::Composite(self.composite(index, kind, built, "flow", vec![body], &[], at))
                }
            };
            self.bodies[index.0].nodes.push(node);
        }
        index
    }

    fn step(&mut self, mut step: Step, at: At) -> StepIndex {
        let index = StepIndex(self.steps.len());
        for kind in check::step(step.action_mut()) {
            self.faults.push(Fault::in_step(index.number(), step.name(), &self.path, at, kind));
        }
        self.steps.push(step);
        index
    }

    fn graph(&mut self, parent: BodyIndex, graph: GraphDraft, at: At) -> CompositeIndex {
        let (after, faults) = check::edges(&graph);
        self.named("graph", |building| {
            building.need_branch("graph", &graph.branches, at);
            let mut kinds = faults;
            kinds.extend(graph.faults);
            let branches = (!graph.branches.is_empty()).then_some(graph.branches.len());
            kinds.extend(check::complete(graph.complete, branches).map(|kind| (kind, at)));
            building.faults_of(kinds, at);
        });
        let within = graph.branches.iter().map(|branch| branch.within).collect();
        let built = Composite::Graph { join: graph.join, complete: graph.complete, within };
        self.composite(parent, CompositeKind::Graph, built, "graph", graph.branches, &after, at)
    }

    fn for_each(&mut self, parent: BodyIndex, for_each: ForEachDraft, at: At) -> CompositeIndex {
        let ForEachDraft { body, split, label, collect, complete, at_most, within, faults } = for_each;
        self.named("for-each", |building| {
            building.faults_of(faults, at);
            building.faults_at(check::complete(complete, None).map(|kind| (kind, at)));
        });
        let built = Composite::ForEach { split, label, collect, complete, at_most, within };
        let item = BranchDraft::new("item".to_owned(), body, at);
        self.composite(parent, CompositeKind::ForEach, built, "for-each", vec![item], &[], at)
    }

    #[expect(clippy::too_many_arguments, reason = "the four kinds of composites share all of it")]
    fn composite(
        &mut self,
        parent: BodyIndex,
        kind: CompositeKind,
        built: Composite,
        word: &str,
        branches: Vec<BranchDraft>,
        after: &[Vec<usize>],
        at: At,
    ) -> CompositeIndex {
        let index = CompositeIndex(self.outlines.len());
        self.composites.push(built);
        self.outlines.push(CompositeOutline { kind, parent, branches: Vec::new(), is_inline: false });
        let faults = match &self.composites[index.0] {
            // The author did not choose the name of the last branch.
            Composite::Choice { otherwise: Some(otherwise), .. } => check::names(&branches[..*otherwise]),
            _ => check::names(&branches),
        };
        self.named(word, |building| building.faults_at(faults));
        for (number, branch) in branches.into_iter().enumerate() {
            let whole = format!("{word} at {}:{}", at.file(), at.line());
            self.path.push(match kind {
                CompositeKind::ForEach => whole,
                CompositeKind::Flow => format!("flow `{}`", branch.name),
                CompositeKind::Graph | CompositeKind::Choice => format!("{whole} > branch `{}`", branch.name),
            });
            self.faults_at(branch.faults);
            let body = match self.path.len() > MAX_DEPTH {
                true => {
                    self.faults.push(Fault::in_composite(&self.path, at, FaultKind::TooDeep));
                    self.body(Draft::default(), Some((index, number)))
                }
                false => {
                    self.faults_of(branch.body.faults.iter().cloned(), branch.at);
                    let whole = [(branch.body.state.is_some(), "state"), (branch.body.finally.is_some(), "finally")];
                    let whole = whole.into_iter().chain([
                        (branch.body.search_key.is_some(), "search_key"),
                        (!branch.body.secrets.is_empty(), "secret"),
                    ]);
                    let whole = whole.filter(|(is_set, _)| *is_set);
                    self.faults_at(whole.map(|(_, what)| (FaultKind::NotInABranch(what), branch.at)));
                    self.body(branch.body, Some((index, number)))
                }
            };
            self.path.pop();
            let after = after.get(number).cloned().unwrap_or_default();
            self.outlines[index.0].branches.push(Branch { name: branch.name.into(), body, after });
        }
        index
    }

    fn need_branch(&mut self, what: &'static str, branches: &[BranchDraft], at: At) {
        if branches.is_empty() {
            self.faults.push(Fault::in_composite(&self.path, at, FaultKind::NoBranch(what)));
        }
    }

    /// Calls `then` with this name at the end of the path.
    fn named(&mut self, name: &str, then: impl FnOnce(&mut Building)) {
        self.path.push(name.to_owned());
        then(self);
        self.path.pop();
    }

    /// Adds faults of the composite or branch at `at`. The text about a second call says where that is.
    fn faults_of(&mut self, faults: impl IntoIterator<Item = (FaultKind, At)>, at: At) {
        let is_twice = |kind: &FaultKind| matches!(kind, FaultKind::SetTwice { .. });
        self.faults_at(faults.into_iter().map(|(kind, own)| {
            let at = if is_twice(&kind) { at } else { own };
            (kind, at)
        }));
    }

    fn faults_at(&mut self, faults: impl IntoIterator<Item = (FaultKind, At)>) {
        for (kind, at) in faults {
            self.faults.push(Fault::in_composite(&self.path, at, kind));
        }
    }
}

/// The part of a step that is relevant for planning.
fn planned(action: &Action) -> PlannedStep<'_> {
    match action {
        Action::Modify(_) => PlannedStep::Modifier,
        Action::Callback(_) => PlannedStep::Callback,
        Action::Call(call) => PlannedStep::Call { function: call.function(), sync: call.is_sync() },
    }
}

impl Composite {
    /// The items of a payload without a `split`: the elements of a JSON array, each with its original text.
    ///
    /// # Errors
    ///
    /// If the payload is not a JSON array.
    pub fn split_array(payload: &crate::Payload) -> Result<Vec<crate::Payload>> {
        super::composite::split_array(payload)
    }
}
