//! Executes the branches of a graph, or the items of a for-each, side by side.

use std::time::Duration;

use faasflow_core::failure::FailureKind;
use faasflow_core::graph::{BodyIndex, CompositeIndex};
use faasflow_core::machine::Outage;
use faasflow_core::{Failure, Flow, MemberOutcome, MemberResult, Payload};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::branch::Branch;
use super::execute::{Execution, SegmentResult};
use super::join::outputs_before;
use super::tally::{Tally, Verdict};
use crate::deadline::CutOff;
use crate::first_outage::FirstOutage;
use crate::observers::{Event, Member, MemberName, Observers};

/// A branch or an item that can begin.
pub(super) struct Ready {
    index: usize,
    member: Member,
    /// Why it has no input, if it has none.
    input: Result<Payload, FailureKind>,
    within: Option<Duration>,
}

/// The members of a graph or for-each that have not begun.
pub(super) trait Members {
    fn count(&self) -> usize;

    /// The next member that can begin. If a member cannot begin any more, its result is set.
    fn next(&mut self, results: &mut [Option<MemberResult>], tally: &mut Tally) -> Option<Ready>;

    /// A member by its index.
    fn member(&self, index: usize) -> Member;

    /// Whether a member has begun.
    fn has_begun(&self, index: usize) -> bool;
}

/// How a member ended.
enum End {
    Ended(MemberResult),
    Outage(Outage),
    /// A failure handler inside replied for the whole request.
    Replied(Failure, Payload),
}

impl Execution<'_> {
    /// Executes members side by side, at most `at_most` at once, and joins what came of them. What is still running when that
    /// is decided is cancelled.
    pub(super) async fn members(
        &self,
        flow: &Flow,
        composite: CompositeIndex,
        mut members: impl Members,
        at_most: usize,
        input: Option<Payload>,
    ) -> Result<Payload, SegmentResult> {
        let count = members.count();
        let total = u32::try_from(count).expect("`max_items` limits the members");
        let policy = flow.composite(composite).complete().policy(total);
        let mut tally = Tally::new(policy, total);
        let mut results: Vec<Option<MemberResult>> = vec![None; count];
        let mut running = FuturesUnordered::new();
        let mut outage = None;
        let verdict = loop {
            while tally.verdict() == Verdict::Undecided && running.len() < at_most {
                let Some(ready) = members.next(&mut results, &mut tally) else { break };
                running.push(Box::pin(self.run_member(flow, composite, ready)));
            }
            match tally.verdict() {
                Verdict::Undecided => {}
                decided => break decided,
            }
            match running.next().await {
                Some((index, End::Ended(result))) => {
                    tally.ended(result.outcome());
                    results[index] = Some(result);
                }
                Some((_, End::Outage(met))) => {
                    tally.interrupted();
                    outage.get_or_insert(met);
                }
                Some((_, End::Replied(failure, output))) => return Err(SegmentResult::Replied(failure, output)),
                // Those that have not begun come after a branch that met an outage.
                None => break Verdict::Interrupted,
            }
        };
        // This cancels the calls of the members that are still running.
        drop(running);
        if let (Verdict::Interrupted, Some(outage)) = (verdict, outage) {
            return Err(SegmentResult::Outage(outage));
        }
        let results = results.into_iter().enumerate();
        let results: Vec<MemberResult> = results
            .map(|(index, result)| match result {
                Some(MemberResult::Other(MemberOutcome::NotBegun)) | None if !members.has_begun(index) => {
                    self.observers.emit(&Event::MemberNotBegun { member: &members.member(index) });
                    MemberResult::Other(MemberOutcome::NotBegun)
                }
                None => MemberResult::Other(MemberOutcome::Dropped),
                Some(result) => result,
            })
            .collect();
        if verdict == Verdict::Failed {
            return Err(self.failed_with(self.members_failed(flow, composite, results)));
        }
        let joined = self.join(flow, composite, results).await;
        joined.map_err(|why| self.unjoined(flow, composite, why, input))
    }

    async fn run_member(&self, flow: &Flow, composite: CompositeIndex, ready: Ready) -> (usize, End) {
        let Ready { index, member, input, within } = ready;
        let items = self.branch.map(|outer| outer.items.clone()).unwrap_or_default();
        let items = if matches!(member.name, MemberName::Item(_)) { items.item(index) } else { items };
        let branch = Branch { items };
        let mut run = MemberRun::begin(self.observers.in_member(&member), member);
        let deadline = self.deadline.for_member(within);
        // An outage before a member began, or in another member, takes nothing of a limit of its own.
        let has_own_limit = deadline.steps() < self.deadline.steps();
        let outage = if has_own_limit { FirstOutage::default() } else { self.outage.clone() };
        let execution = Execution {
            caller: self.caller,
            context: self.context,
            phase: self.phase,
            deadline: &deadline,
            observers: &run.observers,
            heartbeat: self.heartbeat,
            state: self.state,
            route: self.route,
            stoppable: self.stoppable,
            failures_handled: self.failures_handled,
            max_items: self.max_items,
            branch: Some(&branch),
            outage,
        };
        let mut cut_off = CutOff::at(deadline.steps());
        let ended = match input {
            Ok(input) => execution.body(flow, run.member.body, input, &mut cut_off).await,
            Err(kind) => {
                let failure = execution.composite_failed(flow, composite, kind, Payload::empty());
                run.observers.emit(&Event::CompositeFailed { failure: &failure });
                execution.settled(flow, run.member.body, failure).await
            }
        };
        if let Some(outage) = execution.outage.get() {
            self.outage.note(|| outage.clone());
        }
        (index, run.end(ended))
    }
}

