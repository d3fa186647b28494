//! Verifies a delivery, works on it, and answers it.

use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use faasflow_core::envelope::Branching;
use faasflow_core::graph::{Place, Plan};
use faasflow_core::machine::Route;
use faasflow_core::machine::forked::Message;
use faasflow_core::{RequestId, RequestInfo, code, headers};
use faasflow_http::now_ms;
use http::{StatusCode, request};
use tokio::time::Instant;

use super::admission::ask_to_retry;
use super::remedy::with_help;
use super::request::{Arrival, Refusal, attempt, delivery, start};
use super::respond::respond;
use crate::conclusion::{Conclusion, Delivery};
use crate::deadline::Deadline;
use crate::instance::Instance;
use crate::log::RequestLog;
use crate::observers::{Event, Observers, joined_labels, path_to};
use crate::records::Patience;
use crate::trace::TraceId;

impl Instance {
    /// Works on one delivery whose body has been read.
    pub(crate) async fn deliver(
        &self,
        id: RequestId,
        parts: request::Parts,
        body: Bytes,
        deadline: Deadline,
    ) -> Response {
        let delivery = delivery(&parts.headers);
        let arrived = match self.arrive(id, &parts, body, &deadline, delivery).await {
            Ok(arrived) => arrived,
            Err(response) => return *response,
        };
        let id = arrived.info.id.clone();
        let is_remembered = self.remembers && delivery == Delivery::Fresh;
        let mut response = self.work(arrived, delivery, &deadline, None).await.respond(&id, delivery);
        if is_remembered && response.status() == StatusCode::ACCEPTED {
            self.locate(&id, &mut response);
        }
        response
    }

    /// Verifies a delivery and reads the request from it.
    ///
    /// # Errors
    ///
    /// The answer, if the delivery is refused.
    pub(crate) async fn arrive(
        &self,
        id: RequestId,
        parts: &request::Parts,
        body: Bytes,
        deadline: &Deadline,
        delivery: Delivery,
    ) -> Result<Arrival, Box<Response>> {
        let arrived = match (self.verify(parts, &body, delivery), delivery) {
            (Err(refusal), _) => Err(refusal),
            (Ok(()), Delivery::Envelope) => self.open(&body),
            (Ok(()), Delivery::Fresh) => {
                let decoded = self.decoded(&parts.headers, body, deadline).await;
                let (flow, name, sampling) = (&self.flow, &self.name, &self.config.sampling);
                decoded.and_then(|body| start(flow, name, id.clone(), parts, body, sampling, self.remembers))
            }
        };
        match arrived {
            Ok(arrived) => Ok(Arrival { attempt: attempt(&parts.headers), ..arrived }),
            Err(refusal) => match self.park(&refusal, None).await {
                Some(conclusion) => Err(Box::new(respond(conclusion, &id, delivery, None))),
                None => Err(Box::new(self.refuse(refusal, id, delivery))),
            },
        }
    }

    /// Works on a delivery. If a caller waits for the end of the request, the next phase may have to be executed here as well.
    pub(crate) async fn work(
        &self,
        arrived: Arrival,
        delivery: Delivery,
        deadline: &Deadline,
        caller_waits: Option<&Patience>,
    ) -> Worked {
        let _in_flight = self.metrics.in_flight();
        let begun = Instant::now();
        let place = arrived.token.place().clone();
        let trace = self.tracer.begin(&arrived.info, &place, arrived.sent_ms);
        let earlier = arrived.earlier.clone();
        let route = Route::new(&self.flow, earlier.as_deref());
        let phase = route.segment(&place).map_or(place.phase(), |segment| segment.place().phase());
        let label = joined_labels(arrived.branching.iter().flat_map(Branching::labels));
        let lines = self.lines_about(route.plan(), &arrived.info, &place, label, trace.id());
        let mut observers = Observers::for_phase(lines, trace, &self.metrics);
        if self.config.combine_output {
            observers = observers.keeping_lines();
        }
        if self.keeps(&arrived.info) {
            observers = observers.timing_steps();
        }
        let waited = arrived.sent_ms.map(since).unwrap_or_default();
        observers.emit(&Event::Begun { delivery, waited });
        let started_ms = arrived.info.started_ms;
        // Boxed, because this large future would otherwise be copied from one future into the next.
        let (conclusion, onward) = match self.keeps(&arrived.info) || self.flow.plan().needs_store() {
            false => (observers.within(Box::pin(self.drive(arrived, deadline, &observers))).await, None),
            true => observers.within(self.drive_with_store(arrived, deadline, &observers, caller_waits)).await,
        };
        let status = conclusion.status(delivery);
        let (took, since_start) = (begun.elapsed(), since(started_ms));
        observers.emit(&Event::Concluded { phase, conclusion: &conclusion, status, took, since_start });
        observers.emit(&Event::Closed { delivery, status });
        Worked { conclusion, onward, lines: observers.kept_lines() }
    }

