//! The span of a branch or an item that is executed within a phase.

use std::sync::atomic::Ordering;
use std::time::SystemTime;

use faasflow_core::{Failure, MemberOutcome};

use super::delivery::{Recording, Trace};
use super::id::SpanId;
use super::otlp::{Events, Kind, Span};
use super::text::cut;

/// The span of a branch or an item that is running. It is the parent of the spans inside.
#[derive(Debug)]
pub(crate) struct MemberSpan {
    begun: SystemTime,
    /// The span itself, as far as it is known. `None` if it is not recorded.
    span: Option<Span>,
    /// The attributes of the spans inside.
    pub(super) inside: Span,
}

impl MemberSpan {
    /// Begins the span of a member. `outer` is the span of the member that its graph or for-each stands in, if any. Returns
    /// `None` if the delivery is not traced.
    pub(crate) fn begin(trace: &Trace, outer: Option<&MemberSpan>) -> Option<MemberSpan> {
        let active = trace.active.as_ref()?;
        let context = active.context(SpanId::random());
        let mut inside = Span::empty();
        let recorded = matches!(active.recording, Recording::Yes(_));
        if recorded {
            inside.within(context, Some(context.span), false);
            inside.attribute("faasflow.request.id", trace.info.id.as_str());
        }
        let span = recorded.then(|| {
            let mut span = Span::new();
            span.append(outer.map_or(&active.of_steps, |outer| &outer.inside));
            span.id(context.span);
            span
        });
        Some(MemberSpan { begun: SystemTime::now(), span, inside })
    }

    /// Ends the span. `name` is the name of the member, `path` leads to it from the phase, and `label` is that of its item, or empty.
    pub(crate) fn finish(
        self,
        trace: &Trace,
        name: &str,
        (path, label): (&str, &str),
        outcome: MemberOutcome,
        failure: Option<&Failure>,
    ) {
        let Some(active) = &trace.active else { return };
        if let Recording::LeftOut(spans) = &active.recording {
            spans.fetch_add(1, Ordering::Relaxed);
        }
        let Some(mut span) = self.span else { return };
        span.name(Kind::Internal, &[name]);
        span.times(self.begun, SystemTime::now());
        span.attribute("faasflow.branch", path);
        if !label.is_empty() {
            span.attribute("faasflow.item.label", label);
        }
        span.attribute("faasflow.branch.outcome", outcome.as_str());
        let mut events = Events::default();
        if let Some(failure) = failure {
            let kind = failure.kind().as_str();
            span.attribute("error.type", kind);
            events.exception(kind, failure.to_string());
            span.failed(&cut(failure.reason()));
        }
        span.events(&events);
        if let Some(mut recorded) = active.recorded() {
            recorded.add(span);
        }
    }
}
