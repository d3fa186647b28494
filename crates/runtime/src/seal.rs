//! Seals what is left of a request into a signed envelope, and hands it on; takes the payload out again.

use std::time::Duration;

use faasflow_core::envelope::{Carried, Encoded, Envelope};
use faasflow_core::failure::FailureKind;
use faasflow_core::graph::Place;
use faasflow_core::signature::Keys;
use faasflow_core::state::{StateError, StateManager as _, StateManagerExt as _};
use faasflow_core::{Context, Payload, RequestInfo};
use http::StatusCode;
use tokio::time::Instant;

use crate::deadline::Deadline;
use crate::execute::Execution;
use crate::forward::{Forward, ForwardError, call_id};
use crate::function::Inner;
use crate::log::RequestLog;
use crate::metrics::ForwardResult;
use crate::outage::Outage;
use crate::patient::Patient;
use crate::payloads;
use crate::request::now_ms;
use crate::respond::Conclusion;

impl Inner {
    /// Sends the request on to its next phase, trying again while there is time.
    pub(crate) async fn forward(
        &self,
        execution: &Execution<'_>,
        next: &Place,
        payload: &Payload,
    ) -> Result<(), NotForwarded> {
        let Execution { context, deadline, log, trace, .. } = *execution;
        let request = context.request();
        let (encoded, stored) = self.seal(context, next, payload, deadline, log).await?;
        let size = encoded.len();
        self.metrics.envelope(size);
        let sign = |keys: &Keys| keys.sign(encoded.parts().iter().map(|part| &**part));
        let signature = self.keys.as_ref().map(sign);
        let forward = Forward {
            flow: self.name.to_string(),
            request: request.id.clone(),
            phase: next.phase(),
            call_id: call_id(request, next),
            signature,
            trace: trace.context(),
            body: encoded.into_parts(),
        };
        let until = deadline.ending();
        let mut wait = Duration::from_millis(50);
        loop {
            let error = match tokio::time::timeout_at(until, self.forwarder.forward(forward.clone())).await {
                Ok(Ok(())) => {
                    self.metrics.forward(ForwardResult::Accepted);
                    trace.event("forwarded", |event| {
                        event.attribute("faasflow.phase", next.phase());
                        event.attribute("faasflow.envelope.bytes", size);
                        event.attribute("faasflow.payload.stored", stored);
                    });
                    return Ok(());
                }
                Ok(Err(error)) => error,
                Err(_) => ForwardError::temporary("the gateway did not answer in time", None),
            };
            if !error.is_temporary() {
                self.metrics.forward(ForwardResult::Failed);
                return Err(NotForwarded::Failed(FailureKind::Forward(error.to_string())));
            }
            let pause = wait.mul_f64(0.5 + rand::random::<f64>() / 2.0).max(error.retry_after().unwrap_or_default());
            let in_time = Instant::now().checked_add(pause).is_some_and(|then| then < until);
            if !in_time {
                self.metrics.forward(ForwardResult::Failed);
                let outage = Outage::new("the next phase cannot be queued now", error.to_string());
                return Err(NotForwarded::Transient(Outage { retry_after: error.retry_after(), ..outage }));
            }
            self.metrics.forward(ForwardResult::Retried);
            trace.event("forward failed", |event| {
                event.attribute("exception.message", &crate::trace::cut(error.to_string()));
            });
            log.warn(format_args!("Cannot forward to phase {next} yet: {error}"));
            tokio::time::sleep(pause).await;
            wait = (wait * 2).min(Duration::from_secs(2));
        }
    }

