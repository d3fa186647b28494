//! The span of a step.

use std::time::SystemTime;

use faasflow_core::failure::FailureKind;
use faasflow_core::{Action, CallResponse, Failure, Method, Payload, Step};
use http::{HeaderMap, Uri};
use opentelemetry::KeyValue;
use opentelemetry::trace::{Event, SpanContext, SpanKind, Status};

use super::{Active, Span, Trace, cut, exception, incoming, int, new_span_id};
use crate::metrics::failure_reason;

/// The span of a step that runs. What is noted of it costs nothing where the request is not sampled.
#[derive(Debug)]
pub(crate) struct StepSpan<'a> {
    trace: &'a Trace,
    /// What the step's requests name as their parent.
    context: Option<SpanContext>,
    recording: Option<Recording<'a>>,
}

#[derive(Debug)]
struct Recording<'a> {
    active: &'a Active,
    begun: SystemTime,
    attributes: Vec<KeyValue>,
    events: Vec<Event>,
    attempts: usize,
}

impl<'a> StepSpan<'a> {
    pub(super) fn begin(trace: &'a Trace) -> StepSpan<'a> {
        let context = trace.active.as_ref().map(|active| active.context(new_span_id()));
        let sampled = trace.active.as_ref().filter(|active| active.recorded.is_some());
        let recording = sampled.map(|active| Recording {
            active,
            begun: SystemTime::now(),
            attributes: Vec::with_capacity(12),
            events: Vec::new(),
            attempts: 0,
        });
        StepSpan { trace, context, recording }
    }

    /// Points a request of this step to it.
    pub(crate) fn point(&self, headers: &mut HeaderMap) {
        match &self.context {
            None => self.trace.pass_on(headers),
            Some(context) => incoming::point(headers, context, self.trace.info.trace.state.as_deref()),
        }
    }

    /// Notes the request that is sent.
    pub(crate) fn sends(&mut self, method: &Method, target: &Uri, to_function: bool, bytes: usize) {
        if let Some(recording) = &mut self.recording {
            recording.attributes.extend([
                KeyValue::new("http.request.method", method.to_string()),
                KeyValue::new("url.full", without_secrets(target, to_function)),
                KeyValue::new("http.request.body.size", int(bytes)),
            ]);
        }
    }

    /// Notes what an attempt came to.
    pub(crate) fn attempted(&mut self, answer: &Result<CallResponse, FailureKind>) {
        let Some(recording) = &mut self.recording else { return };
        recording.attempts += 1;
        let what = match answer {
            Ok(response) if response.status().is_success() => return,
            Ok(response) => KeyValue::new("http.response.status_code", i64::from(response.status().as_u16())),
            Err(kind) => KeyValue::new("error.type", failure_reason(kind)),
        };
        let attempt = KeyValue::new("faasflow.attempt", int(recording.attempts));
        recording.events.push(Event::new("attempt", SystemTime::now(), vec![attempt, what], 0));
    }

    /// Notes the answer that the step goes on with.
    pub(crate) fn answered(&mut self, answer: &Result<CallResponse, FailureKind>) {
        let Some(recording) = &mut self.recording else { return };
        recording.attributes.push(KeyValue::new("faasflow.attempts", int(recording.attempts)));
        if let Ok(response) = answer {
            recording.attributes.extend([
                KeyValue::new("http.response.status_code", i64::from(response.status().as_u16())),
                KeyValue::new("http.response.body.size", int(response.payload().len())),
            ]);
        }
    }

    /// Ends the step with its output, or its failure, if it has one.
    pub(crate) fn finish(
        self,
        step: &Step,
        number: usize,
        input: &Payload,
        output: Option<&Payload>,
        failure: Option<&Failure>,
    ) {
        let (Some(context), Some(Recording { active, begun, mut attributes, mut events, .. })) =
            (self.context, self.recording)
        else {
            return;
        };
        let (name, kind, what) = match step.action() {
            Action::Call(call) => {
                attributes.push(KeyValue::new("faasflow.function", call.function().to_owned()));
                (format!("call {}", call.function()), SpanKind::Client, "call")
            }
            Action::Callback(callback) => {
                let host = callback.url().host().unwrap_or_default();
                (format!("callback {host}"), SpanKind::Client, "callback")
            }
            _ => {
                attributes.push(KeyValue::new("faasflow.bytes.in", int(input.len())));
                attributes.extend(output.map(|output| KeyValue::new("faasflow.bytes.out", int(output.len()))));
                (step.name().replace('`', ""), SpanKind::Internal, "modifier")
            }
        };
        attributes.extend([
            KeyValue::new("faasflow.request.id", active.info.id.to_string()),
            KeyValue::new("faasflow.step", int(number)),
            KeyValue::new("faasflow.step.kind", what),
        ]);
        let mut status = Status::Unset;
        if let Some(failure) = failure {
            let kind = failure_reason(failure.kind());
            attributes.push(KeyValue::new("error.type", kind));
            events.push(exception(kind, failure.to_string()));
            match output {
                // Its own handler has mended it.
                Some(_) => attributes.push(KeyValue::new("faasflow.recovered", true)),
                None => status = Status::error(cut(failure.reason())),
            }
        }
        let ended = SystemTime::now();
        let span =
            active.span(context.span_id(), active.phase, Span { name, kind, begun, ended, attributes, events, status });
        if let Some(mut recorded) = active.recorded() {
            recorded.steps.push(span);
        }
    }
}

/// A URL without what may be secret: of a function its query's values, of any other server all behind the host, since
/// the path of a webhook is often its only password.
fn without_secrets(target: &Uri, to_function: bool) -> String {
    let (scheme, host) = (target.scheme_str().unwrap_or("http"), target.host().unwrap_or_default());
    let port = target.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    let path = match (to_function, target.path()) {
        (_, "/") => "/",
        (true, path) => path,
        (false, _) => "/REDACTED",
    };
    let query = match target.query() {
        None => String::new(),
        Some(_) if !to_function => "?REDACTED".to_owned(),
        Some(query) => {
            let names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
            let shown: Vec<String> = names.map(|name| format!("{name}=REDACTED")).collect();
            format!("?{}", shown.join("&"))
        }
    };
    format!("{scheme}://{host}{port}{path}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_tells_no_secrets_of_a_url() {
        let shown = |url: &str, to_function| without_secrets(&url.parse().unwrap(), to_function);
        assert_eq!(
            shown("http://gateway:8080/function/resize?width=80&token=s3cret", true),
            "http://gateway:8080/function/resize?width=REDACTED&token=REDACTED"
        );
        assert_eq!(
            shown("https://u:s3cret@hooks.example.com/T0/s3cret?k=s3cret", false),
            "https://hooks.example.com/REDACTED?REDACTED"
        );
        assert_eq!(shown("http://127.0.0.1:9/", false), "http://127.0.0.1:9/");
    }
}
