//! One delivery, from its verification to its answer.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use faasflow_core::failure::FailureKind;
use faasflow_core::graph::{Segment, StepIndex};
use faasflow_core::state::StateManager as _;
use faasflow_core::{CallResponse, Context, Failure, Outcome, Payload, RequestId, Resolution, headers};
use http::{StatusCode, request};
use tokio::time::Instant;

use crate::admission::come_again;
use crate::caller::Unanswered;
use crate::config::show;
use crate::deadline::Deadline;
use crate::execute::{Executed, Execution, internal};
use crate::function::Inner;
use crate::log::RequestLog;
use crate::metrics::failure_reason;
use crate::outage::Outage;
use crate::patient::Patient;
use crate::request::{Arrived, Refusal, is_envelope, now_ms, resume, start};
use crate::respond::{Conclusion, failure_payload, respond, status};
use crate::seal::{Absent, NotForwarded};
use crate::trace::Trace;

impl Inner {
    pub(crate) async fn deliver(
        &self,
        id: RequestId,
        parts: request::Parts,
        body: Bytes,
        deadline: Deadline,
    ) -> Response {
        let later = is_envelope(&parts.headers);
        let _in_flight = self.metrics.in_flight();
        let response = self.dispatch(id, parts, body, deadline, later).await;
        self.metrics.delivered(later, response.status());
        response
    }

    async fn dispatch(
        &self,
        id: RequestId,
        parts: request::Parts,
        body: Bytes,
        deadline: Deadline,
        later: bool,
    ) -> Response {
        let arrived = match self.verify(&parts, &body, later) {
            Err(refusal) => Err(refusal),
            Ok(()) if later => resume(&self.flow, &self.name, &body),
            Ok(()) => {
                let decoded = self.decoded(&parts.headers, body, &deadline).await;
                decoded.and_then(|body| start(&self.flow, &self.name, id.clone(), &parts, body, &self.config.sampling))
            }
        };
        let arrived = match arrived {
            Ok(arrived) => arrived,
            Err(refusal) => {
                self.metrics.refused(refusal.status);
                return self.refuse(refusal, id);
            }
        };
        let id = arrived.info.id.clone();
        let begun = Instant::now();
        let place = arrived.place.clone();
        let trace = self.tracer.begin(&arrived.info, &place, arrived.sent_ms);
        let log = RequestLog::of_phase(id.clone(), &place, trace.id()).keeping(self.config.combine_output);
        match arrived.sent_ms {
            None => self.metrics.started(),
            Some(sent) => self.metrics.queued(Duration::from_millis(now_ms().saturating_sub(sent))),
        }
        log.info(format_args!("{}", if later { "Received" } else { "Created" }));
        let started_ms = arrived.info.started_ms;
        // In a box, since what is handed from one to the other is copied, and has room in each.
        let concluding = Box::pin(self.conclude(arrived, &deadline, &log, &trace));
        let conclusion = log.of_all(concluding).await;
        if !matches!(conclusion, Conclusion::Refused(..)) {
            self.metrics.phase(place.phase(), begun.elapsed());
        }
        match &conclusion {
            Conclusion::Ended(outcome, _) => {
                self.metrics.ended(*outcome, Duration::from_millis(now_ms().saturating_sub(started_ms)));
            }
            Conclusion::Refused(status, _) => self.metrics.refused(*status),
            Conclusion::Forwarded | Conclusion::Transient(_) => {}
        }
        trace.finish(&conclusion, status(&conclusion, later));
        respond(conclusion, &id, later, Some(&log))
    }

