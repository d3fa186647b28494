//! Verifies a delivery, works on it, and answers it.

use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use faasflow_core::{RequestId, code, headers};
use faasflow_http::now_ms;
use http::{StatusCode, request};
use tokio::time::Instant;

use super::admission::ask_to_retry;
use super::remedy::with_help;
use super::request::{Refusal, delivery, resume, start};
use super::respond::respond;
use crate::conclusion::{Conclusion, Delivery};
use crate::deadline::Deadline;
use crate::instance::Instance;
use crate::log::RequestLog;
use crate::observers::{Event, Observers, path_to};

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
        let _in_flight = self.metrics.in_flight();
        let arrived = match (self.verify(&parts, &body, delivery), delivery) {
            (Err(refusal), _) => Err(refusal),
            (Ok(()), Delivery::Envelope) => resume(&self.flow, &self.name, &body),
            (Ok(()), Delivery::Fresh) => {
                let decoded = self.decoded(&parts.headers, body, &deadline).await;
                decoded.and_then(|body| start(&self.flow, &self.name, id.clone(), &parts, body, &self.config.sampling))
            }
        };
        let arrived = match arrived {
            Ok(arrived) => arrived,
            Err(refusal) => return self.refuse(refusal, id, delivery),
        };
        let id = arrived.info.id.clone();
        let begun = Instant::now();
        let place = arrived.token.place().clone();
        let trace = self.tracer.begin(&arrived.info, &place, arrived.sent_ms);
        let branch = path_to(self.flow.plan(), &place);
        let lines = RequestLog::for_phase(id.clone(), &place, branch, trace.id());
        let mut observers = Observers::for_phase(lines, trace, &self.metrics);
        if self.config.combine_output {
            observers = observers.keeping_lines();
        }
        let waited = arrived.sent_ms.map(since).unwrap_or_default();
        observers.emit(&Event::Begun { delivery, waited });
        let started_ms = arrived.info.started_ms;
        // Boxed, because this large future would otherwise be copied from one future into the next.
        let conclusion = match self.flow.plan().needs_store() {
            false => observers.within(Box::pin(self.drive(arrived, &deadline, &observers))).await,
            true => observers.within(self.drive_branches(arrived, &deadline, &observers)).await,
        };
        let status = conclusion.status(delivery);
        let (took, since_start) = (begun.elapsed(), since(started_ms));
        observers.emit(&Event::Concluded { place: &place, conclusion: &conclusion, status, took, since_start });
        let response = respond(conclusion, &id, delivery, observers.kept_lines());
        observers.emit(&Event::Closed { delivery, status });
        response
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

    fn refuse(&self, refusal: Refusal, id: RequestId, delivery: Delivery) -> Response {
        let Refusal { status, code, reason, detail, of } = refusal;
        let (id, observers) = match of {
            None => (id.clone(), Observers::for_request(id, &self.metrics)),
            Some((info, place)) => {
                let trace = self.tracer.begin(&info, &place, None);
                let branch = path_to(self.flow.plan(), &place);
                let lines = RequestLog::for_phase(info.id.clone(), &place, branch, trace.id());
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

/// How long ago a time was, given in milliseconds since the Unix epoch.
fn since(ms: u64) -> Duration {
    Duration::from_millis(now_ms().saturating_sub(ms))
}
