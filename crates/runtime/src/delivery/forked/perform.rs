//! Performs the effects of one delivery.

use std::sync::Arc;

use faasflow_core::code::Code;
use faasflow_core::envelope::Carried;
use faasflow_core::failure::FailureKind;
use faasflow_core::graph::{CompositeIndex, Follow, Segment};
use faasflow_core::machine::forked::{Answer, Effect, Input, Message, Ran, Reason, Resolved, Times, posted_key};
use faasflow_core::machine::{Outage, Unfit};
use faasflow_core::state::Scope;
use faasflow_core::{Failure, Payload, Resolution};
use faasflow_http::now_ms;

use super::within::Limit;
use crate::delivery::drive::segment;
use crate::delivery::remedy::with_help;
use crate::instance::Instance;
use crate::joins::Turn;
use crate::observers::{Activity, Event, Origin};
use crate::records::Patience;
use crate::retrying_state::RetryingState;
use crate::step::{Execution, SegmentResult, Unanswered};

/// Performs the effects of one delivery.
pub(super) struct Performer<'a> {
    pub(super) instance: &'a Instance,
    pub(super) message: &'a Message,
    pub(super) execution: &'a Execution<'a>,
    pub(super) scope: Scope,
    /// When the delivery began, in milliseconds since the Unix epoch.
    pub(super) began_ms: u64,
    /// When its envelope was put into the queue; 0 if it came from none.
    pub(super) queued_ms: u64,
    /// The output of the steps, for the choice or the split that follows them at once.
    output: Payload,
    /// The last failure of this delivery.
    pub(super) failure: Option<Failure>,
    /// What the request ends with, once it was fetched for the report.
    pub(super) ended_with: Option<(Payload, Option<Code>)>,
    /// How many writes in a row had no answer.
    pub(super) unknown: u32,
    /// The turn to enter the join, from the moment when the steps have ended.
    pub(super) turn: Option<Turn>,
    /// Whether what follows the phase has been posted.
    pub(super) has_posted: bool,
    /// The caller that waits for the end of the request, if one does.
    pub(super) caller_waits: Option<&'a Patience>,
    /// The next phase, if it is executed in the same invocation.
    pub(super) onward: Option<Message>,
    /// Whether this delivery has done anything but read.
    pub(super) acted: bool,
    /// Whether this delivery has created a value.
    pub(super) created: bool,
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
    /// A handler inside a branch has replied this for the whole request, to a failure with this reason, if it is known.
    Reply(Carried, Option<Reason>),
}

impl<'a> Performer<'a> {
    pub(super) fn new(
        instance: &'a Instance,
        message: &'a Message,
        execution: &'a Execution<'a>,
        caller_waits: Option<&'a Patience>,
    ) -> Performer<'a> {
        let scope = execution.context.request().scope();
        let output = Payload::empty();
        Performer {
            instance,
            message,
            execution,
            scope,
            began_ms: now_ms(),
            queued_ms: 0,
            output,
            failure: None,
            ended_with: None,
            unknown: 0,
            turn: None,
            has_posted: false,
            caller_waits,
            onward: None,
            acted: false,
            created: false,
        }
    }

    pub(super) async fn perform(&mut self, effect: Effect) -> Result<Answer, Stop<'a>> {
        // Whether something is created depends on what is there.
        self.acted |= !matches!(
            effect,
            Effect::Read(_)
                | Effect::ReadAll(_)
                | Effect::CountEntries(_)
                | Effect::Create(..)
                | Effect::Enter(_)
                | Effect::Forget
        );
        Ok(match effect {
            Effect::Read(key) => Answer::Found(self.read(&key).await?),
            Effect::ReadAll(keys) => Answer::FoundAll(self.look(&keys).await?),
            // What is executed here next has not been posted.
            Effect::Create(key, value) if self.onward.is_some() && key == posted_key(&self.message.place) => {
                Answer::Stands(value)
            }
            Effect::Create(key, value) if self.may_write_later(&key) => self.write_later(key, value),
            Effect::Create(key, value) if self.has_unwritten() => self.create_last(key, value).await?,
            Effect::Create(key, value) => self.create(&key, value).await?,
            Effect::CountEntries(fork) => {
                let join = self.instance.joins.of(&self.scope.request, &fork);
                self.turn = join.take_turn().await;
                Answer::Entries(self.turn.as_ref().and_then(Turn::entries))
            }
            Effect::Enter(entrant) => self.enter(*entrant).await?,
            Effect::Execute(input) => self.execute_timed(input).await?,
            Effect::Ask(body) => {
                let failure = self.failure.clone().expect("a handler is asked about a failure of this delivery");
                let asked = self.execution.ask_handler_of(&self.instance.flow, body, &failure).await;
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
                self.report(outcome, &ending).await?;
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
            Effect::Retire(outcome) => {
                self.retire(outcome).await;
                Answer::Done
            }
            other => unreachable!("the driver does not know the effect {other:?}"),
        })
    }

    /// The state manager. Each operation gets the time that is left for the end of the delivery, which is at least a second
    /// even if a handler has used up all of it.
    pub(super) fn manager(&self) -> RetryingState {
        let until = self.execution.deadline.state_in_ending();
        let manager = self.instance.store(until);
        let manager = manager.expect("a flow that needs a state manager does not start without one");
        manager.noting(self.execution.outage.clone())
    }

    pub(super) fn outage(&self, outage: Outage) -> Stop<'a> {
        Stop::Outage(Activity::Executing(&self.message.place), outage)
    }

    /// The deployed segment of the place. The machine has checked that it exists.
    pub(super) fn segment(&self) -> &'a Segment {
        segment(self.execution.route, &self.message.place)
    }

    async fn execute_timed(&mut self, input: Input) -> Result<Answer, Stop<'a>> {
        let began_ms = now_ms();
        let ran = self.execute(input).await?;
        let times = match self.message.remembered {
            true => {
                let steps = Arc::new(self.execution.observers.take_steps());
                Times { queued_ms: self.queued_ms, began_ms, done_ms: now_ms(), steps }
            }
            false => Times::default(),
        };
        if let Ran::Failed(_) | Ran::Replied(..) = ran {
            self.keep_answer().await;
        }
        Ok(Answer::Ran(ran, times))
    }

    async fn execute(&mut self, input: Input) -> Result<Ran, Stop<'a>> {
        self.execution.observers.emit(&Event::PhaseBegun { place: &self.message.place });
        let payload = match self.begin(input).await? {
            Begin::Steps(payload) => match Limit::of_token(self.execution.route, self.message) {
                Some(limit) if limit.is_over() => {
                    let failure = self.too_late(limit, payload);
                    return Ok(Ran::Failed(self.failed(failure, Origin::Step)));
                }
                _ => payload,
            },
            Begin::Failure(failure) => return Ok(Ran::Failed(self.failed(failure, Origin::Envelope))),
            Begin::Reply(carried, reason) => return Ok(Ran::Replied(carried, reason)),
        };
        let segment = self.segment();
        match self.writing_meanwhile(self.execution.run(&self.instance.flow, segment, payload)).await? {
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
                let reason = self.failed(failure, Origin::Reply);
                match self.carry(&payload).await? {
                    Ok(carried) => Ok(Ran::Replied(carried, Some(reason))),
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