    /// No byte of an envelope is interpreted before this has passed.
    fn verify(&self, parts: &request::Parts, body: &Bytes, envelope: bool) -> Result<(), Refusal> {
        let needed = self.config.enable_hmac && (envelope || self.config.verify_request);
        if !needed {
            return Ok(());
        }
        // Signed for what it is, it must not pass for what it is not.
        if !envelope && body.starts_with(faasflow_core::envelope::MAGIC) {
            let reason = "the body is an envelope, and its content type says otherwise";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, reason));
        }
        let Some(keys) = &self.keys else {
            let reason = "this flow has no key, so it takes no envelopes";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, reason));
        };
        let header = parts.headers.get(headers::SIGNATURE).map(http::HeaderValue::as_bytes);
        keys.verify(header, body).map_err(|error| Refusal::new(StatusCode::UNAUTHORIZED, error.to_string()))
    }

    /// Executes one phase and sees to what follows from it.
    async fn conclude(&self, arrived: Arrived, deadline: &Deadline, log: &RequestLog, trace: &Trace) -> Conclusion {
        let Arrived { info, place, payload, state, .. } = arrived;
        let manager = self.patient(deadline.state_in_steps());
        let context = match &manager {
            None => Context::embedded(info.clone(), &place, state),
            Some(manager) => Context::external(info.clone(), &place, manager.clone()),
        };
        let Some(segment) = self.flow.plan().segment(&place) else {
            return Conclusion::Refused(StatusCode::BAD_REQUEST, format!("the flow has no phase {place}"));
        };
        let common = self.caller.common(&context, trace);
        let execution = Execution {
            caller: &self.caller,
            context: &context,
            common: &common,
            deadline,
            log,
            heartbeat: &self.heartbeat,
            trace,
            metrics: &self.metrics,
            failures_handled: self.flow.failure_handler().is_some(),
            outage: OnceLock::new(),
        };
        let payload = match self.take(payload, &info, manager.as_deref(), log).await {
            Ok(payload) => payload,
            Err(Absent::Concluded(conclusion)) => return conclusion,
            Err(Absent::Outage(outage)) => return transient(&execution, "Not executed", outage),
            Err(Absent::Failed(error)) => {
                let kind = FailureKind::Storage(error);
                let (number, name) = self.first_step(segment);
                let failed = Failure::new(&place, number, name, kind, Payload::empty());
                self.metrics.failed(failed.kind());
                trace.failed(&failed);
                log.error(format_args!("{failed}"));
                return self.fail(&execution, &failed).await;
            }
        };
        log.info(format_args!("Executing phase {place}"));
        let executed = execution.run(&self.flow, segment, payload).await;
        let failed = match executed {
            Executed::Done(payload) => match segment.next() {
                None => return self.end(&execution, Outcome::Success, payload).await,
                Some(next) => match Box::pin(self.forward(&execution, next, &payload)).await {
                    Ok(()) => {
                        log.info(format_args!("Forwarded to phase {next}"));
                        return Conclusion::Forwarded;
                    }
                    Err(NotForwarded::Transient(outage)) => {
                        let what = format!("Cannot forward to phase {next}");
                        return transient(&execution, &what, outage);
                    }
                    Err(NotForwarded::Failed(kind)) => {
                        self.metrics.failed(&kind);
                        let name = format!("forwarding to phase {next}").into();
                        Failure::new(&place, segment.steps().last().map_or(0, StepIndex::number), name, kind, payload)
                    }
                },
            },
            Executed::Replied(failure, payload) => {
                trace.failed(&failure);
                log.error(format_args!("{failure}; its failure handler replied"));
                return self.end(&execution, Outcome::Failure, payload).await;
            }
            Executed::Outage(outage) => {
                return transient(&execution, &format!("Phase {place} cannot go on"), outage);
            }
            Executed::Failed(failure) => failure,
        };
        trace.failed(&failed);
        log.error(format_args!("{failed}"));
        self.fail(&execution, &failed).await
    }

    /// The step that a phase begins with: its number and its name.
    fn first_step(&self, segment: &Segment) -> (usize, Arc<str>) {
        let first = segment.steps().next();
        first.map_or((0, "".into()), |step| (step.number(), self.flow.step(step).name().clone()))
    }

    /// Asks the flow's failure handler, and ends the request as it says.
    async fn fail(&self, execution: &Execution<'_>, failure: &Failure) -> Conclusion {
        let resolution = match self.flow.failure_handler() {
            None => None,
            Some(handler) => {
                execution.log.info(format_args!("Executing the failure handler"));
                let context = self.at_the_end(execution);
                let resolution = match execution.ask(handler(context, failure.clone())).await {
                    Ok(resolution) => resolution,
                    Err(outage) => return transient(execution, "The failure handler cannot go on", outage),
                };
                execution.trace.event("failure handler", |event| {
                    event.attribute("faasflow.resolution", named(resolution.as_ref()));
                });
                resolution
            }
        };
        let (outcome, payload) = match resolution {
            Some(Resolution::Recovered(payload)) => (Outcome::Recovered, payload),
            Some(Resolution::Replied(payload)) => (Outcome::Failure, payload),
            _ => (Outcome::Failure, failure_payload(&execution.context.request().id, failure)),
        };
        self.end(execution, outcome, payload).await
    }

    /// The end of a request: the report that its caller asked for, `finally`, the removal of its state.
    async fn end(&self, execution: &Execution<'_>, outcome: Outcome, payload: Payload) -> Conclusion {
        let Execution { caller, context, deadline, log, trace, .. } = *execution;
        if let Some(url) = &context.request().callback_url {
            let reported = Box::pin(caller.report(url, execution, outcome, &payload)).await;
            trace.event("report", |event| event.attribute("faasflow.report", &shown(&reported)));
            match reported {
                Ok(response) if response.status().is_success() => log.info(format_args!("Reported the {outcome}")),
                answer => match unreported(answer) {
                    Ok(outage) => return transient(execution, &format!("Cannot report the {outcome}"), outage),
                    Err(why) => log.error(format_args!("Cannot report the {outcome}, and gives up: {why}")),
                },
            }
        }
        // A fresh request whose caller wants no report: nobody else learns how it ended.
        let awaited = context.phase() == 1 && context.request().callback_url.is_none();
        if let Some(finaliser) = self.flow.finaliser() {
            log.info(format_args!("Executing finally"));
            let context = self.at_the_end(execution).with_outcome(outcome);
            let running = finaliser(context, outcome);
            let ran = execution.handled(deadline.ending(), running).await;
            trace.event("finally", |event| event.attribute("faasflow.succeeded", ran.is_ok()));
            let kind = match ran.map_err(|kind| execution.weigh(kind)) {
                Ok(()) => None,
                // It is owed its run, and a report is known by its key. But who waits for the answer has a right to it.
                Err(Unanswered::Outage(outage)) if !awaited => {
                    return transient(execution, "finally cannot go on", outage);
                }
                Err(Unanswered::Outage(outage)) => {
                    Some(FailureKind::Handler(Arc::new(faasflow_core::Error::msg(outage.detail))))
                }
                Err(Unanswered::Failed(kind)) => Some(kind),
            };
            if let Some(kind) = kind {
                self.metrics.failed(&kind);
                trace.exception(failure_reason(&kind), format!("finally failed: {}", internal(&kind)));
                log.error(format_args!("finally failed: {}", internal(&kind)));
            }
        }
        if let Some(manager) = self.patient(deadline.state_in_ending()).filter(|_| !self.config.keep_state) {
            let scope = context.request().scope();
            let removing = async { Ok(manager.remove_request(&scope).await?) };
            if let Err(kind) = execution.handled(deadline.ending(), removing).await {
                log.error(format_args!("The state of the request was not removed: {}", internal(&kind)));
            }
        }
        match outcome {
            Outcome::Success => log.info(format_args!("Completed successfully")),
            Outcome::Recovered => log.info(format_args!("Completed: recovered")),
            Outcome::Failure => log.info(format_args!("Completed: failure")),
        }
        Conclusion::Ended(outcome, payload)
    }

    fn refuse(&self, refusal: Refusal, id: RequestId) -> Response {
        let detail = refusal.detail.as_deref().unwrap_or(&refusal.reason);
        let log = match &refusal.of {
            None => RequestLog::new(id),
            Some((info, place)) => {
                RequestLog::of_phase(info.id.clone(), place, self.tracer.begin(info, place, None).id())
            }
        };
        log.warn(format_args!("Refused with {}: {detail}", refusal.status));
        let mut response = respond(Conclusion::Refused(refusal.status, refusal.reason), log.id(), false, None);
        if refusal.status == StatusCode::SERVICE_UNAVAILABLE {
            come_again(response.headers_mut());
        }
        response
    }

    /// The flow's state manager, which does its best until then.
    pub(crate) fn patient(&self, until: Instant) -> Option<Arc<Patient>> {
        self.flow.state_manager().map(|manager| Arc::new(Patient::new(manager.clone(), until)))
    }

    /// The context of a phase for what follows its steps, which has time of its own.
    fn at_the_end(&self, execution: &Execution<'_>) -> Context {
        let context = execution.context.clone();
        match self.patient(execution.deadline.state_in_ending()) {
            Some(manager) => context.through(manager),
            None => context,
        }
    }
}

