//! Distributes the events of a delivery to its observers.

use std::ops::Deref;
use std::time::Duration;

use faasflow_core::graph::StepIndex;
use faasflow_core::machine::forked::Steps;
use faasflow_core::{Failure, MemberOutcome, RequestId, Step, TraceContext};
use http::HeaderMap;

use super::event::Event;
use super::member::Member;
use super::observer::Observer as _;
use super::output::Output;
use super::spans;
use super::steps::{StepClock, StepWatch, watch_step};
use crate::log::RequestLog;
use crate::metrics::Metrics;
use crate::trace::{MemberSpan, StepSpan, Trace};

/// The observers of one delivery. Their types are known at compile time, so that an event which no observer uses costs
/// nothing.
#[derive(Debug)]
pub(crate) struct Observers<'a> {
    lines: RequestLog,
    output: Option<OwnedOrLent<'a, Output>>,
    /// `None` if the request is not known yet, so that it cannot have a trace.
    trace: Option<OwnedOrLent<'a, Trace>>,
    /// The span of the branch or item that is observed, if it is traced.
    member: Option<MemberSpan>,
    /// The times of the steps, if they are recorded.
    clock: Option<OwnedOrLent<'a, StepClock>>,
    counts: &'a Metrics,
}

impl<'a> Observers<'a> {
    /// Observers of a delivery of which only the request id is known.
    pub(crate) fn for_request(id: RequestId, counts: &'a Metrics) -> Observers<'a> {
        Observers { lines: RequestLog::new(id), output: None, trace: None, member: None, clock: None, counts }
    }

    /// Observers of the delivery of a phase.
    pub(crate) fn for_phase(lines: RequestLog, trace: Trace, counts: &'a Metrics) -> Observers<'a> {
        Observers { lines, output: None, trace: Some(OwnedOrLent::owned(trace)), member: None, clock: None, counts }
    }

    /// The same, but the log lines are also collected for the output of the request.
    pub(crate) fn keeping_lines(self) -> Observers<'a> {
        Observers { output: Some(OwnedOrLent::owned(Output::new(&self.lines))), ..self }
    }

    /// The same, but the times of the steps are also collected for the record of the request.
    pub(crate) fn timing_steps(self) -> Observers<'a> {
        Observers { clock: Some(OwnedOrLent::owned(StepClock::new(&self.lines))), ..self }
    }

    /// The times of the steps since they were last taken.
    pub(crate) fn take_steps(&self) -> Steps {
        self.clock.as_deref().map(StepClock::take).unwrap_or_default()
    }

    /// Observers of a branch or an item that is executed within the phase. Its log lines name it, and its spans are inside a
    /// span of its own.
    pub(crate) fn in_member(&self, member: &Member) -> Observers<'_> {
        Observers {
            lines: self.lines.in_member(member.path(self.lines.branch()), member.label_in(self.lines.label())),
            output: self.output.as_deref().map(OwnedOrLent::Lent),
            trace: self.trace.as_deref().map(OwnedOrLent::Lent),
            member: self.trace.as_deref().and_then(|trace| MemberSpan::begin(trace, self.member.as_ref())),
            clock: self.clock.as_deref().map(OwnedOrLent::Lent),
            counts: self.counts,
        }
    }

    /// Emits the end of the branch or item that is observed.
    pub(crate) fn member_ended(
        &mut self,
        member: &Member,
        outcome: MemberOutcome,
        took: Duration,
        failure: Option<&Failure>,
    ) {
        self.emit(&Event::MemberEnded { member, outcome, took, failure });
        if let (Some(trace), Some(span)) = (self.trace.as_deref(), self.member.take()) {
            let path = (self.lines.branch(), self.lines.label());
            span.finish(trace, &member.span_name(), path, outcome, failure);
        }
    }

    /// Emits an event. This and all observers are inlined where an event is made, so that only the code that observes this
    /// event remains.
    #[inline(always)]
    pub(crate) fn emit(&self, event: &Event<'_>) {
        self.lines.observe(event);
        if let Some(output) = &self.output {
            output.observe(self.lines.branch(), event);
        }
        if let Some(trace) = &self.trace {
            trace.observe(event);
        }
        self.counts.observe(event);
    }

    /// Begins a step. Emit the events of the step to the scope.
    pub(crate) fn step<'b>(&'b self, step: &'b Step, index: StepIndex) -> Scope<'b> {
        self.emit(&Event::StepBegun { step });
        let span = self.trace.as_deref().map(|trace| StepSpan::begin(trace, self.member.as_ref()));
        let watch = self.clock.as_deref().map(|clock| StepWatch::begin(clock, &self.lines, step, index));
        Scope { observers: self, step: Some((step, index)), span, watch }
    }

    /// A scope for events outside a step.
    pub(crate) fn no_step(&self) -> Scope<'_> {
        Scope { observers: self, step: None, span: None, watch: None }
    }

    /// The id of the span of the phase, if it is recorded.
    pub(crate) fn span_id(&self) -> Option<String> {
        self.trace.as_deref().and_then(Trace::span_id)
    }

    /// The trace context for everything that the phase sends outside its steps.
    pub(crate) fn trace_context(&self) -> TraceContext {
        self.trace.as_deref().map(Trace::context).unwrap_or_default()
    }

    /// Whether each step has a span of its own, whose context is passed on.
    pub(crate) fn is_traced(&self) -> bool {
        self.trace.as_deref().is_some_and(Trace::is_active)
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
        self.output.as_deref().map(Output::lines)
    }
}

/// The observers of a branch use those of their phase.
#[derive(Debug)]
enum OwnedOrLent<'a, T> {
    /// It is boxed, so that the observers of a branch are small. They are moved with its future.
    Owned(Box<T>),
    Lent(&'a T),
}

impl<T> OwnedOrLent<'_, T> {
    fn owned(value: T) -> Self {
        OwnedOrLent::Owned(Box::new(value))
    }
}

impl<T> Deref for OwnedOrLent<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            OwnedOrLent::Owned(value) => value,
            OwnedOrLent::Lent(value) => value,
        }
    }
}

/// Emits events within a step that has a span.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    observers: &'a Observers<'a>,
    step: Option<(&'a Step, StepIndex)>,
    span: Option<StepSpan<'a>>,
    /// It is boxed, because most deliveries have none and scopes are part of large futures.
    watch: Option<Box<StepWatch<'a>>>,
}

impl Scope<'_> {
    /// Emits an event of the step.
    #[inline(always)]
    pub(crate) fn emit(&mut self, event: &Event<'_>) {
        self.observers.emit(event);
        spans::observe_step(&mut self.span, event);
        watch_step(&mut self.watch, event);
    }

    /// Makes the step's span the parent of a request, if it is part of a trace.
    pub(crate) fn point(&self, headers: &mut HeaderMap) {
        if let Some(span) = &self.span {
            span.point(headers);
        }
    }
}

/// A step that is dropped before it has ended was cancelled. Its span says so.
impl Drop for Scope<'_> {
    fn drop(&mut self) {
        if let (Some(mut span), Some((step, index))) = (self.span.take(), self.step) {
            span.cancelled();
            span.finish(step, index, 0, None, None);
        }
    }
}
