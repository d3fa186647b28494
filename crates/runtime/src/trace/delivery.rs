//! The trace of one delivery.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use faasflow_core::graph::Place;
use faasflow_core::{Failure, Outcome, RequestInfo, TraceContext};
use http::StatusCode;
use sha2::{Digest as _, Sha256};

use super::exporter::Exporter;
use super::id::{SpanContext, SpanId, TraceId};
use super::otlp::{Event, Events, Kind, Links, Span};
use super::sampling::Sampling;
use super::text::cut;
use super::{incoming, sampling};
use crate::conclusion::Conclusion;

/// The parts that all traces of a flow function share.
#[derive(Debug)]
pub(super) struct Tracing {
    pub(super) exporter: Option<Exporter>,
    pub(super) sampling: Sampling,
    pub(super) phases: usize,
    /// For each step, the attributes that its spans always have.
    pub(super) steps: Vec<Span>,
}

/// The trace of one delivery.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(super) info: Arc<RequestInfo>,
    pub(super) active: Option<ActiveTrace>,
}

#[derive(Debug)]
pub(super) struct ActiveTrace {
    pub(super) tracing: Arc<Tracing>,
    /// The span of the phase.
    phase: SpanContext,
    /// The caller's span, if the request named one. It is the parent of the request's span.
    caller: Option<SpanId>,
    place: Place,
    begun: SystemTime,
    sent: Option<SystemTime>,
    /// The attributes of the spans of all steps.
    pub(super) of_steps: Span,
    pub(super) recording: Recording,
}

/// What happens to the spans of a delivery.
#[derive(Debug)]
pub(super) enum Recording {
    /// The request is not sampled.
    No,
    /// The exporter has no room. This counts the steps that were left out.
    LeftOut(AtomicUsize),
    Yes(Mutex<DeliveryRecord>),
}

#[derive(Debug, Default)]
pub(super) struct DeliveryRecord {
    /// The spans of steps, branches and items.
    steps: Vec<Span>,
    /// How many spans there was no room for.
    left_out: usize,
    events: Events,
    links: Links,
    failure: Option<(&'static str, String)>,
}

/// The most spans of one delivery. A for-each could have many more.
const MOST_SPANS: usize = 1000;

impl DeliveryRecord {
    /// Adds the span of a step, a branch or an item.
    pub(super) fn add(&mut self, span: Span) {
        match self.steps.len() < MOST_SPANS {
            true => self.steps.push(span),
            false => self.left_out += 1,
        }
    }
}

impl ActiveTrace {
    pub(super) fn new(
        tracing: &Arc<Tracing>,
        exporter: &Exporter,
        info: &RequestInfo,
        place: &Place,
        sent_ms: Option<u64>,
    ) -> ActiveTrace {
        let incoming = info.trace.parent.as_deref().and_then(incoming::parse);
        let trace = incoming.map_or_else(|| sampling::trace_id(info), |incoming| incoming.trace);
        let sampled = tracing.sampling.decide(incoming.as_ref(), trace);
        let recording = match sampled {
            false => Recording::No,
            true if exporter.is_full() => Recording::LeftOut(AtomicUsize::new(0)),
            true => Recording::Yes(Mutex::default()),
        };
        let phase = SpanContext { trace, span: SpanId::random(), sampled };
        let mut of_steps = Span::empty();
        if let Recording::Yes(_) = recording {
            of_steps.within(phase, Some(phase.span), false);
            of_steps.attribute("faasflow.request.id", info.id.as_str());
        }
        ActiveTrace {
            tracing: tracing.clone(),
            phase,
            caller: incoming.map(|incoming| incoming.span),
            place: place.clone(),
            begun: SystemTime::now(),
            sent: sent_ms.map(time),
            of_steps,
            recording,
        }
    }

    pub(super) fn recorded(&self) -> Option<MutexGuard<'_, DeliveryRecord>> {
        match &self.recording {
            Recording::Yes(recorded) => Some(recorded.lock().unwrap_or_else(PoisonError::into_inner)),
            _ => None,
        }
    }