/// What a failure handler decided, in a word.
fn named(resolution: Option<&Resolution>) -> &'static str {
    match resolution {
        Some(Resolution::Recovered(_)) => "recovered",
        Some(Resolution::Replied(_)) => "replied",
        _ => "none",
    }
}

/// The delivery cannot come to an end now: it is to come again.
fn transient(execution: &Execution<'_>, what: &str, outage: Outage) -> Conclusion {
    execution.trace.exception("outage", format!("{what}: {}", outage.detail));
    execution.log.error(format_args!("{what}: {}: {}", outage.reason, outage.detail));
    Conclusion::Transient(outage)
}

/// Whether a report that was not taken may be taken later; else why it will not.
fn unreported(answer: Result<CallResponse, Unanswered>) -> Result<Outage, String> {
    let what = "the end of the request cannot be reported now";
    match answer {
        Err(Unanswered::Outage(outage)) => Ok(Outage { reason: format!("{what}: {}", outage.reason), ..outage }),
        Err(Unanswered::Failed(FailureKind::Deadline(after) | FailureKind::Timeout(after))) => {
            Ok(Outage::new(what, format!("no answer within {}", show(after))))
        }
        Ok(response) if faasflow_core::Retry::attempts(2).retries_status(response.status()) => {
            Ok(Outage::new(what, format!("it answered {}", response.status())))
        }
        Ok(response) => Err(format!("it answered {}", response.status())),
        Err(Unanswered::Failed(kind)) => Err(internal(&kind)),
    }
}

fn shown(answer: &Result<CallResponse, Unanswered>) -> String {
    match answer {
        Ok(response) => format!("it answered {}", response.status()),
        Err(Unanswered::Outage(outage)) => outage.detail.clone(),
        Err(Unanswered::Failed(FailureKind::Deadline(after) | FailureKind::Timeout(after))) => {
            format!("no answer within {}", show(*after))
        }
        Err(Unanswered::Failed(kind)) => internal(kind),
    }
}
