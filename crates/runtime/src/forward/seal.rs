//! Seals a request into a signed envelope and forwards it. Fetches the payload of a phase.

use std::sync::Arc;
use std::time::Duration;

use faasflow_core::envelope::{Branching, Carried, Encoded, Envelope};
use faasflow_core::failure::FailureKind;
use faasflow_core::graph::{Place, Plan, Segment};
use faasflow_core::machine::{Outage, Token, Unfit};
use faasflow_core::signature::Keys;
use faasflow_core::state::{Scope, StateError, StateManager as _, StateManagerExt as _};
use faasflow_core::{Context, Error, Payload, RequestInfo, Retry, chain};
use faasflow_http::now_ms;
use tokio::time::Instant;
use uuid::Uuid;

use super::forwarder::{Forward, ForwardError};
use super::payloads;
use crate::deadline::Deadline;
use crate::instance::Instance;
use crate::observers::{Event, Observers, PayloadLocation};
use crate::retrying_state::RetryingState;

/// A token to forward: where it goes, what it carries, and what a request with branches needs besides.
#[derive(Clone, Debug)]
pub(crate) struct Onward<'a> {
    pub(crate) place: &'a Place,
    pub(crate) payload: &'a Carried,
    pub(crate) branching: Option<Branching>,
    /// The id of its invocation, if that is not the one of its place. A queue takes it for something new then.
    pub(crate) call_id: Option<Uuid>,
    /// The plan of the definition that the request began with; `None` if that is deployed.
    pub(crate) plan: Option<&'a Plan>,
}

impl<'a> From<&'a Token> for Onward<'a> {
    fn from(token: &'a Token) -> Onward<'a> {
        Onward { place: token.place(), payload: token.payload(), branching: None, call_id: None, plan: None }
    }
}

/// How an envelope is retried after a temporary error.
const RETRY: Retry = Retry::unlimited().initial_delay(Duration::from_millis(50)).max_delay(Duration::from_secs(2));

impl Instance {
    /// Forwards a token to its phase, with retries while there is time.
    ///
    /// # Errors
    ///
    /// If the envelope was not accepted.
    pub(crate) async fn forward(
        &self,
        context: &Context,
        onward: Onward<'_>,
        deadline: &Deadline,
        observers: &Observers<'_>,
    ) -> Result<(), NotForwarded> {
        let (next, given) = (onward.place, onward.call_id);
        let request = context.request();
        let (encoded, kept) = self.seal(context, onward, deadline, observers).await?;
        let bytes = encoded.len();
        observers.emit(&Event::Sealed { bytes });
        let sign = |keys: &Keys| keys.sign(encoded.parts().iter().map(|part| &**part));
        let signature = self.keys.as_ref().map(sign);
        let forward = Forward {
            flow: self.name.to_string(),
            request: request.id.clone(),
            place: next.clone(),
            call_id: given.unwrap_or_else(|| call_id(request, next)),
            signature,
            trace: observers.trace_context(),
            body: encoded.into_parts(),
        };
        let until = deadline.ending();
        let mut attempt = 0_u32;
        loop {
            attempt = attempt.saturating_add(1);
            let error = match tokio::time::timeout_at(until, self.forwarder.forward(forward.clone())).await {
                Ok(Ok(())) => {
                    observers.emit(&Event::Forwarded { next, bytes, payload: kept });
                    return Ok(());
                }
                Ok(Err(error)) => error,
                Err(_) => ForwardError::temporary("the gateway did not answer in time", None),
            };
            if !error.is_temporary() {
                observers.emit(&Event::ForwardFailed);
                return Err(NotForwarded::Failed(FailureKind::Forward(Arc::new(error.into()))));
            }
            let pause = RETRY.delay(attempt, rand::random(), error.retry_after());
            let in_time = Instant::now().checked_add(pause).is_some_and(|then| then < until);
            if !in_time {
                observers.emit(&Event::ForwardFailed);
                let outage = Outage::new(error.code(), "the next phase cannot be queued now", chain(&error));
                return Err(NotForwarded::Transient(Outage { retry_after: error.retry_after(), ..outage }));
            }
            observers.emit(&Event::ForwardRetried { next, error: &error });
            tokio::time::sleep(pause).await;
        }
    }