    /// The context of another span of this trace.
    pub(super) fn context(&self, span: SpanId) -> SpanContext {
        SpanContext { span, ..self.phase }
    }

    /// How the delivery ended. `failure` is the failure before that, if there was one.
    fn ending(&self, conclusion: &Conclusion, failure: Option<(&'static str, String)>) -> Ending {
        let (outcome, fault) = match conclusion {
            Conclusion::Forwarded => (None, None),
            Conclusion::Ended(outcome, ..) => {
                let failed = *outcome == Outcome::Failure;
                (Some(outcome.as_str()), failed.then(|| failure.unwrap_or(("failure", "it failed".to_owned()))))
            }
            Conclusion::Transient(outage) => {
                (None, Some((failure.map_or("outage", |(kind, _)| kind), outage.reason.clone())))
            }
            Conclusion::Refused(_, _, reason) => (None, Some(("refused", reason.clone()))),
        };
        // If a fresh request cannot continue, its caller is told so. This ends the request, unless a queue delivers it
        // again.
        let over = outcome.is_some() || (fault.is_some() && self.sent.is_none());
        Ending { outcome, fault: fault.map(|(kind, reason)| (kind, cut(reason))), over }
    }
}

/// How a delivery ended.
struct Ending {
    /// The outcome of the request, if it has ended.
    outcome: Option<&'static str>,
    /// The kind of failure and its reason.
    fault: Option<(&'static str, String)>,
    /// Whether the request's own span should be sent.
    over: bool,
}

impl Ending {
    fn describe(&self, span: &mut Span) {
        if let Some(outcome) = self.outcome {
            span.attribute("faasflow.outcome", outcome);
        }
        if let Some((kind, reason)) = &self.fault {
            span.attribute("error.type", *kind);
            span.failed(reason);
        }
    }
}

impl Trace {
    /// The id of the trace, for the log. If traces are not exported, it is the id that came with the request, if any.
    pub(crate) fn id(&self) -> Option<TraceId> {
        match &self.active {
            Some(active) => Some(active.phase.trace),
            None => self.info.trace.parent.as_deref().and_then(incoming::parse).map(|incoming| incoming.trace),
        }
    }

    /// The id of the trace if spans of the request are recorded, by this flow or by its caller.
    pub(crate) fn sampled_id(&self) -> Option<TraceId> {
        match &self.active {
            Some(active) => active.phase.sampled.then_some(active.phase.trace),
            None => {
                let incoming = self.info.trace.parent.as_deref().and_then(incoming::parse);
                incoming.filter(|incoming| incoming.sampled).map(|incoming| incoming.trace)
            }
        }
    }

    /// The trace context for everything that the phase sends outside its steps.
    pub(crate) fn context(&self) -> TraceContext {
        match &self.active {
            None => self.info.trace.clone(),
            Some(active) => {
                TraceContext { parent: Some(active.phase.traceparent()), state: self.info.trace.state.clone() }
            }
        }
    }

    /// Whether the flow adds its own spans to the trace context. This is also true if they are not recorded.
    pub(crate) fn is_active(&self) -> bool {
        self.active.is_some()
    }

    /// Adds an event to the span of the phase.
    pub(crate) fn event(&self, name: &'static str, describe: impl FnOnce(&mut Event<'_>)) {
        if let Some(mut recorded) = self.active.as_ref().and_then(ActiveTrace::recorded) {
            recorded.events.push(name, describe);
        }
    }

    /// The id of the phase's span, if it is recorded.
    pub(crate) fn span_id(&self) -> Option<String> {
        let active = self.active.as_ref().filter(|active| matches!(active.recording, Recording::Yes(_)))?;
        Some(active.phase.span.to_string())
    }

    /// Links the phase's span to spans of other phases. Texts that are not ids are left out.
    pub(crate) fn link(&self, spans: &[String]) {
        let Some(active) = &self.active else { return };
        if let Some(mut recorded) = active.recorded() {
            for span in spans.iter().filter_map(|span| SpanId::parse(span)) {
                recorded.links.push(active.context(span));
            }
        }
    }