    /// The envelope, with the payload in it, or in the state manager if it would be too large or the settings say so;
    /// and whether it is there.
    async fn seal(
        &self,
        context: &Context,
        next: &Place,
        payload: &Payload,
        deadline: &Deadline,
        log: &RequestLog,
    ) -> Result<(Encoded, bool), NotForwarded> {
        let limit = self.config.envelope_limit;
        let manager = self.patient(deadline.state_in_ending());
        let encode = |payload: Carried| self.envelope(context, next, payload).encode();
        if !self.config.intermediate_storage {
            let encoded = encode(Carried::Inline(payload.clone()));
            if encoded.len() as u64 <= limit {
                return Ok((encoded, false));
            }
            if manager.is_none() {
                return Err(too_large(&encoded, payload.len(), context, limit));
            }
        }
        let Some(manager) = manager else {
            // Refused at the start already.
            return Err(NotForwarded::Failed(FailureKind::Storage("there is no state manager".to_owned())));
        };
        let scope = context.request().scope();
        let reference = manager.store_payload(&scope, next, payload).await.map_err(unstored)?;
        self.metrics.payload_stored(payload.len());
        log.debug(format_args!("Stored the payload of {} bytes in `{}`", payload.len(), manager.name()));
        let encoded = encode(Carried::Stored(reference));
        if encoded.len() as u64 <= limit { Ok((encoded, true)) } else { Err(too_large(&encoded, 0, context, limit)) }
    }

    /// The payload that a phase begins with.
    pub(crate) async fn take(
        &self,
        payload: Carried,
        info: &RequestInfo,
        manager: Option<&Patient>,
        log: &RequestLog,
    ) -> Result<Payload, Absent> {
        let (reference, manager) = match (payload, manager) {
            (Carried::Inline(payload), _) => return Ok(payload),
            (Carried::Stored(reference), Some(manager)) => (reference, manager),
            (Carried::Stored(_), None) => {
                let reason = "the payload is kept by a state manager, and this flow has none";
                return Err(Absent::Concluded(Conclusion::Refused(StatusCode::CONFLICT, reason.to_owned())));
            }
        };
        match payloads::fetch(manager, &info.scope(), &reference).await {
            Ok(Some(payload)) => Ok(payload),
            Ok(None) => {
                let reason = "the payload is in the state manager no more: the request has ended, and this delivery \
                              is one too many, or what it stored has expired";
                log.error(format_args!("Not executed: {reason}"));
                Err(Absent::Concluded(Conclusion::Refused(StatusCode::GONE, reason.to_owned())))
            }
            Err(error) if error.is_temporary() => {
                let detail = format!("the payload cannot be fetched: {}", faasflow_core::Error::from(error));
                Err(Absent::Outage(Outage::of_state(detail)))
            }
            Err(error) => Err(Absent::Failed(faasflow_core::Error::from(error).to_string())),
        }
    }

    fn envelope(&self, context: &Context, next: &Place, payload: Carried) -> Envelope {
        let plan = self.flow.plan();
        Envelope {
            request: context.request().clone(),
            place: next.clone(),
            fingerprint: plan.fingerprint(),
            shape: plan.shape().to_owned(),
            sent_ms: now_ms(),
            payload,
            state: context.embedded_state(),
        }
    }
}

/// Why a phase has no payload to begin with.
pub(crate) enum Absent {
    /// There is nothing to execute.
    Concluded(Conclusion),
    /// The state manager is away.
    Outage(Outage),
    /// The request has failed; the text is for the log.
    Failed(String),
}

/// Why a request was not handed on to its next phase.
pub(crate) enum NotForwarded {
    /// For a reason that passes.
    Transient(Outage),
    /// For good.
    Failed(FailureKind),
}

fn too_large(encoded: &Encoded, payload: usize, context: &Context, limit: u64) -> NotForwarded {
    let state = context.embedded_state().values().map(|value| value.bytes.len() as u64).sum();
    let (size, payload) = (encoded.len() as u64, payload as u64);
    NotForwarded::Failed(FailureKind::EnvelopeTooLarge { size, payload, state, limit })
}

fn unstored(error: StateError) -> NotForwarded {
    let temporary = error.is_temporary();
    let text = format!("the payload cannot be stored: {}", faasflow_core::Error::from(error));
    if temporary {
        NotForwarded::Transient(Outage::of_state(text))
    } else {
        NotForwarded::Failed(FailureKind::Storage(text))
    }
}
