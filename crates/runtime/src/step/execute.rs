//! Executes the steps of one phase.

use std::sync::Arc;

use faasflow_core::failure::FailureKind;
use faasflow_core::graph::{Segment, StepIndex};
use faasflow_core::handler::BoxFuture;
use faasflow_core::machine::{Outage, Route};
use faasflow_core::state::StateManager;
use faasflow_core::{
    Action, CallResponse, Context, Error, Failure, Flow, Payload, RequestOptions, Resolution, Result, Step,
};
use tokio::time::Instant;

use super::branch::Branch;
use super::caller::{Caller, StepRef};
use super::outgoing::{Outgoing, PhaseHeaders, Time};
use super::panics::caught_at_once;
use super::report::ReportContext;
use super::stoppable::Stoppable;
use super::unanswered::Unanswered;
use crate::deadline::{CutOff, Deadline};
use crate::first_outage::FirstOutage;
use crate::heartbeat::Heartbeat;
use crate::observers::{Event, Observers, Scope, StepHandler, StepRun};
use crate::retrying_state::RetryingState;

/// How the steps of a segment ended.
#[derive(Debug)]
pub(crate) enum SegmentResult {
    /// All steps succeeded.
    Done(Payload),
    /// One step failed.
    Failed(Failure),
    /// One step failed, and its own failure handler replied.
    Replied(Failure, Payload),
    /// One step cannot continue, for a temporary reason.
    Outage(Outage),
}

/// The context in which the steps of one phase are executed.
pub(crate) struct Execution<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) context: &'a Context,
    pub(crate) phase: &'a PhaseHeaders,
    pub(crate) deadline: &'a Deadline,
    pub(crate) observers: &'a Observers<'a>,
    pub(crate) heartbeat: &'a Heartbeat,
    /// The flow's state manager, if it has one.
    pub(crate) state: Option<&'a Arc<dyn StateManager>>,
    /// How the request goes through the flow.
    pub(crate) route: Route<'a>,
    /// Whether the request is remembered, so that others may stop it.
    pub(crate) stoppable: bool,
    /// Whether the flow has a failure handler, which may need the input of a failed step.
    pub(crate) failures_handled: bool,
    /// The setting `max_items`.
    pub(crate) max_items: usize,
    /// The branch or item that is executed. `None` for the phase itself.
    pub(crate) branch: Option<&'a Branch>,
    /// The first outage that the phase met.
    pub(crate) outage: FirstOutage,
}

