//! Carries out the effects that the machine decides on, and reports the results back to it. No other code does so.

use std::sync::{Arc, OnceLock};

use faasflow_core::failure::FailureKind;
use faasflow_core::graph::{BodyIndex, Place, Segment, StepIndex};
use faasflow_core::machine::{Effect, Happened, Outage, Route, Unfit, advance};
use faasflow_core::{Context, Error, Failure, Outcome, Payload, Resolution, code};
use http::StatusCode;

use super::request::{Arrival, OTHER_DEFINITION};
use super::respond::failure_payload;
use crate::conclusion::Conclusion;
use crate::deadline::Deadline;
use crate::first_outage::FirstOutage;
use crate::forward::{NoPayload, NotForwarded, Onward};
use crate::instance::Instance;
use crate::observers::{Activity, Event, Observers, Origin};
use crate::step::{Execution, PhaseHeaders, SegmentResult};

impl Instance {
    /// Executes one phase and whatever follows from it.
    pub(super) async fn drive(&self, arrived: Arrival, deadline: &Deadline, observers: &Observers<'_>) -> Conclusion {
        let Arrival { info, mut token, state, earlier, .. } = arrived;
        let route = Route::new(&self.flow, earlier.as_deref());
        let plan = route.plan();
        let outage = FirstOutage::default();
        let manager = self.retrying_state(deadline.state_in_steps());
        let manager = manager.map(|manager| Arc::new(manager.noting(outage.clone())));
        let context = match &manager {
            None => Context::embedded(info.clone(), token.place(), state),
            Some(manager) => Context::external(info.clone(), token.place(), manager.clone()),
        };
        let phase = self.caller.phase_headers(&context, observers);
        let execution = self.execution(&context, &phase, route, deadline, observers, outage);
        let interrupted = |doing: Activity<'_>, outage: Outage| {
            observers.emit(&Event::Interrupted { doing, outage: &outage });
            Happened::Outage(outage)
        };
        let failed_with = OnceLock::new();
        // The flow inside the flow whose steps failed. Otherwise, the flow itself.
        let mut failed_in = BodyIndex::default();
        let failed = |failure: Failure, origin: Origin| {
            observers.emit(&Event::Failed { failure: &failure, origin });
            let _ = failed_with.set(failure.code());
            Happened::Failed(failure)
        };
        let mut effects = advance(plan, &token, Happened::Arrived);
        loop {
            let happened = match effects.next().expect("the last effect is an answer") {
                Effect::Take => match self.take(token.take_payload(), &info, manager.as_deref(), observers).await {
                    Ok(payload) => Happened::Taken(payload),
                    Err(NoPayload::Unfit(unfit)) => Happened::Unfit(unfit),
                    Err(NoPayload::Outage(outage)) => interrupted(Activity::Fetching, outage),
                    Err(NoPayload::Failed(error)) => {
                        failed(self.not_fetched(token.place(), segment(route, token.place()), error), Origin::Envelope)
                    }
                },
                Effect::Run(payload) => {
                    let segment = segment(route, token.place());
                    observers.emit(&Event::PhaseBegun { place: token.place() });
                    match execution.run(&self.flow, segment, payload).await {
                        SegmentResult::Done(payload) => Happened::Done(payload),
                        SegmentResult::Failed(failure) => {
                            failed_in = segment.body();
                            failed(failure, Origin::Step)
                        }
                        SegmentResult::Replied(failure, payload) => {
                            observers.emit(&Event::Failed { failure: &failure, origin: Origin::Reply });
                            let _ = failed_with.set(failure.code());
                            Happened::Replied(payload)
                        }
                        SegmentResult::Outage(outage) => interrupted(Activity::Executing(token.place()), outage),
                    }
                }
                Effect::Forward(mut next) => {
                    let onward = Onward { plan: Some(plan), ..Onward::from(&next) };
                    match Box::pin(self.forward(&context, onward, deadline, observers)).await {
                        Ok(()) => Happened::Forwarded,
                        Err(NotForwarded::Transient(outage)) => interrupted(Activity::Forwarding(next.place()), outage),
                        Err(NotForwarded::Failed(kind)) => {
                            failed_in = BodyIndex::default();
                            let payload = next.take_inline().unwrap_or_else(Payload::empty);
                            let last = segment(route, token.place()).steps().last();
                            let failure = not_forwarded(token.place(), last, next.place(), kind, payload);
                            failed(failure, Origin::Envelope)
                        }
                    }
                }
                Effect::Ask(failure) => match self.ask(&execution, failed_in, &failure).await {
                    Ok((resolution, by)) => {
                        let unhandled = failure_payload(&info.id, &failure);
                        let by = route.body_before(by).unwrap_or_default();
                        Happened::Resolved { resolution, by, unhandled }
                    }
                    Err(outage) => interrupted(Activity::Handling, outage),
                },
                Effect::Report(outcome, payload) => match self.report(&execution, outcome, &payload).await {
                    Ok(()) => continue,
                    Err(outage) => interrupted(Activity::Reporting(outcome), outage),
                },
                Effect::Finally(outcome, on_outage) => match self.finally(&execution, outcome, on_outage).await {
                    Ok(()) => continue,
                    Err(outage) => interrupted(Activity::Finalising, outage),
                },
                Effect::Forget => {
                    self.forget(&execution).await;
                    continue;
                }
                Effect::AnswerForwarded => return Conclusion::Forwarded,
                Effect::AnswerEnded(outcome, payload) => {
                    observers.emit(&Event::Ended { outcome });
                    let code = failed_with.get().copied().filter(|_| outcome == Outcome::Failure);
                    return Conclusion::Ended(outcome, payload, code);
                }
                Effect::ComeAgain(outage) => return Conclusion::Transient(outage),
                Effect::Refuse(unfit) => return refuse(unfit),
            };
            effects = advance(plan, &token, happened);
        }
    }

    /// The context in which the steps of a phase are executed.
    pub(crate) fn execution<'a>(
        &'a self,
        context: &'a Context,
        phase: &'a PhaseHeaders,
        route: Route<'a>,
        deadline: &'a Deadline,
        observers: &'a Observers<'_>,
        outage: FirstOutage,
    ) -> Execution<'a> {
        Execution {
            caller: &self.caller,
            context,
            phase,
            deadline,
            observers,
            heartbeat: &self.heartbeat,
            state: self.flow.state_manager(),
            route,
            stoppable: false,
            failures_handled: self.flow.handles_failures(),
            max_items: self.config.max_items,
            branch: None,
            outage,
        }
    }

    /// The failure of a phase whose payload cannot be fetched from the state manager. It is reported as a failure of the
    /// first step.
    fn not_fetched(&self, place: &Place, segment: &Segment, error: Error) -> Failure {
        let first = segment.steps().next();
        let (number, name) = match first {
            Some(step) => (step.number(), self.flow.step(step).name().clone()),
            None => (0, "".into()),
        };
        Failure::new(place, number, name, FailureKind::Storage(Arc::new(error)), Payload::empty())
    }

    /// Asks the failure handlers around a failure in a flow inside the flow, from the innermost outwards, until one decides.
    /// Returns what it decided, and the flow that it belongs to.
    async fn ask(
        &self,
        execution: &Execution<'_>,
        mut body: BodyIndex,
        failure: &Failure,
    ) -> Result<(Option<Resolution>, BodyIndex), Outage> {
        loop {
            let resolution = match self.flow.handler_of(body) {
                None => None,
                Some(handler) => {
                    execution.observers.emit(&Event::HandlerAsked);
                    let resolution = execution.ask(handler(execution.at_the_end(), failure.clone())).await?;
                    execution.observers.emit(&Event::HandlerResolved { resolution: resolution.as_ref() });
                    resolution
                }
            };
            let plan = self.flow.plan();
            match plan.body(body).owner() {
                Some((owner, _)) if !matches!(resolution, Some(Resolution::Recovered(_) | Resolution::Replied(_))) => {
                    body = plan.parent(owner);
                }
                _ => return Ok((resolution, body)),
            }
        }
    }
}