    /// Verifies the signature, if one is needed. Nothing may interpret a byte of an envelope before this succeeds.
    fn verify(&self, parts: &request::Parts, body: &Bytes, delivery: Delivery) -> Result<(), Refusal> {
        let needed = self.config.enable_hmac && (delivery == Delivery::Envelope || self.config.verify_request);
        if !needed {
            return Ok(());
        }
        // A body that was signed as an envelope must not be accepted as an ordinary body.
        if delivery == Delivery::Fresh && body.starts_with(faasflow_core::envelope::MAGIC) {
            let reason = "the body is an envelope, but its content type says otherwise";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, code::DISGUISED_ENVELOPE, reason));
        }
        let Some(keys) = &self.keys else {
            let reason = "this flow has no key, so it accepts no envelopes";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, code::NO_KEY, reason));
        };
        let header = parts.headers.get(headers::SIGNATURE).map(http::HeaderValue::as_bytes);
        let verified = keys.verify(header, body);
        verified.map_err(|error| {
            let reason = with_help(error.to_string(), Some(error.help()));
            Refusal::new(StatusCode::UNAUTHORIZED, error.code(), reason)
        })
    }

    /// The log lines of a delivery of this request, which do not show the secret values of its headers.
    pub(crate) fn lines_about(
        &self,
        plan: &Plan,
        info: &RequestInfo,
        place: &Place,
        label: String,
        trace: Option<TraceId>,
    ) -> RequestLog {
        let lines = lines(plan, info.id.clone(), place, label, trace);
        lines.hide(self.flow.secrets().header_values(&info.headers));
        lines
    }

    fn refuse(&self, refusal: Refusal, id: RequestId, delivery: Delivery) -> Response {
        let Refusal { status, code, reason, detail, of, .. } = refusal;
        let (id, observers) = match of {
            None => (id.clone(), Observers::for_request(id, &self.metrics)),
            Some((info, place)) => {
                let trace = self.tracer.begin(&info, &place, None);
                let lines = self.lines_about(self.flow.plan(), &info, &place, String::new(), trace.id());
                (info.id.clone(), Observers::for_phase(lines, trace, &self.metrics))
            }
        };
        observers.emit(&Event::Refused { status, code, detail: detail.as_deref().unwrap_or(&reason) });
        let mut response = respond(Conclusion::Refused(status, code, reason), &id, delivery, None);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            ask_to_retry(response.headers_mut());
        }
        observers.emit(&Event::Closed { delivery, status });
        response
    }
}

/// The log lines of a delivery. `label` is that of the item that it belongs to, or empty. An envelope that is refused may have a place of another plan.
pub(super) fn lines(plan: &Plan, id: RequestId, place: &Place, label: String, trace: Option<TraceId>) -> RequestLog {
    match plan.is_linear() && place.is_linear() {
        true => RequestLog::for_phase(id, place, trace),
        false => RequestLog::for_token(id, place, path_to(plan, place), label, trace),
    }
}

/// The result of the work on a delivery.
pub(crate) struct Worked {
    pub(crate) conclusion: Conclusion,
    /// The next phase, if it is executed in the same invocation.
    pub(crate) onward: Option<Message>,
    /// The log lines that the answer begins with.
    lines: Option<String>,
}

impl Worked {
    pub(crate) fn respond(self, id: &RequestId, delivery: Delivery) -> Response {
        respond(self.conclusion, id, delivery, self.lines)
    }
}

/// How long ago a time was, given in milliseconds since the Unix epoch.
fn since(ms: u64) -> Duration {
    Duration::from_millis(now_ms().saturating_sub(ms))
}
