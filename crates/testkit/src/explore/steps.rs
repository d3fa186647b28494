//! Executes steps and the user code around them, without waiting and without a network.

use std::ops::Range;
use std::sync::Arc;

use faasflow_core::failure::FailureKind;
use faasflow_core::graph::{BodyIndex, CompositeIndex, Node, Segment, StepIndex};
use faasflow_core::machine::forked::Reason;
use faasflow_core::{
    Action, Branches, CallResponse, Composite, Context, Error, Failure, Flow, HeaderMap, Items, MemberOutcome,
    MemberResult, Payload, Policy, Resolution, Result, StatusCode,
};

use super::fakes::{Fakes, at_once};

/// Executes the steps of a flow. The state of a request is not carried from one phase to the next.
#[derive(Clone, Copy)]
pub(super) struct Steps<'a> {
    pub(super) flow: &'a Flow,
    pub(super) fakes: &'a Fakes,
    /// The generation of the request that the steps belong to.
    pub(super) generation: u32,
}

/// Why a phase stopped.
pub(super) enum Stop {
    Failed(Box<Failure>),
    Replied(Payload),
}

impl Steps<'_> {
    /// Executes the steps of a segment.
    pub(super) fn segment(&self, segment: &Segment, input: Payload) -> Result<Payload, Stop> {
        self.nodes(segment.body(), segment.nodes(), input)
    }

    /// Asks the failure handler of a body.
    pub(super) fn ask(&self, body: BodyIndex, failure: &Failure) -> Resolution {
        match self.flow.handler_of(body) {
            Some(handler) => {
                at_once(handler(Context::for_test(""), failure.clone())).unwrap_or_else(Resolution::Failed)
            }
            None => Resolution::Declined,
        }
    }

    /// The branch that a choice takes.
    pub(super) fn choose(&self, composite: CompositeIndex, input: &Payload) -> Result<usize, FailureKind> {
        let Composite::Choice { decide, otherwise, .. } = self.flow.composite(composite) else {
            unreachable!("the machine asks for a choice only where there is one")
        };
        let name = at_once(decide(Context::for_test(""), input.clone()));
        let name = name.map_err(|error| FailureKind::Handler(Arc::new(error)))?;
        let branches = self.flow.plan().composite(composite).branches();
        let named = branches.iter().enumerate().filter(|(index, _)| Some(*index) != *otherwise);
        let named = named.into_iter().find(|(_, branch)| **branch.name() == *name).map(|(index, _)| index);
        named.or(*otherwise).ok_or(FailureKind::NoSuchBranch(name))
    }

    /// The items that a for-each has.
    pub(super) fn split(&self, composite: CompositeIndex, input: &Payload) -> Result<Vec<Payload>> {
        match self.flow.composite(composite) {
            Composite::ForEach { split: Some(split), .. } => at_once(split(Context::for_test(""), input.clone())),
            _ => Composite::split_array(input),
        }
    }

    /// The output of a graph or for-each.
    pub(super) fn join(&self, composite: CompositeIndex, results: Vec<MemberResult>) -> Result<Payload, Stop> {
        let outline = self.flow.plan().composite(composite);
        let output = match self.flow.composite(composite) {
            Composite::Graph { join, complete, .. } => {
                let names = outline.branches().iter().map(|branch| branch.name().clone());
                let branches = Branches::new(names.zip(results));
                match join {
                    Some(join) => at_once(join(Context::for_test(""), branches)),
                    None => {
                        let index = |name: &str| outline.branches().iter().position(|branch| **branch.name() == *name);
                        let ends = |name: &str| index(name).is_some_and(|index| outline.successors(index).count() == 0);
                        branches.into_output(*complete, ends)
                    }
                }
            }
            Composite::ForEach { collect: Some(collect), .. } => {
                at_once(collect(Context::for_test(""), Items::new(results)))
            }
            other => Items::new(results).into_output(other.complete()),
        };
        output.map_err(|error| self.stopped(composite, error))
    }

    fn nodes(&self, body: BodyIndex, nodes: Range<usize>, mut payload: Payload) -> Result<Payload, Stop> {
        for node in &self.flow.plan().body(body).nodes()[nodes] {
            payload = match node {
                Node::Step(step) => self.step(*step, payload)?,
                Node::Composite(composite) => self.composite(*composite, payload)?,
                _ => unreachable!("there are no other nodes"),
            };
        }
        Ok(payload)
    }

    fn step(&self, index: StepIndex, input: Payload) -> Result<Payload, Stop> {
        let step = self.flow.step(index);
        let (result, options) = match step.action() {
            Action::Modify(modifier) => (at_once(modifier.run(Context::for_test(""), input.clone())), None),
            Action::Call(call) => {
                let text = String::from_utf8_lossy(input.bytes());
                let answer =
                    match (self.fakes.call(call.function(), &text, self.generation), call.options().on_response()) {
                        (Ok(text), Some(read)) => {
                            let response = CallResponse::new(StatusCode::OK, HeaderMap::new(), text.into());
                            at_once(read(Context::for_test(""), response))
                        }
                        (Ok(text), None) => Ok(Payload::new(text)),
                        (Err(reason), _) => Err(Error::refused(reason)),
                    };
                (answer, Some(call.options()))
            }
            _ => (Ok(input.clone()), None),
        };
        let failure = match result {
            Ok(output) => return Ok(output),
            Err(error) => {
                let kind = FailureKind::Handler(Arc::new(error));
                Failure::new(1, index.number(), step.name().clone(), kind, input)
            }
        };
        let Some(handler) = options.and_then(|options| options.on_failure()) else {
            return Err(Stop::Failed(Box::new(failure)));
        };
        settle(at_once(handler(Context::for_test(""), failure.clone())).unwrap_or_else(Resolution::Failed), failure)
    }

    /// Runs a composite whose calls are all synchronous, one branch after the other.
    fn composite(&self, index: CompositeIndex, input: Payload) -> Result<Payload, Stop> {
        let outline = self.flow.plan().composite(index);
        match self.flow.composite(index) {
            Composite::Flow => self.body(outline.branches()[0].body(), input),
            Composite::Choice { .. } => {
                let branch = self.choose(index, &input);
                let branch = branch.map_err(|kind| Stop::Failed(Box::new(self.joining_failed(index, kind))))?;
                self.body(outline.branches()[branch].body(), input)
            }
            Composite::ForEach { complete, .. } => {
                let items = self.split(index, &input).map_err(|error| self.stopped(index, error))?;
                let policy = complete.policy(u32::try_from(items.len()).unwrap_or(u32::MAX));
                let mut results = Vec::new();
                for item in items {
                    results.push(self.member(outline.branches()[0].body(), item)?);
                }
                self.complete(index, policy, results)
            }
            other => {
                let policy = other.complete().policy(u32::try_from(outline.branches().len()).unwrap_or(u32::MAX));
                let mut results: Vec<Option<MemberResult>> = vec![None; outline.branches().len()];
                while let Some(next) = (0..results.len()).find(|&branch| {
                    results[branch].is_none()
                        && outline.branches()[branch].after().iter().all(|&other| results[other].is_some())
                }) {
                    let branch = &outline.branches()[next];
                    let before = branch.after().iter().map(|&other| (other, results[other].clone()));
                    let before: Vec<_> = before.filter_map(|(other, result)| Some((other, result?))).collect();
                    let all_done = before.iter().all(|(_, result)| result.outcome() == MemberOutcome::Done);
                    results[next] = Some(match all_done {
                        false => MemberResult::Other(MemberOutcome::NotBegun),
                        true if before.is_empty() => self.member(branch.body(), input.clone())?,
                        true => {
                            let input = self.of_branches(index, before)?;
                            self.member(branch.body(), input)?
                        }
                    });
                }
                self.complete(index, policy, results.into_iter().flatten().collect())
            }
        }
    }

    /// The input of a branch that comes after others: their outputs.
    pub(super) fn of_branches(
        &self,
        composite: CompositeIndex,
        results: Vec<(usize, MemberResult)>,
    ) -> Result<Payload, Stop> {
        let outline = self.flow.plan().composite(composite);
        let named = results.into_iter().map(|(index, result)| (outline.branches()[index].name().clone(), result));
        let output = Branches::new(named).into_output(faasflow_core::Complete::All, |_| true);
        output.map_err(|error| self.stopped(composite, error))
    }

    fn complete(&self, index: CompositeIndex, policy: Policy, results: Vec<MemberResult>) -> Result<Payload, Stop> {
        let count = |outcome| results.iter().filter(|result| result.outcome() == outcome).count() as u64;
        let complete = match policy {
            Policy::Successes(needed) => count(MemberOutcome::Done) >= u64::from(needed),
            Policy::Failures(allowed) => count(MemberOutcome::Failed) <= u64::from(allowed),
            _ => true,
        };
        match complete {
            true => self.join(index, results),
            false => Err(Stop::Failed(Box::new(self.members_failed(index, results)))),
        }
    }

    fn member(&self, body: BodyIndex, input: Payload) -> Result<MemberResult, Stop> {
        match self.body(body, input) {
            Ok(output) => Ok(MemberResult::Done(output)),
            Err(Stop::Failed(failure)) => Ok(MemberResult::Failed(failure.reason())),
            Err(replied) => Err(replied),
        }
    }

    fn body(&self, body: BodyIndex, input: Payload) -> Result<Payload, Stop> {
        let nodes = 0..self.flow.plan().body(body).nodes().len();
        match self.nodes(body, nodes, input) {
            Err(Stop::Failed(failure)) => settle(self.ask(body, &failure), *failure),
            ended => ended,
        }
    }

    fn stopped(&self, composite: CompositeIndex, error: Error) -> Stop {
        Stop::Failed(Box::new(self.handler_failed(composite, error)))
    }

    /// The failure of the code of a join, a split or a choice.
    pub(super) fn handler_failed(&self, composite: CompositeIndex, error: Error) -> Failure {
        self.joining_failed(composite, FailureKind::Handler(Arc::new(error)))
    }

    /// The failure of a join, a split or a choice.
    pub(super) fn joining_failed(&self, composite: CompositeIndex, kind: FailureKind) -> Failure {
        let name = match self.flow.composite(composite) {
            Composite::Choice { .. } => "choice",
            Composite::ForEach { .. } => "for-each",
            _ => "join",
        };
        Failure::new(1, 0, name.into(), kind, Payload::empty())
    }

    /// The failure of a graph or for-each in which too many members failed.
    pub(super) fn members_failed(&self, composite: CompositeIndex, results: Vec<MemberResult>) -> Failure {
        let outline = self.flow.plan().composite(composite);
        let (name, kind) = match self.flow.composite(composite) {
            Composite::ForEach { .. } => ("for-each", FailureKind::Items(Arc::new(Items::new(results)))),
            _ => {
                let names = outline.branches().iter().map(|branch| branch.name().clone());
                ("graph", FailureKind::Branches(Arc::new(Branches::new(names.zip(results)))))
            }
        };
        Failure::new(1, 0, name.into(), kind, Payload::empty())
    }
}

fn settle(resolution: Resolution, failure: Failure) -> Result<Payload, Stop> {
    match resolution {
        Resolution::Recovered(payload) => Ok(payload),
        Resolution::Replied(payload) => Err(Stop::Replied(payload)),
        _ => Err(Stop::Failed(Box::new(failure))),
    }
}

/// The reason of a failure, as records contain it.
pub(super) fn reason(failure: &Failure) -> Reason {
    Reason {
        step: failure.step_number(),
        name: failure.step().to_owned(),
        text: failure.reason(),
        code: failure.code().to_string(),
    }
}
