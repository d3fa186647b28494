//! Performs the effects of one delivery.

use std::sync::Arc;

use faasflow_core::code::Code;
use faasflow_core::envelope::Carried;
use faasflow_core::failure::FailureKind;
use faasflow_core::graph::{CompositeIndex, Follow, Segment};
use faasflow_core::machine::forked::{Answer, Effect, Input, Message, Ran, Reason, Resolved};
use faasflow_core::machine::{Outage, Unfit};
use faasflow_core::state::Scope;
use faasflow_core::{Failure, Payload, Resolution};

use super::within::Limit;
use crate::delivery::remedy::with_help;
use crate::instance::Instance;
use crate::observers::{Activity, Event, Origin};
use crate::retrying_state::RetryingState;
use crate::step::{Execution, SegmentResult, Unanswered};

/// Performs the effects of one delivery.
pub(super) struct Performer<'a> {
    pub(super) instance: &'a Instance,
    pub(super) message: &'a Message,
    pub(super) execution: &'a Execution<'a>,
    pub(super) scope: Scope,
    /// The output of the steps, for the choice or the split that follows them at once.
    output: Payload,
    /// The last failure of this delivery.
    pub(super) failure: Option<Failure>,
    /// What the request ends with, once it was fetched for the report.
    pub(super) ended_with: Option<(Payload, Option<Code>)>,
    /// How many writes in a row had no answer.
    pub(super) unknown: u32,
}

/// Why a delivery goes no further.
pub(super) enum Stop<'a> {
    /// It has to come again.
    Outage(Activity<'a>, Outage),
    /// It can never be executed.
    Unfit(Unfit),
}

/// What a phase begins with.
pub(super) enum Begin {
    /// Its steps run on this payload.
    Steps(Payload),
    /// It fails before its steps.
    Failure(Failure),
    /// A handler inside a branch has replied this for the whole request.
    Reply(Carried),
}