impl Execution<'_> {
    /// Executes the steps of a segment, and the graphs, choices, for-eaches and sub-flows among them. Each receives the output
    /// of the one before.
    pub(crate) async fn run(&self, flow: &Flow, segment: &Segment, payload: Payload) -> SegmentResult {
        let mut cut_off = CutOff::at(self.deadline.steps());
        let nodes = &flow.plan().body(segment.body()).nodes()[segment.nodes()];
        match self.nodes(flow, nodes, payload, &mut cut_off).await {
            Ok(payload) => SegmentResult::Done(payload),
            Err(ended) => ended,
        }
    }

    pub(super) async fn step(
        &self,
        step: &Step,
        index: StepIndex,
        payload: Payload,
        cut_off: &mut CutOff,
    ) -> Result<Payload, SegmentResult> {
        let mut scope = self.observers.step(step, index);
        let begun = Instant::now();
        let bytes_in = payload.len();
        let handler = if has_failure_handler(step) { StepHandler::Asked } else { StepHandler::None };
        // If nobody will need the payload, it is freed once it is sent, and not held until the answer has arrived.
        let kept = (self.failures_handled || handler == StepHandler::Asked).then(|| payload.clone());
        let output = self.output(step, index, payload, &mut scope, cut_off).await;
        let at = StepRun { step, index, took: begun.elapsed(), bytes_in };
        match output {
            Ok(output) => {
                scope.emit(&Event::StepDone { at, output: &output });
                Ok(output)
            }
            Err(Unanswered::Outage(outage)) => {
                scope.emit(&Event::StepInterrupted { at, outage: &outage });
                Err(SegmentResult::Outage(outage))
            }
            Err(Unanswered::Failed(kind)) => {
                let name = step.name().clone();
                let payload = kept.unwrap_or_else(Payload::empty);
                let failure = Failure::new(self.context.place(), index.number(), name, kind, payload);
                let failure = failure.hiding(self.observers.log().secrets());
                scope.emit(&Event::StepFailed { at, failure: &failure, handler });
                let resolved = self.resolve(step, failure.clone()).await;
                scope.emit(&Event::StepResolved { at, failure: &failure, output: resolved.as_ref().ok() });
                resolved
            }
        }
    }

    /// Computes the output of a step.
    async fn output(
        &self,
        step: &Step,
        index: StepIndex,
        payload: Payload,
        scope: &mut Scope<'_>,
        cut_off: &mut CutOff,
    ) -> Result<Payload, Unanswered> {
        match step.action() {
            Action::Modify(modifier) => {
                let running = modifier.run(self.context.clone(), payload);
                self.user_code(self.deadline.steps(), running).await.map_err(|kind| self.classify(kind))
            }
            Action::Call(call) => {
                let extracted = self.extracted(call.options(), scope).await?;
                let options = extracted.as_deref().unwrap_or(call.options());
                let made = caught_at_once(|| self.caller.call(call, options, &self.reference(step, index), payload));
                let answer = self.send(made, scope, cut_off).await;
                self.answer(answer, call.options()).await
            }
            Action::Callback(callback) => {
                // The step's input is also its output, unless the flow reads the answer.
                let goes_on = callback.options().on_response().is_none().then(|| payload.clone());
                let extracted = self.extracted(callback.options(), scope).await?;
                let options = extracted.as_deref().unwrap_or(callback.options());
                let made =
                    caught_at_once(|| self.caller.callback(callback, options, &self.reference(step, index), payload));
                let answer = self.send(made, scope, cut_off).await;
                let answer = self.answer(answer, callback.options()).await;
                match goes_on {
                    Some(payload) => answer.map(|_| payload),
                    None => answer,
                }
            }
            action => Err(Unanswered::Failed(FailureKind::Handler(Arc::new(Error::msg(format!(
                "this version cannot execute {}",
                std::any::type_name_of_val(action)
            )))))),
        }
    }

    fn reference<'a>(&'a self, step: &'a Step, index: StepIndex) -> StepRef<'a> {
        let items = self.branch.map_or("", |branch| branch.items.as_str());
        let known_as = self.route.earlier().and_then(|earlier| earlier.step_number(index));
        StepRef { context: self.context, phase: self.phase, index, known_as, items, name: step.name() }
    }

    /// The options of a step with the values of its extractors. `None` if it has no extractors.
    async fn extracted(
        &self,
        options: &RequestOptions,
        scope: &mut Scope<'_>,
    ) -> Result<Option<Box<RequestOptions>>, Unanswered> {
        if !options.extracts() {
            return Ok(None);
        }
        let extracting = Box::pin(options.extracted(self.context));
        let extracted = self.handled(self.deadline.steps(), extracting).await;
        extracted.map_err(|kind| {
            scope.emit(&Event::Answered { answer: None });
            self.classify(kind)
        })
    }

    /// Sends the request of a step, if it could be built.
    async fn send(
        &self,
        made: Result<Outgoing<'_>, FailureKind>,
        scope: &mut Scope<'_>,
        cut_off: &mut CutOff,
    ) -> Result<CallResponse, Unanswered> {
        let answer = match made {
            Ok(mut outgoing) => {
                let manager = self.state.filter(|_| self.stoppable);
                let stoppable = manager.map(|manager| Stoppable { manager, context: self.context });
                let time = Time { deadline: self.deadline, cut_off, outage: &self.outage, stoppable };
                self.caller.send(&mut outgoing, scope, time).await
            }
            Err(kind) => Err(Unanswered::Failed(kind)),
        };
        scope.emit(&Event::Answered { answer: answer.as_ref().ok() });
        answer
    }

    /// Turns a response into the output of the step, either with the flow's own code or by its status.
    async fn answer(
        &self,
        answer: Result<CallResponse, Unanswered>,
        options: &RequestOptions,
    ) -> Result<Payload, Unanswered> {
        let response = answer?;
        match options.on_response() {
            Some(read) => {
                let reading = read(self.context.clone(), response);
                self.user_code(self.deadline.steps(), reading).await.map_err(|kind| self.classify(kind))
            }
            None if response.status().is_success() => Ok(response.into_payload()),
            None => Err(Unanswered::Failed(FailureKind::Response(Box::new(response)))),
        }
    }

    /// Asks the step's own failure handler.
    async fn resolve(&self, step: &Step, failure: Failure) -> Result<Payload, SegmentResult> {
        let Some(handler) = options(step).and_then(RequestOptions::on_failure) else {
            return Err(SegmentResult::Failed(failure));
        };
        match self.ask(handler(self.at_the_end(), failure.clone())).await.map_err(SegmentResult::Outage)? {
            Some(Resolution::Recovered(payload)) => Ok(payload),
            Some(Resolution::Replied(payload)) => Err(SegmentResult::Replied(failure, payload)),
            _ => Err(SegmentResult::Failed(failure)),
        }
    }

    /// The context for failure handlers and the finaliser. They have more time than the steps, whose time may be over, and so
    /// has the state manager for them.
    pub(crate) fn at_the_end(&self) -> Context {
        let context = self.context.clone();
        match self.state {
            Some(manager) => {
                let until = self.deadline.state_in_ending();
                let manager = RetryingState::new(manager.clone(), until).noting(self.outage.clone());
                context.through(Arc::new(manager))
            }
            None => context,
        }
    }

    /// The parts of this execution that a report needs.
    pub(crate) fn reporting(&self) -> ReportContext<'_> {
        let Execution { context, phase, deadline, observers, ref outage, .. } = *self;
        ReportContext { context, phase, deadline, observers, outage }
    }

    /// Distinguishes a failure of user code from an outage that the code met, or that left it too little time.
    pub(crate) fn classify(&self, kind: FailureKind) -> Unanswered {
        match (&kind, self.outage.get()) {
            (FailureKind::Handler(error), _) if error.is_temporary() => {
                Unanswered::Outage(Outage::state_unreachable(format!("{error:#}")))
            }
            (kind, Some(outage)) if self.deadline.is_exceeded_by(kind) => Unanswered::Outage(outage.clone()),
            _ => Unanswered::Failed(kind),
        }
    }

    /// Runs a failure handler. If the handler itself fails, the failure stands and the log says so.
    ///
    /// # Errors
    ///
    /// If the handler met an outage. It might decide differently when the outage is over.
    pub(crate) async fn ask(
        &self,
        handling: BoxFuture<'static, Result<Resolution>>,
    ) -> Result<Option<Resolution>, Outage> {
        let kind = match self.user_code(self.deadline.ending(), handling).await {
            Ok(resolution) => return Ok(Some(resolution)),
            Err(kind) => match self.classify(kind) {
                Unanswered::Outage(outage) => return Err(outage),
                Unanswered::Failed(kind) => kind,
            },
        };
        self.observers.emit(&Event::HandlerFailed { kind: &kind });
        Ok(None)
    }
}

/// The options of a step that sends requests.
fn options(step: &Step) -> Option<&RequestOptions> {
    match step.action() {
        Action::Call(call) => Some(call.options()),
        Action::Callback(callback) => Some(callback.options()),
        _ => None,
    }
}

fn has_failure_handler(step: &Step) -> bool {
    options(step).is_some_and(|options| options.on_failure().is_some())
}
