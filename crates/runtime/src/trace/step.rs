//! The span of a step.

use std::sync::atomic::Ordering;
use std::time::SystemTime;

use faasflow_core::failure::FailureKind;
use faasflow_core::graph::StepIndex;
use faasflow_core::machine::Outage;
use faasflow_core::{Action, CallResponse, Failure, Method, Payload, Step};
use http::{HeaderMap, Uri};

use super::delivery::{Recording, Trace};
use super::id::{SpanContext, SpanId};
use super::incoming;
use super::member::MemberSpan;
use super::otlp::{Events, Kind, Span};
use super::text::cut;
use crate::observers::CallKind;

/// The span of a step that is running. It costs nothing if it is not recorded.
#[derive(Debug)]
pub(crate) struct StepSpan<'a> {
    trace: &'a Trace,
    /// The branch or item that the step is in, if any.
    member: Option<&'a MemberSpan>,
    /// The parent of the requests that the step sends.
    context: Option<SpanContext>,
    noted: Option<StepRecord>,
}

#[derive(Debug)]
struct StepRecord {
    begun: SystemTime,
    span: Span,
    events: Events,
    attempts: usize,
}

impl<'a> StepSpan<'a> {
    pub(crate) fn begin(trace: &'a Trace, member: Option<&'a MemberSpan>) -> StepSpan<'a> {
        let context = trace.active.as_ref().map(|active| active.context(SpanId::random()));
        let recorded = trace.active.as_ref().is_some_and(|active| matches!(active.recording, Recording::Yes(_)));
        let noted = recorded.then(|| StepRecord {
            begun: SystemTime::now(),
            span: Span::new(),
            events: Events::default(),
            attempts: 0,
        });
        StepSpan { trace, member, context, noted }
    }

    /// Makes this span the parent of a request, if it is part of a trace.
    pub(crate) fn point(&self, headers: &mut HeaderMap) {
        if let Some(context) = &self.context {
            incoming::point(headers, context, self.trace.info.trace.state.as_deref());
        }
    }

    /// Records the request that is sent.
    pub(crate) fn sends(&mut self, method: &Method, target: &Uri, kind: CallKind, bytes: usize) {
        if let Some(StepRecord { span, .. }) = &mut self.noted {
            span.attribute("http.request.method", method.as_str());
            span.attribute("url.full", &without_secrets(target, kind));
            span.attribute("http.request.body.size", bytes);
        }
    }

    /// Records the result of an attempt.
    pub(crate) fn attempted(&mut self, answer: &Result<CallResponse, FailureKind>) {
        let Some(noted) = &mut self.noted else { return };
        noted.attempts += 1;
        if answer.as_ref().is_ok_and(|response| response.status().is_success()) {
            return;
        }
        noted.events.push("attempt", |event| {
            event.attribute("faasflow.attempt", noted.attempts);
            match answer {
                Ok(response) => event.attribute("http.response.status_code", response.status().as_u16()),
                Err(kind) => event.attribute("error.type", kind.as_str()),
            }
        });
    }

    /// Records the answer that the step continues with.
    pub(crate) fn answered(&mut self, answer: Option<&CallResponse>) {
        let Some(StepRecord { span, attempts, .. }) = &mut self.noted else { return };
        span.attribute("faasflow.attempts", *attempts);
        if let Some(response) = answer {
            span.attribute("http.response.status_code", response.status().as_u16());
            span.attribute("http.response.body.size", response.payload().len());
        }
    }

    /// Records that the step cannot continue for now.
    pub(crate) fn away(&mut self, outage: &Outage) {
        if let Some(StepRecord { span, .. }) = &mut self.noted {
            span.attribute("error.type", "outage");
            span.failed(&cut(outage.reason.clone()));
        }
    }

    /// Records that the step was cancelled.
    pub(crate) fn cancelled(&mut self) {
        if let Some(StepRecord { span, .. }) = &mut self.noted {
            span.attribute("faasflow.cancelled", true);
        }
    }

    /// Ends the span with the output of the step or its failure.
    pub(crate) fn finish(
        self,
        step: &Step,
        index: StepIndex,
        bytes_in: usize,
        output: Option<&Payload>,
        failure: Option<&Failure>,
    ) {
        let Some(active) = &self.trace.active else { return };
        if let Recording::LeftOut(steps) = &active.recording {
            steps.fetch_add(1, Ordering::Relaxed);
        }
        let (Some(context), Some(StepRecord { begun, mut span, mut events, .. })) = (self.context, self.noted) else {
            return;
        };
        span.append(self.member.map_or(&active.of_steps, |member| &member.inside));
        span.append(&active.tracing.steps[index.index()]);
        span.id(context.span);
        span.times(begun, SystemTime::now());
        if !matches!(step.action(), Action::Call(_) | Action::Callback(_)) {
            span.attribute("faasflow.bytes.in", bytes_in);
            if let Some(output) = output {
                span.attribute("faasflow.bytes.out", output.len());
            }
        }
        if let Some(failure) = failure {
            let kind = failure.kind().as_str();
            span.attribute("error.type", kind);
            events.exception(kind, failure.to_string());
            match output {
                // The step's own failure handler recovered.
                Some(_) => span.attribute("faasflow.recovered", true),
                None => span.failed(&cut(failure.reason())),
            }
        }
        span.events(&events);
        if let Some(mut recorded) = active.recorded() {
            recorded.add(span);
        }
    }
}

