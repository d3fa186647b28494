//! Distributes the events of a delivery to its observers.

use faasflow_core::{RequestId, Step, TraceContext};
use http::HeaderMap;

use super::event::Event;
use super::observer::Observer as _;
use super::output::Output;
use super::spans;
use crate::log::RequestLog;
use crate::metrics::Metrics;
use crate::trace::{StepSpan, Trace};

/// The observers of one delivery. Their types are known at compile time, so that an event which no observer uses costs
/// nothing.
#[derive(Debug)]
pub(crate) struct Observers<'a> {
    lines: RequestLog,
    output: Option<Output>,
    /// `None` if the request is not known yet, so that it cannot have a trace.
    trace: Option<Trace>,
    counts: &'a Metrics,
}

impl<'a> Observers<'a> {
    /// Observers of a delivery of which only the request id is known.
    pub(crate) fn for_request(id: RequestId, counts: &'a Metrics) -> Observers<'a> {
        Observers { lines: RequestLog::new(id), output: None, trace: None, counts }
    }

    /// Observers of the delivery of a phase.
    pub(crate) fn for_phase(lines: RequestLog, trace: Trace, counts: &'a Metrics) -> Observers<'a> {
        Observers { lines, output: None, trace: Some(trace), counts }
    }

    /// The same, but the log lines are also collected for the output of the request.
    pub(crate) fn keeping_lines(self) -> Observers<'a> {
        Observers { output: Some(Output::new(&self.lines)), ..self }
    }

    /// Emits an event. This and all observers are inlined where an event is made, so that only the code that observes this
    /// event remains.
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

    /// Begins a step. Emit the events of the step to the scope.
    pub(crate) fn step(&self, step: &Step) -> Scope<'_> {
        self.emit(&Event::StepBegun { step });
        Scope { observers: self, span: self.trace.as_ref().map(StepSpan::begin) }
    }

    /// A scope for events outside a step.
    pub(crate) fn no_step(&self) -> Scope<'_> {
        Scope { observers: self, span: None }
    }

    /// The trace context for everything that the phase sends outside its steps.
    pub(crate) fn trace_context(&self) -> TraceContext {
        self.trace.as_ref().map(Trace::context).unwrap_or_default()
    }

    /// Whether each step has a span of its own, whose context is passed on.
    pub(crate) fn is_traced(&self) -> bool {
        self.trace.as_ref().is_some_and(Trace::is_active)
    }

    /// Runs work whose log lines belong to the request, including those of the flow's own code.
    pub(crate) async fn within<T>(&self, work: impl Future<Output = T>) -> T {
        self.lines.scope(work).await
    }

    /// The log lines of the request, for tasks that work on it.
    pub(crate) fn log(&self) -> &RequestLog {
        &self.lines
    }

    /// The collected lines for the output of the request.
    pub(crate) fn kept_lines(&self) -> Option<String> {
        self.output.as_ref().map(Output::lines)
    }
}

/// Emits events within a step that has a span.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    observers: &'a Observers<'a>,
    span: Option<StepSpan<'a>>,
}

impl Scope<'_> {
    /// Emits an event of the step.
    #[inline(always)]
    pub(crate) fn emit(&mut self, event: &Event<'_>) {
        self.observers.emit(event);
        spans::observe_step(&mut self.span, event);
    }

    /// Makes the step's span the parent of a request, if it is part of a trace.
    pub(crate) fn point(&self, headers: &mut HeaderMap) {
        if let Some(span) = &self.span {
            span.point(headers);
        }
    }
}
