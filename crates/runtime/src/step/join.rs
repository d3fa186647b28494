//! The author's code around branches and items: it chooses a branch, splits a list, and joins what came of the members.

use std::sync::Arc;

use faasflow_core::failure::FailureKind;
use faasflow_core::graph::{BodyIndex, Branch, CompositeIndex};
use faasflow_core::machine::Outage;
use faasflow_core::{Branches, Complete, Composite, Error, Failure, Flow, Items, MemberResult, Payload, Resolution};

use super::execute::Execution;
use super::unanswered::Unanswered;
use crate::observers::Event;

impl Execution<'_> {
    /// The index of the branch that a choice takes for this input.
    pub(crate) async fn choose(
        &self,
        flow: &Flow,
        composite: CompositeIndex,
        input: &Payload,
    ) -> Result<usize, Unanswered> {
        let Composite::Choice { decide, otherwise, .. } = flow.composite(composite) else {
            unreachable!("only a choice chooses")
        };
        let deciding = decide(self.context.clone(), input.clone());
        let name = self.user_code(self.deadline.steps(), deciding).await.map_err(|kind| self.classify(kind))?;
        let branches = flow.plan().composite(composite).branches();
        // The branch for all other names has no name that could be returned.
        let named = branches.iter().enumerate().filter(|(index, _)| Some(*index) != *otherwise);
        let named = named.into_iter().find(|(_, branch)| **branch.name() == *name).map(|(index, _)| index);
        named.or(*otherwise).ok_or(Unanswered::Failed(FailureKind::NoSuchBranch(name)))
    }

    /// The items of a for-each for this input, at most `max_items`.
    pub(crate) async fn split(
        &self,
        flow: &Flow,
        composite: CompositeIndex,
        input: &Payload,
    ) -> Result<Vec<Payload>, Unanswered> {
        let items = match flow.composite(composite) {
            Composite::ForEach { split: Some(split), .. } => {
                let splitting = split(self.context.clone(), input.clone());
                self.user_code(self.deadline.steps(), splitting).await.map_err(|kind| self.classify(kind))?
            }
            _ => Composite::split_array(input).map_err(failed)?,
        };
        match items.len() > self.max_items {
            true => {
                let (for_each, limit) = (composite.number(), self.max_items);
                Err(FailureKind::TooManyItems { for_each, items: items.len(), limit }.into())
            }
            false => Ok(items),
        }
    }

    /// The output of a graph or for-each whose members ended like this. The results are in the order of the branches or
    /// items.
    pub(crate) async fn join(
        &self,
        flow: &Flow,
        composite: CompositeIndex,
        results: Vec<MemberResult>,
    ) -> Result<Payload, Unanswered> {
        let joining = match flow.composite(composite) {
            Composite::Graph { join: Some(join), .. } => join(self.context.clone(), branches(flow, composite, results)),
            Composite::ForEach { collect: Some(collect), .. } => collect(self.context.clone(), Items::new(results)),
            Composite::Graph { complete, .. } => {
                let outline = flow.plan().composite(composite).branches();
                let before = outline.iter().flat_map(Branch::after).map(|&before| &**outline[before].name());
                let before: Vec<&str> = before.collect();
                let ends = |name: &str| !before.contains(&name);
                return branches(flow, composite, results).into_output(*complete, ends).map_err(failed);
            }
            other => return Items::new(results).into_output(other.complete()).map_err(failed),
        };
        self.user_code(self.deadline.steps(), joining).await.map_err(|kind| self.classify(kind))
    }

    /// The failure of a choice, of a split, or of a join. It is not a failure of a step, so its step number is 0.
    pub(crate) fn composite_failed(
        &self,
        flow: &Flow,
        composite: CompositeIndex,
        kind: FailureKind,
        input: Payload,
    ) -> Failure {
        let name = match flow.composite(composite) {
            Composite::Choice { .. } => "choice",
            Composite::ForEach { .. } => "for-each",
            _ => "join",
        };
        self.composite_failure(name, kind, input)
    }

    /// The failure of a graph or for-each of whose members too many failed.
    pub(crate) fn members_failed(&self, flow: &Flow, composite: CompositeIndex, results: Vec<MemberResult>) -> Failure {
        let (name, kind) = match flow.composite(composite) {
            Composite::ForEach { .. } => ("for-each", FailureKind::Items(Arc::new(Items::new(results)))),
            _ => ("graph", FailureKind::Branches(Arc::new(branches(flow, composite, results)))),
        };
        self.composite_failure(name, kind, Payload::empty())
    }

    fn composite_failure(&self, name: &'static str, kind: FailureKind, input: Payload) -> Failure {
        let failure = Failure::new(self.context.place(), 0, name.into(), kind, input);
        failure.hiding(self.observers.log().secrets())
    }

    /// Asks the failure handler of the flow, or of a flow inside it, if it has one.
    ///
    /// # Errors
    ///
    /// If the handler met an outage.
    pub(crate) async fn ask_handler_of(
        &self,
        flow: &Flow,
        body: BodyIndex,
        failure: &Failure,
    ) -> Result<Option<Resolution>, Outage> {
        let Some(handler) = flow.handler_of(body) else { return Ok(None) };
        self.observers.emit(&Event::HandlerAsked);
        let resolution = self.ask(handler(self.at_the_end(), failure.clone())).await?;
        self.observers.emit(&Event::HandlerResolved { resolution: resolution.as_ref() });
        Ok(resolution)
    }
}

/// The outputs of the branches before another one: a JSON object by the names of the branches. If one of them is not JSON, the
/// branch after it fails.
pub(crate) fn outputs_before(
    flow: &Flow,
    composite: CompositeIndex,
    before: impl Iterator<Item = (usize, MemberResult)>,
) -> Result<Payload, FailureKind> {
    let outline = flow.plan().composite(composite);
    let named = before.map(|(index, result)| (outline.branches()[index].name().clone(), result));
    Branches::new(named).into_output(Complete::All, |_| true).map_err(|error| FailureKind::Handler(Arc::new(error)))
}

fn branches(flow: &Flow, composite: CompositeIndex, results: Vec<MemberResult>) -> Branches {
    let names = flow.plan().composite(composite).branches().iter().map(|branch| branch.name().clone());
    Branches::new(names.zip(results))
}

fn failed(error: Error) -> Unanswered {
    Unanswered::Failed(FailureKind::Handler(Arc::new(error)))
}