    /// Records the failure of the request. A handler may still recover it.
    pub(crate) fn failed(&self, failure: &Failure) {
        if let Some(mut recorded) = self.active.as_ref().and_then(ActiveTrace::recorded) {
            let kind = failure.kind().as_str();
            recorded.events.exception(kind, failure.to_string());
            recorded.failure = Some((kind, failure.reason()));
        }
    }

    /// Records an error that does not fail the request.
    pub(crate) fn exception(&self, kind: &'static str, text: impl FnOnce() -> String) {
        if let Some(mut recorded) = self.active.as_ref().and_then(ActiveTrace::recorded) {
            recorded.events.exception(kind, text());
        }
    }

    /// Hands over the spans.
    pub(crate) fn finish(&self, conclusion: &Conclusion, answer: StatusCode) {
        let Some(active) = &self.active else { return };
        let Some(exporter) = &active.tracing.exporter else { return };
        match &active.recording {
            Recording::No => {}
            Recording::LeftOut(steps) => {
                let over = active.ending(conclusion, None).over;
                exporter.left_out(steps.load(Ordering::Relaxed) + 1 + usize::from(over));
            }
            Recording::Yes(recorded) => {
                let recorded = std::mem::take(&mut *recorded.lock().unwrap_or_else(PoisonError::into_inner));
                if recorded.left_out > 0 {
                    exporter.left_out(recorded.left_out);
                }
                exporter.send(self.spans(active, recorded, conclusion, answer));
            }
        }
    }

    fn spans(
        &self,
        active: &ActiveTrace,
        recorded: DeliveryRecord,
        conclusion: &Conclusion,
        answer: StatusCode,
    ) -> Vec<Span> {
        let DeliveryRecord { steps, events, links, failure, .. } = recorded;
        let now = SystemTime::now();
        let ending = active.ending(conclusion, failure);
        let asynchronous = active.sent.is_some();
        let request_span = request_span(&self.info, active.phase.trace);

        let mut phase = self.span();
        phase.place(active.phase, Some(request_span), false);
        let kind = if asynchronous { Kind::Consumer } else { Kind::Server };
        phase.name(kind, &["phase ", &active.place.to_string()]);
        phase.times(active.begun, now);
        phase.attribute("faasflow.phase", active.place.phase());
        phase.attribute("faasflow.asynchronous", asynchronous);
        phase.attribute("faasflow.answer", answer.as_u16());
        if let Some(sent) = active.sent {
            let waited = active.begun.duration_since(sent).unwrap_or_default();
            phase.attribute("faasflow.queue.seconds", waited.as_secs_f64());
        }
        ending.describe(&mut phase);
        phase.events(&events);
        phase.links(&links);

        // Parents come first. They are the most useful if not all spans fit.
        let mut spans = Vec::with_capacity(steps.len() + 2);
        spans.push(phase);
        if ending.over {
            let mut request = self.span();
            request.place(active.context(request_span), active.caller, active.caller.is_some());
            request.name(Kind::Server, &[&self.info.flow]);
            request.times(time(self.info.started_ms), now);
            request.attribute("faasflow.phases", active.tracing.phases);
            ending.describe(&mut request);
            spans.push(request);
        }
        spans.extend(steps);
        spans
    }

    /// A span with the attributes that the spans of requests and phases share.
    fn span(&self) -> Span {
        let mut span = Span::new();
        span.attribute("faasflow.flow", &*self.info.flow);
        span.attribute("faasflow.request.id", self.info.id.as_str());
        span
    }
}

/// The id of the request's span. It is the same in each phase and differs between requests, even if a flow is called twice
/// in one trace with the same request id.
fn request_span(info: &RequestInfo, trace: TraceId) -> SpanId {
    let scope = info.scope();
    let digest = Sha256::new()
        .chain_update(scope.flow)
        .chain_update([0])
        .chain_update(scope.request)
        .chain_update([0])
        .chain_update(trace.0)
        .chain_update(info.trace.parent.as_deref().unwrap_or_default())
        .finalize();
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest[..8]);
    SpanId(bytes)
}

fn time(ms: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(ms)).unwrap_or(UNIX_EPOCH)
}