impl<'a> Performer<'a> {
    pub(super) fn new(instance: &'a Instance, message: &'a Message, execution: &'a Execution<'a>) -> Performer<'a> {
        let scope = execution.context.request().scope();
        let output = Payload::empty();
        Performer { instance, message, execution, scope, output, failure: None, ended_with: None, unknown: 0 }
    }

    pub(super) async fn perform(&mut self, effect: Effect) -> Result<Answer, Stop<'a>> {
        Ok(match effect {
            Effect::Read(key) => Answer::Found(self.read(&key).await?),
            Effect::ReadAll(keys) => Answer::FoundAll(self.read_all(&keys).await?),
            Effect::Create(key, value) => self.create(&key, value).await?,
            Effect::Execute(input) => Answer::Ran(self.execute(input).await?),
            Effect::Ask(body) => {
                let failure = self.failure.clone().expect("a handler is asked about a failure of this delivery");
                let context = self.instance.at_the_end(self.execution);
                let asked = self.execution.ask_handler_of(&self.instance.flow, body, context, &failure).await;
                let resolution = asked.map_err(|outage| Stop::Outage(Activity::Handling, outage))?;
                Answer::Resolved(self.resolved(resolution).await?)
            }
            Effect::Choose(composite) => Answer::Chosen(self.choose(composite).await?),
            Effect::Split { composite, fork } => Answer::Split(self.split(composite, &fork).await?),
            Effect::Post(messages) => {
                self.post(messages).await?;
                Answer::Done
            }
            Effect::Report(outcome, ending) => {
                let (payload, code) = self.payload_of(&ending).await?;
                let reported = self.instance.report(self.execution, outcome, &payload).await;
                self.ended_with = Some((payload, code));
                reported.map_err(|outage| Stop::Outage(Activity::Reporting(outcome), outage))?;
                Answer::Done
            }
            Effect::Finally(outcome, on_outage) => {
                let ran = self.instance.finally(self.execution, outcome, on_outage).await;
                ran.map_err(|outage| Stop::Outage(Activity::Finalising, outage))?;
                Answer::Done
            }
            Effect::Forget => {
                self.instance.forget(self.execution).await;
                Answer::Done
            }
            other => unreachable!("the driver does not know the effect {other:?}"),
        })
    }

    /// The state manager. Each operation gets the time that is left for the end of the delivery, which is at least a second
    /// even if a handler has used up all of it.
    pub(super) fn manager(&self) -> Arc<RetryingState> {
        let until = self.execution.deadline.state_in_ending();
        self.instance.retrying_state(until).expect("a flow that needs a state manager does not start without one")
    }

    pub(super) fn outage(&self, outage: Outage) -> Stop<'a> {
        Stop::Outage(Activity::Executing(&self.message.place), outage)
    }

    /// The segment of the place. The machine has checked that it exists.
    pub(super) fn segment(&self) -> &'a Segment {
        self.instance.segment(&self.message.place)
    }

    async fn execute(&mut self, input: Input) -> Result<Ran, Stop<'a>> {
        self.execution.observers.emit(&Event::PhaseBegun { place: &self.message.place });
        let payload = match self.begin(input).await? {
            Begin::Steps(payload) => match Limit::of_token(&self.instance.flow, self.message) {
                Some(limit) if limit.is_over() => {
                    let failure = self.too_late(limit, payload);
                    return Ok(Ran::Failed(self.failed(failure, Origin::Step)));
                }
                _ => payload,
            },
            Begin::Failure(failure) => return Ok(Ran::Failed(self.failed(failure, Origin::Envelope))),
            Begin::Reply(carried) => return Ok(Ran::Replied(carried)),
        };
        let segment = self.segment();
        match self.execution.run(&self.instance.flow, segment, payload).await {
            SegmentResult::Done(payload) => {
                // The items are written by themselves, so the list as a whole need not be.
                let is_split = matches!(segment.follow(), Follow::Fork(composite) if self.is_for_each(*composite));
                let carried = match is_split {
                    true => Ok(Payload::empty().into()),
                    false => self.carry(&payload).await?,
                };
                if is_split || matches!(segment.follow(), Follow::Choose(_)) {
                    self.output = payload;
                }
                match carried {
                    Ok(carried) => Ok(Ran::Done(carried)),
                    Err(kind) => Ok(Ran::Failed(self.not_carried(kind))),
                }
            }
            SegmentResult::Failed(failure) => Ok(Ran::Failed(self.failed(failure, Origin::Step))),
            SegmentResult::Replied(failure, payload) => {
                self.execution.observers.emit(&Event::Failed { failure: &failure, origin: Origin::Reply });
                self.failure = Some(failure);
                match self.carry(&payload).await? {
                    Ok(carried) => Ok(Ran::Replied(carried)),
                    Err(kind) => Ok(Ran::Failed(self.not_carried(kind))),
                }
            }
            SegmentResult::Outage(outage) => Err(self.outage(outage)),
        }
    }

    fn is_for_each(&self, composite: CompositeIndex) -> bool {
        matches!(self.instance.flow.composite(composite), faasflow_core::Composite::ForEach { .. })
    }

    /// Keeps a failure for the handlers that are asked about it, and returns the reason that is recorded.
    pub(super) fn failed(&mut self, failure: Failure, origin: Origin) -> Reason {
        self.execution.observers.emit(&Event::Failed { failure: &failure, origin });
        let reason = Reason {
            step: failure.step_number(),
            name: failure.step().to_owned(),
            text: with_help(failure.reason(), failure.kind().help()),
            code: failure.code().to_string(),
        };
        self.failure = Some(failure);
        reason
    }

    /// The failure of a phase that begins when the time of its branch or item is over, at its first step.
    fn too_late(&self, limit: Limit, payload: Payload) -> Failure {
        let (number, name) = match self.segment().steps().next() {
            Some(step) => (step.number(), self.instance.flow.step(step).name().clone()),
            None => (0, "".into()),
        };
        Failure::new(&self.message.place, number, name, FailureKind::Timeout(limit.allowed), payload)
    }

    /// The failure of a phase whose output cannot be stored.
    fn not_carried(&mut self, kind: FailureKind) -> Reason {
        let last = self.segment().steps().last().map_or(0, faasflow_core::graph::StepIndex::number);
        let failure = Failure::new(&self.message.place, last, "storing the output".into(), kind, Payload::empty());
        self.failed(failure, Origin::Envelope)
    }

    async fn resolved(&mut self, resolution: Option<Resolution>) -> Result<Resolved, Stop<'a>> {
        let (payload, resolved): (Payload, fn(_) -> Resolved) = match resolution {
            Some(Resolution::Recovered(payload)) => (payload, Resolved::Recovered),
            Some(Resolution::Replied(payload)) => (payload, Resolved::Replied),
            _ => return Ok(Resolved::Declined),
        };
        match self.carry(&payload).await? {
            Ok(carried) => Ok(resolved(carried)),
            Err(kind) => {
                self.execution.observers.emit(&Event::HandlerFailed { kind: &kind });
                Ok(Resolved::Declined)
            }
        }
    }

    async fn choose(&mut self, composite: CompositeIndex) -> Result<Result<usize, Reason>, Stop<'a>> {
        let input = std::mem::replace(&mut self.output, Payload::empty());
        match self.execution.choose(&self.instance.flow, composite, &input).await {
            Ok(branch) => Ok(Ok(branch)),
            Err(Unanswered::Outage(outage)) => Err(self.outage(outage)),
            Err(Unanswered::Failed(kind)) => Ok(Err(self.composite_failed(composite, kind, input))),
        }
    }

    pub(super) fn take_output(&mut self) -> Payload {
        std::mem::replace(&mut self.output, Payload::empty())
    }

    pub(super) fn composite_failed(&mut self, composite: CompositeIndex, kind: FailureKind, input: Payload) -> Reason {
        let failure = self.execution.composite_failed(&self.instance.flow, composite, kind, input);
        self.failed(failure, Origin::Envelope)
    }
}
