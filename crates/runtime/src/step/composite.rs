//! Executes graphs, choices, for-eaches and sub-flows within a phase.

use faasflow_core::graph::{BodyIndex, CompositeIndex, Node};
use faasflow_core::handler::BoxFuture;
use faasflow_core::{Composite, Failure, Flow, Payload, Resolution};

use super::execute::{Execution, SegmentResult};
use super::members::{Branches, Items};
use super::unanswered::Unanswered;
use crate::deadline::CutOff;
use crate::observers::Event;

impl Execution<'_> {
    /// Executes a composite whose calls are all synchronous, and returns its output. It is boxed, because composites may be
    /// inside each other.
    pub(super) fn composite<'b>(
        &'b self,
        flow: &'b Flow,
        index: CompositeIndex,
        input: Payload,
        cut_off: &'b mut CutOff,
    ) -> BoxFuture<'b, Result<Payload, SegmentResult>> {
        Box::pin(async move {
            let outline = flow.plan().composite(index);
            let kept = self.failures_handled.then(|| input.clone());
            let failed = match flow.composite(index) {
                Composite::Flow => return self.body(flow, outline.branches()[0].body(), input, cut_off).await,
                Composite::Choice { .. } => match self.choose(flow, index, &input).await {
                    Ok(branch) => {
                        let branch = &outline.branches()[branch];
                        self.observers.emit(&Event::Chosen { branch: branch.name() });
                        return self.body(flow, branch.body(), input, cut_off).await;
                    }
                    Err(failed) => failed,
                },
                Composite::ForEach { at_most, within, .. } => match self.split(flow, index, &input).await {
                    Ok(items) => {
                        drop(input);
                        let labels = self.labels(flow, index, &items);
                        let items = Items::new(outline.branches()[0].body(), items, labels, *within);
                        return self.members(flow, index, items, *at_most as usize, kept).await;
                    }
                    Err(failed) => failed,
                },
                Composite::Graph { within, .. } => {
                    let branches = Branches::new(flow, index, input, within);
                    return self.members(flow, index, branches, usize::MAX, kept).await;
                }
                _ => unreachable!("there are no other composites"),
            };
            Err(self.unjoined(flow, index, failed, kept))
        })
    }

    /// Executes a flow inside the flow, and asks its failure handler if it fails.
    pub(super) async fn body(
        &self,
        flow: &Flow,
        body: BodyIndex,
        input: Payload,
        cut_off: &mut CutOff,
    ) -> Result<Payload, SegmentResult> {
        match self.nodes(flow, flow.plan().body(body).nodes(), input, cut_off).await {
            Err(SegmentResult::Failed(failure)) => self.settled(flow, body, failure).await,
            ended => ended,
        }
    }

    /// What becomes of a flow inside the flow that has failed.
    pub(super) async fn settled(
        &self,
        flow: &Flow,
        body: BodyIndex,
        failure: Failure,
    ) -> Result<Payload, SegmentResult> {
        match flow.handler_of(body) {
            Some(_) => self.settle(flow, body, failure).await,
            None => Err(SegmentResult::Failed(failure)),
        }
    }

    /// Executes steps and composites. Each receives the output of the one before.
    pub(super) async fn nodes(
        &self,
        flow: &Flow,
        nodes: &[Node],
        mut payload: Payload,
        cut_off: &mut CutOff,
    ) -> Result<Payload, SegmentResult> {
        self.hide_secrets(flow, &payload);
        for node in nodes {
            payload = match *node {
                Node::Step(index) => self.step(flow.step(index), index, payload, cut_off).await?,
                Node::Composite(index) => self.composite(flow, index, payload, cut_off).await?,
                _ => unreachable!("there are no other nodes"),
            };
            self.hide_secrets(flow, &payload);
        }
        Ok(payload)
    }

    /// Asks the failure handler of a flow inside the flow.
    async fn settle(&self, flow: &Flow, body: BodyIndex, failure: Failure) -> Result<Payload, SegmentResult> {
        self.observers.emit(&Event::BranchFailed { failure: &failure });
        match self.ask_handler_of(flow, body, &failure).await.map_err(SegmentResult::Outage)? {
            Some(Resolution::Recovered(output)) => Ok(output),
            Some(Resolution::Replied(output)) => Err(SegmentResult::Replied(failure, output)),
            _ => Err(SegmentResult::Failed(failure)),
        }
    }

    /// How a composite ends whose choice, split or join has no result.
    pub(super) fn unjoined(
        &self,
        flow: &Flow,
        index: CompositeIndex,
        why: Unanswered,
        input: Option<Payload>,
    ) -> SegmentResult {
        match why {
            Unanswered::Outage(outage) => SegmentResult::Outage(outage),
            Unanswered::Failed(kind) => {
                let input = input.unwrap_or_else(Payload::empty);
                self.failed_with(self.composite_failed(flow, index, kind, input))
            }
        }
    }

    pub(super) fn failed_with(&self, failure: Failure) -> SegmentResult {
        self.observers.emit(&Event::CompositeFailed { failure: &failure });
        SegmentResult::Failed(failure)
    }
}