/// Emits the end of a member, once. If it is dropped before the member has ended, the member was cancelled.
struct MemberRun<'a> {
    observers: Observers<'a>,
    member: Member,
    begun: Instant,
    ended: bool,
}

impl<'a> MemberRun<'a> {
    fn begin(observers: Observers<'a>, member: Member) -> MemberRun<'a> {
        MemberRun { observers, member, begun: Instant::now(), ended: false }
    }

    fn end(&mut self, ended: Result<Payload, SegmentResult>) -> End {
        match ended {
            Ok(output) | Err(SegmentResult::Done(output)) => {
                self.emit(MemberOutcome::Done, None);
                End::Ended(MemberResult::Done(output))
            }
            Err(SegmentResult::Failed(failure)) => {
                self.emit(MemberOutcome::Failed, Some(&failure));
                End::Ended(MemberResult::Failed(failure.reason()))
            }
            Err(SegmentResult::Replied(failure, output)) => {
                self.emit(MemberOutcome::Failed, Some(&failure));
                End::Replied(failure, output)
            }
            // It has not ended: it will be executed again.
            Err(SegmentResult::Outage(outage)) => End::Outage(outage),
        }
    }

    fn emit(&mut self, outcome: MemberOutcome, failure: Option<&Failure>) {
        self.ended = true;
        self.observers.member_ended(&self.member, outcome, self.begun.elapsed(), failure);
    }
}

impl Drop for MemberRun<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.emit(MemberOutcome::Dropped, None);
        }
    }
}

/// The branches of a graph.
pub(super) struct Branches<'a> {
    flow: &'a Flow,
    composite: CompositeIndex,
    input: Payload,
    within: &'a [Option<Duration>],
    begun: Vec<bool>,
    /// All branches before this index have begun, or will not begin.
    settled: usize,
}

impl<'a> Branches<'a> {
    pub(super) fn new(
        flow: &'a Flow,
        composite: CompositeIndex,
        input: Payload,
        within: &'a [Option<Duration>],
    ) -> Branches<'a> {
        let begun = vec![false; flow.plan().composite(composite).branches().len()];
        Branches { flow, composite, input, within, begun, settled: 0 }
    }
}

impl Members for Branches<'_> {
    fn count(&self) -> usize {
        self.begun.len()
    }

    fn next(&mut self, results: &mut [Option<MemberResult>], tally: &mut Tally) -> Option<Ready> {
        let outline = self.flow.plan().composite(self.composite);
        while self.settled < self.begun.len() && (self.begun[self.settled] || results[self.settled].is_some()) {
            self.settled += 1;
        }
        loop {
            let ready = |(index, branch): &(usize, &faasflow_core::graph::Branch)| {
                !self.begun[*index]
                    && results[*index].is_none()
                    && branch.after().iter().all(|&before| results[before].is_some())
            };
            let (index, branch) = outline.branches().iter().enumerate().skip(self.settled).find(ready)?;
            let before = || branch.after().iter().filter_map(|&before| Some((before, results[before].as_ref()?)));
            if before().any(|(_, result)| result.outcome() != MemberOutcome::Done) {
                results[index] = Some(MemberResult::Other(MemberOutcome::NotBegun));
                tally.ended(MemberOutcome::NotBegun);
                continue;
            }
            let input = match branch.after() {
                [] => Ok(self.input.clone()),
                _ => {
                    let outputs = before().map(|(index, result)| (index, result.clone()));
                    outputs_before(self.flow, self.composite, outputs)
                }
            };
            self.begun[index] = true;
            return Some(Ready { index, member: self.member(index), input, within: self.within[index] });
        }
    }

    fn member(&self, index: usize) -> Member {
        let branch = &self.flow.plan().composite(self.composite).branches()[index];
        Member { body: branch.body(), name: MemberName::Branch(branch.name().clone()), label: None }
    }

    fn has_begun(&self, index: usize) -> bool {
        self.begun[index]
    }
}

/// The items of a for-each.
pub(super) struct Items {
    body: BodyIndex,
    count: usize,
    items: std::iter::Enumerate<std::vec::IntoIter<Payload>>,
    /// Empty if the items have no labels.
    labels: Vec<Option<String>>,
    within: Option<Duration>,
}

impl Items {
    pub(super) fn new(
        body: BodyIndex,
        items: Vec<Payload>,
        labels: Vec<Option<String>>,
        within: Option<Duration>,
    ) -> Items {
        Items { body, count: items.len(), items: items.into_iter().enumerate(), labels, within }
    }
}

impl Members for Items {
    fn count(&self) -> usize {
        self.count
    }

    fn next(&mut self, _: &mut [Option<MemberResult>], _: &mut Tally) -> Option<Ready> {
        let (index, input) = self.items.next()?;
        Some(Ready { index, member: self.member(index), input: Ok(input), within: self.within })
    }

    fn member(&self, index: usize) -> Member {
        let label = self.labels.get(index).cloned().flatten();
        Member { body: self.body, name: MemberName::Item(index + 1), label }
    }

    fn has_begun(&self, index: usize) -> bool {
        index < self.count - self.items.len()
    }
}
