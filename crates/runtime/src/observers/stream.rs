//! Who hears the events of a delivery.

use faasflow_core::{RequestId, Step, TraceContext};
use http::HeaderMap;

use super::event::Event;
use super::observer::Observer as _;
use super::output::Output;
use super::spans;
use crate::log::RequestLog;
use crate::metrics::Metrics;
use crate::trace::{StepSpan, Trace};

/// Those who hear what happens to the request of a delivery. It is known at compile time who they are, so that an event
/// that nobody has a use for costs nothing.
#[derive(Debug)]
pub(crate) struct Observers<'a> {
    lines: RequestLog,
    output: Option<Output>,
    /// `None` where there is no request yet that could have a trace.
    trace: Option<Trace>,
    counts: &'a Metrics,
}

impl<'a> Observers<'a> {
    /// For a delivery of which only the id of its request is known.
    pub(crate) fn for_request(id: RequestId, counts: &'a Metrics) -> Observers<'a> {
        Observers { lines: RequestLog::new(id), output: None, trace: None, counts }
    }

    /// For the delivery of a phase.
    pub(crate) fn for_phase(lines: RequestLog, trace: Trace, counts: &'a Metrics) -> Observers<'a> {
        Observers { lines, output: None, trace: Some(trace), counts }
    }

    /// The same, with the lines kept for the output of the request.
    pub(crate) fn keeping_lines(self) -> Observers<'a> {
        Observers { output: Some(Output::new(&self.lines)), ..self }
    }

    /// Tells what happened. It is inlined where an event is made, as the observers are into it: what is left of the event
    /// there is what they have a use for.
    #[inline(always)]
    pub(crate) fn emit(&self, event: &Event<'_>) {
        self.lines.observe(event);
        if let Some(output) = &self.output {
            output.observe(event);
        }
        if let Some(trace) = &self.trace {
            trace.observe(event);
        }
        self.counts.observe(event);
    }

    /// Begins a step, whose events are told to its scope.
    pub(crate) fn step(&self, step: &Step) -> Scope<'_> {
        self.emit(&Event::StepBegun { step });
        Scope { observers: self, span: self.trace.as_ref().map(StepSpan::begin) }
    }

    /// A scope for what is no step.
    pub(crate) fn no_step(&self) -> Scope<'_> {
        Scope { observers: self, span: None }
    }

    /// The trace context of what the phase sends besides its steps.
    pub(crate) fn trace_context(&self) -> TraceContext {
        self.trace.as_ref().map(Trace::context).unwrap_or_default()
    }

    /// Whether each step is passed on as a span of ours.
    pub(crate) fn is_traced(&self) -> bool {
        self.trace.as_ref().is_some_and(Trace::is_active)
    }

    /// Runs work whose log lines belong to the request, also those of the flow's own code.
    pub(crate) async fn within<T>(&self, work: impl Future<Output = T>) -> T {
        self.lines.scope(work).await
    }

    /// The lines that the output of the request begins with.
    pub(crate) fn kept_lines(&self) -> Option<String> {
        self.output.as_ref().map(Output::lines)
    }
}

/// What happens within a step, whose span is under way.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    observers: &'a Observers<'a>,
    span: Option<StepSpan<'a>>,
}

impl Scope<'_> {
    /// Tells what happened in the step.
    #[inline(always)]
    pub(crate) fn emit(&mut self, event: &Event<'_>) {
        self.observers.emit(event);
        spans::observe_step(&mut self.span, event);
    }

    /// Points a request of the step to its span, if it is part of a trace.
    pub(crate) fn point(&self, headers: &mut HeaderMap) {
        if let Some(span) = &self.span {
            span.point(headers);
        }
    }
}