/// The attributes that the spans of a step always have. `number` is counted from 1.
pub(super) fn constant_attributes(step: &Step, number: usize) -> Span {
    let mut span = Span::empty();
    span.attribute("faasflow.step", number);
    let what = match step.action() {
        Action::Call(call) => {
            span.name(Kind::Client, &["call ", call.function()]);
            span.attribute("faasflow.function", call.function());
            "call"
        }
        Action::Callback(callback) => {
            span.name(Kind::Client, &["callback ", callback.url().host().unwrap_or_default()]);
            "callback"
        }
        _ => {
            let parts: Vec<&str> = step.name().split('`').collect();
            span.name(Kind::Internal, &parts);
            "modifier"
        }
    };
    span.attribute("faasflow.step.kind", what);
    span
}

/// A URL without parts that may be secret. The URL of a function loses the values of its query. Any other URL loses
/// everything after the host, because the path of a webhook is often its only password.
fn without_secrets(target: &Uri, kind: CallKind) -> String {
    let mut shown = String::with_capacity(96);
    shown += target.scheme_str().unwrap_or("http");
    shown += "://";
    let authority = target.authority().map_or("", |authority| authority.as_str());
    shown += authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    shown += match (kind, target.path()) {
        (_, "/") => "/",
        (CallKind::Call, path) => path,
        (CallKind::Callback | CallKind::Report, _) => "/REDACTED",
    };
    match target.query() {
        None => {}
        Some(_) if kind != CallKind::Call => shown += "?REDACTED",
        Some(query) => {
            for (index, pair) in query.split('&').enumerate() {
                shown.push(if index == 0 { '?' } else { '&' });
                shown += pair.split('=').next().unwrap_or_default();
                shown += "=REDACTED";
            }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_contain_no_secrets_of_urls() {
        let shown = |url: &str, kind| without_secrets(&url.parse().unwrap(), kind);
        assert_eq!(
            shown("http://gateway:8080/function/resize?width=80&token=s3cret", CallKind::Call),
            "http://gateway:8080/function/resize?width=REDACTED&token=REDACTED"
        );
        assert_eq!(
            shown("https://u:s3cret@hooks.example.com/T0/s3cret?k=s3cret", CallKind::Callback),
            "https://hooks.example.com/REDACTED?REDACTED"
        );
        assert_eq!(shown("http://127.0.0.1:9/", CallKind::Report), "http://127.0.0.1:9/");
    }
}