    /// Makes the envelope, and says where its payload is: in the envelope, or in the state manager if the envelope would be
    /// too large or if the settings say so.
    async fn seal(
        &self,
        context: &Context,
        onward: Onward<'_>,
        deadline: &Deadline,
        observers: &Observers<'_>,
    ) -> Result<(Encoded, PayloadLocation), NotForwarded> {
        let limit = self.config.envelope_limit;
        let manager = self.retrying_state(deadline.state_in_ending());
        let Onward { place, payload, branching, plan, .. } = onward;
        let plan = plan.unwrap_or(self.flow.plan());
        let encode = |payload: Carried| envelope(context, plan, place, payload, branching.clone()).encode();
        let payload = match payload {
            Carried::Inline(payload) => payload,
            // The payload is already stored.
            stored @ Carried::Stored(_) => return Ok((encode(stored.clone()), PayloadLocation::StateManager)),
        };
        if !self.config.intermediate_storage {
            let encoded = encode(Carried::Inline(payload.clone()));
            if encoded.len() as u64 <= limit {
                return Ok((encoded, PayloadLocation::Envelope));
            }
            if manager.is_none() {
                return Err(too_large(&encoded, payload.len(), context, limit));
            }
        }
        let Some(manager) = manager else {
            // Such a flow is refused at start-up, so this should not happen.
            return Err(NotForwarded::Failed(FailureKind::Storage(Arc::new(Error::msg(
                "the flow has no state manager",
            )))));
        };
        let scope = context.request().scope();
        let reference = manager.store_payload(&scope, place, payload).await.map_err(not_stored)?;
        observers.emit(&Event::PayloadStored { bytes: payload.len(), manager: manager.name() });
        let encoded = encode(Carried::Stored(reference));
        if encoded.len() as u64 <= limit {
            Ok((encoded, PayloadLocation::StateManager))
        } else {
            Err(too_large(&encoded, 0, context, limit))
        }
    }

    /// Fetches the payload with which a phase starts.
    pub(crate) async fn take(
        &self,
        payload: Carried,
        info: &RequestInfo,
        manager: Option<&RetryingState>,
        observers: &Observers<'_>,
    ) -> Result<Payload, NoPayload> {
        let (reference, manager) = match (payload, manager) {
            (Carried::Inline(payload), _) => return Ok(payload),
            (Carried::Stored(reference), Some(manager)) => (reference, manager),
            (Carried::Stored(_), None) => return Err(NoPayload::Unfit(Unfit::NoStateManager)),
        };
        match payloads::fetch(manager, &info.scope(), &reference).await {
            Ok(Some(payload)) => Ok(payload),
            Ok(None) => {
                observers.emit(&Event::PayloadGone { reason: PAYLOAD_GONE });
                Err(NoPayload::Unfit(Unfit::PayloadGone))
            }
            Err(error) if error.is_temporary() => {
                let detail = format!("the payload cannot be fetched: {}", chain(&error));
                Err(NoPayload::Outage(Outage::state_unreachable(detail)))
            }
            Err(error) => Err(NoPayload::Failed(error.into())),
        }
    }
}

/// An envelope with the numbers of this plan.
pub(crate) fn envelope(
    context: &Context,
    plan: &Plan,
    place: &Place,
    payload: Carried,
    branching: Option<Branching>,
) -> Envelope {
    Envelope {
        request: context.request().clone(),
        place: place.clone(),
        fingerprint: plan.fingerprint(),
        ahead: plan.segment(place).map(Segment::ahead),
        shape: plan.shape().to_owned(),
        sent_ms: now_ms(),
        payload,
        state: context.embedded_state(),
        branching,
    }
}

/// The reason in the answer to a delivery whose payload no longer exists.
pub(crate) const PAYLOAD_GONE: &str = "the payload is no longer in the state manager: the request has ended and was \
                                       delivered once too often, or its payload has expired";

/// Why a phase cannot get its payload.
pub(crate) enum NoPayload {
    /// The delivery cannot be executed.
    Unfit(Unfit),
    /// The state manager is unavailable.
    Outage(Outage),
    /// The request has failed. The error is for the log.
    Failed(Error),
}

/// Why a request was not forwarded to its next phase.
pub(crate) enum NotForwarded {
    /// For a temporary reason.
    Transient(Outage),
    /// For a permanent reason.
    Failed(FailureKind),
}

fn too_large(encoded: &Encoded, payload: usize, context: &Context, limit: u64) -> NotForwarded {
    let state = context.embedded_state().values().map(|value| value.bytes.len() as u64).sum();
    let (size, payload) = (encoded.len() as u64, payload as u64);
    NotForwarded::Failed(FailureKind::EnvelopeTooLarge { size, payload, state, limit })
}

fn not_stored(error: StateError) -> NotForwarded {
    let what = "the payload cannot be stored";
    if error.is_temporary() {
        NotForwarded::Transient(Outage::state_unreachable(format!("{what}: {}", chain(&error))))
    } else {
        NotForwarded::Failed(FailureKind::Storage(Arc::new(Error::from(error).context(what))))
    }
}

/// The id of the invocation that executes a request's phase at a place: a version 8 UUID made from a hash of both.
pub(crate) fn call_id(request: &RequestInfo, place: &Place) -> Uuid {
    let Scope { flow, request } = request.scope();
    Uuid::new_v8(place.call_id(&flow, &request))
}