/// The steps at a place. What is ahead of the token was compared when it arrived.
pub(super) fn segment<'a>(route: Route<'a>, place: &Place) -> &'a Segment {
    route.segment(place).expect("the place of a token is in the plan")
}

/// The failure of a phase whose output cannot be forwarded. It is reported at the last step.
fn not_forwarded(place: &Place, last: Option<StepIndex>, next: &Place, kind: FailureKind, payload: Payload) -> Failure {
    let last = last.map_or(0, StepIndex::number);
    Failure::new(place, last, format!("forwarding to phase {next}").into(), kind, payload)
}

/// The answer to a token that cannot be executed.
pub(super) fn refuse(unfit: Unfit) -> Conclusion {
    let (status, code, reason) = match unfit {
        Unfit::NoSuchPlace(place) => {
            (StatusCode::BAD_REQUEST, code::NO_SUCH_PHASE, format!("the flow has no phase {place}"))
        }
        Unfit::OtherDefinition => (StatusCode::CONFLICT, code::OTHER_DEFINITION, OTHER_DEFINITION.to_owned()),
        Unfit::PayloadGone => (StatusCode::GONE, code::PAYLOAD_GONE, crate::forward::PAYLOAD_GONE.to_owned()),
        Unfit::NoStateManager => {
            let reason = "the payload is in a state manager, but this flow has none";
            (StatusCode::CONFLICT, code::NO_STATE_MANAGER, reason.to_owned())
        }
    };
    Conclusion::Refused(status, code, reason)
}
