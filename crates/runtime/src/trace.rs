//! One trace per request: a span for the request, one for each phase, one for each step.
//!
//! The phases of a request may be executed by different processes, which know nothing of each other. So nothing about
//! spans is told from phase to phase: the trace's id, the id of the request's span and whether it is sampled follow from
//! the request itself, and each phase comes to the same. The span of the request is sent by whoever ends it.
//!
//! What is traced is collected in the delivery and handed over at its end, in one piece.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use faasflow_core::{Failure, RequestInfo, TraceContext};
use http::{HeaderMap, StatusCode};
use opentelemetry::trace::{Event, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use sha2::{Digest as _, Sha256};

use crate::forward::trace_headers;
use crate::metrics::failure_reason;
use crate::respond::Conclusion;

mod client;
mod exporter;
mod incoming;
mod sampling;
mod server;
mod step;

pub(crate) use exporter::Exporter;
pub(crate) use incoming::incoming;
pub use sampling::Sampling;
pub use server::TraceServer;
pub(crate) use step::StepSpan;

/// Traces deliveries; without an exporter it passes trace contexts on as they came.
#[derive(Debug)]
pub(crate) struct Tracer {
    exporter: Option<Exporter>,
    sampling: Sampling,
    scope: InstrumentationScope,
    phases: usize,
}

impl Tracer {
    /// For a flow of so many phases.
    pub(crate) fn new(exporter: Option<Exporter>, sampling: Sampling, phases: usize) -> Tracer {
        let scope = InstrumentationScope::builder("faasflow").with_version(env!("CARGO_PKG_VERSION")).build();
        Tracer { exporter, sampling, scope, phases }
    }

    /// Begins the trace of one delivery of a phase; `sent_ms` is when it was forwarded, if it was.
    pub(crate) fn begin(self: &Arc<Tracer>, info: &Arc<RequestInfo>, phase: usize, sent_ms: Option<u64>) -> Trace {
        let active = self.exporter.as_ref().map(|_| Active::new(self.clone(), info.clone(), phase, sent_ms));
        Trace { info: info.clone(), active }
    }

    /// Sends what still waits.
    pub(crate) async fn stop(&self, within: Duration) {
        if let Some(exporter) = &self.exporter {
            exporter.stop(within).await;
        }
    }
}

/// What is traced of one delivery.
#[derive(Debug)]
pub(crate) struct Trace {
    info: Arc<RequestInfo>,
    active: Option<Active>,
}

#[derive(Debug)]
struct Active {
    tracer: Arc<Tracer>,
    info: Arc<RequestInfo>,
    /// The span of the request.
    request: SpanContext,
    /// Whose child that is: the caller's, if it said.
    caller: SpanId,
    number: usize,
    phase: SpanId,
    begun: SystemTime,
    sent: Option<SystemTime>,
    /// `None` where the request is not sampled.
    recorded: Option<Mutex<Recorded>>,
}

#[derive(Debug, Default)]
struct Recorded {
    steps: Vec<SpanData>,
    events: Vec<Event>,
    failure: Option<(&'static str, String)>,
}

impl Active {
    fn new(tracer: Arc<Tracer>, info: Arc<RequestInfo>, number: usize, sent_ms: Option<u64>) -> Active {
        let came = info.trace.parent.as_deref().and_then(incoming::parse);
        let trace = came.as_ref().map_or_else(|| sampling::trace_id(&info), SpanContext::trace_id);
        let sampled = tracer.sampling.decide(came.as_ref(), trace);
        let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let request = SpanContext::new(trace, request_span(&info, trace), flags, false, TraceState::NONE);
        Active {
            request,
            caller: came.map_or(SpanId::INVALID, |came| came.span_id()),
            number,
            phase: new_span_id(),
            begun: SystemTime::now(),
            sent: sent_ms.map(time),
            recorded: sampled.then(Mutex::default),
            tracer,
            info,
        }
    }

    fn recorded(&self) -> Option<MutexGuard<'_, Recorded>> {
        self.recorded.as_ref().map(|recorded| recorded.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A span of this trace.
    fn context(&self, id: SpanId) -> SpanContext {
        SpanContext::new(self.request.trace_id(), id, self.request.trace_flags(), false, TraceState::NONE)
    }

    fn span(&self, id: SpanId, parent: SpanId, span: Span) -> SpanData {
        let mut events = SpanEvents::default();
        events.events = span.events;
        SpanData {
            span_context: self.context(id),
            parent_span_id: parent,
            parent_span_is_remote: false,
            span_kind: span.kind,
            name: span.name.into(),
            start_time: span.begun,
            end_time: span.ended.max(span.begun),
            attributes: span.attributes,
            dropped_attributes_count: 0,
            events,
            links: SpanLinks::default(),
            status: span.status,
            instrumentation_scope: self.tracer.scope.clone(),
        }
    }

    fn finish(&self, conclusion: &Conclusion, answer: StatusCode) -> Option<Vec<SpanData>> {
        let Recorded { steps, mut events, failure } = std::mem::take(&mut *self.recorded()?);
        let now = SystemTime::now();
        let (outcome, fault) = match conclusion {
            Conclusion::Forwarded => (None, None),
            Conclusion::Ended(outcome, _) => {
                let failed = *outcome == faasflow_core::Outcome::Failure;
                (Some(outcome.as_str()), failed.then(|| failure.unwrap_or(("failure", "it failed".to_owned()))))
            }
            // What failed for a passing reason says so itself; forwarding has not failed for good.
            Conclusion::Passing(reason) => (None, Some((failure.map_or("passing", |(kind, _)| kind), reason.clone()))),
            Conclusion::Refused(_, reason) => (None, Some(("refused", reason.clone()))),
        };
        let status = match &fault {
            None => Status::Unset,
            Some((_, reason)) => Status::error(cut(reason.clone())),
        };
        let asynchronous = self.sent.is_some();
        let mut attributes = self.common();
        attributes.extend([
            KeyValue::new("faasflow.phase", int(self.number)),
            KeyValue::new("faasflow.asynchronous", asynchronous),
            KeyValue::new("faasflow.answer", i64::from(answer.as_u16())),
        ]);
        if let Some(sent) = self.sent {
            let waited = self.begun.duration_since(sent).unwrap_or_default();
            attributes.push(KeyValue::new("faasflow.queue.seconds", waited.as_secs_f64()));
        }
        attributes.extend(outcome.map(|outcome| KeyValue::new("faasflow.outcome", outcome)));
        attributes.extend(fault.as_ref().map(|(kind, _)| KeyValue::new("error.type", *kind)));
        // The times of events rise, also of those that were written down later than they began.
        events.sort_by_key(|event| event.timestamp);
        let phase = Span {
            name: format!("phase {}", self.number),
            kind: if asynchronous { SpanKind::Consumer } else { SpanKind::Server },
            begun: self.begun,
            ended: now,
            attributes,
            events,
            status: status.clone(),
        };
        // Parents first: where not all fit, these are worth the most.
        let mut spans = Vec::with_capacity(steps.len() + 2);
        spans.push(self.span(self.phase, self.request.span_id(), phase));
        // Whoever called is told that it cannot go on, and that is the end for it, unless a queue delivers it again.
        let over = outcome.is_some() || (fault.is_some() && !asynchronous);
        if over {
            let mut attributes = self.common();
            attributes.push(KeyValue::new("faasflow.phases", int(self.tracer.phases)));
            attributes.extend(outcome.map(|outcome| KeyValue::new("faasflow.outcome", outcome)));
            attributes.extend(fault.map(|(kind, _)| KeyValue::new("error.type", kind)));
            let request = Span {
                name: self.info.flow.to_string(),
                kind: SpanKind::Server,
                begun: time(self.info.started_ms),
                ended: now,
                attributes,
                events: Vec::new(),
                status,
            };
            let mut request = self.span(self.request.span_id(), self.caller, request);
            request.parent_span_is_remote = self.caller != SpanId::INVALID;
            spans.push(request);
        }
        spans.extend(steps);
        Some(spans)
    }

    fn common(&self) -> Vec<KeyValue> {
        let mut attributes = Vec::with_capacity(8);
        attributes.push(KeyValue::new("faasflow.flow", self.info.flow.clone()));
        attributes.push(KeyValue::new("faasflow.request.id", self.info.id.to_string()));
        attributes
    }
}

/// What a span says, besides where it belongs.
struct Span {
    name: String,
    kind: SpanKind,
    begun: SystemTime,
    ended: SystemTime,
    attributes: Vec<KeyValue>,
    events: Vec<Event>,
    status: Status,
}

impl Trace {
    /// The trace's id, for the log: also where nothing is exported, if the request came with one.
    pub(crate) fn id(&self) -> Option<TraceId> {
        match &self.active {
            Some(active) => Some(active.request.trace_id()),
            None => self.info.trace.parent.as_deref().and_then(incoming::parse).map(|came| came.trace_id()),
        }
    }

    /// The trace context of what this phase sends besides its steps.
    pub(crate) fn context(&self) -> TraceContext {
        match &self.active {
            None => self.info.trace.clone(),
            Some(active) => TraceContext {
                parent: Some(incoming::traceparent(&active.context(active.phase))),
                state: self.info.trace.state.clone(),
            },
        }
    }

    /// Begins a step.
    pub(crate) fn step(&self) -> StepSpan<'_> {
        StepSpan::begin(self)
    }

    /// Notes what happened in the phase, besides its steps.
    pub(crate) fn event<const N: usize>(&self, name: &'static str, attributes: impl FnOnce() -> [KeyValue; N]) {
        if let Some(mut recorded) = self.active.as_ref().and_then(Active::recorded) {
            recorded.events.push(Event::new(name, SystemTime::now(), attributes().into(), 0));
        }
    }

    /// Notes what made the request fail, which a handler may still mend.
    pub(crate) fn failed(&self, failure: &Failure) {
        if let Some(mut recorded) = self.active.as_ref().and_then(Active::recorded) {
            let kind = failure_reason(failure.kind());
            recorded.events.push(exception(kind, failure.to_string()));
            recorded.failure = Some((kind, failure.reason()));
        }
    }

    /// Notes an error that is not what the request fails with.
    pub(crate) fn exception(&self, kind: &'static str, text: String) {
        if let Some(mut recorded) = self.active.as_ref().and_then(Active::recorded) {
            recorded.events.push(exception(kind, text));
        }
    }

    /// Hands over what was traced.
    pub(crate) fn finish(self, conclusion: &Conclusion, answer: StatusCode) {
        if let Some(active) = self.active
            && let Some(spans) = active.finish(conclusion, answer)
            && let Some(exporter) = &active.tracer.exporter
        {
            exporter.send(spans);
        }
    }

    fn pass_on(&self, headers: &mut HeaderMap) {
        headers.extend(trace_headers(&self.info.trace));
    }
}

/// An error as OpenTelemetry records it. The text is the log's.
fn exception(kind: &'static str, text: String) -> Event {
    let attributes = vec![KeyValue::new("exception.type", kind), KeyValue::new("exception.message", cut(text))];
    Event::new("exception", SystemTime::now(), attributes, 0)
}

/// How many bytes of a text go into a span. Spans that wait are bounded by their number, and so are the bytes of a batch.
const LONGEST_TEXT: usize = 1024;

/// A text of any length, as much of it as a span takes.
pub(crate) fn cut(mut text: String) -> String {
    if text.len() > LONGEST_TEXT {
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        text.push('…');
    }
    text
}

/// The id of the request's span: the same in each phase, and another for each request, also where a flow is called twice
/// in a trace under one request id.
fn request_span(info: &RequestInfo, trace: TraceId) -> SpanId {
    let scope = info.scope();
    let digest = Sha256::new()
        .chain_update(scope.flow)
        .chain_update([0])
        .chain_update(scope.request)
        .chain_update([0])
        .chain_update(trace.to_bytes())
        .chain_update(info.trace.parent.as_deref().unwrap_or_default())
        .finalize();
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest[..8]);
    SpanId::from_bytes(bytes)
}

fn new_span_id() -> SpanId {
    SpanId::from(rand::random::<u64>().max(1))
}

fn time(ms: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(ms)).unwrap_or(UNIX_EPOCH)
}

fn int(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
