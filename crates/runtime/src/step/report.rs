//! Reports the end of a request.

use std::borrow::Cow;

use faasflow_core::{CallResponse, Context, Method, Outcome, Payload, Retry, headers};
use http::Uri;
use http::header::HeaderValue;

use super::caller::Caller;
use super::outgoing::{Outgoing, PhaseHeaders, Time};
use super::unanswered::Unanswered;
use crate::deadline::{CutOff, Deadline};
use crate::first_outage::FirstOutage;
use crate::gateway::trace_headers;
use crate::observers::{CallKind, Observers, Peer};

/// The phase after which the report is sent.
pub(crate) struct ReportContext<'a> {
    pub(crate) context: &'a Context,
    pub(crate) phase: &'a PhaseHeaders,
    pub(crate) deadline: &'a Deadline,
    pub(crate) observers: &'a Observers<'a>,
    pub(crate) outage: &'a FirstOutage,
}

impl Caller {
    /// Reports the end of a request to the URL that its caller asked for.
    pub(crate) async fn report(
        &self,
        url: &Uri,
        from: ReportContext<'_>,
        outcome: Outcome,
        payload: &Payload,
    ) -> Result<CallResponse, Unanswered> {
        let ReportContext { context, phase, deadline, observers, outage } = from;
        let mut own = vec![(headers::OUTCOME, HeaderValue::from_static(outcome.as_str()))];
        own.extend(trace_headers(&observers.trace_context()));
        // A request that was started again ends again.
        let generation = match context.place().generation() {
            0 => String::new(),
            generation => format!("@{generation}"),
        };
        let mut outgoing = Outgoing {
            to: Peer { kind: CallKind::Report, name: "the caller's callback URL", function: "", step: None },
            method: &Method::POST,
            target: Cow::Borrowed(url),
            phase,
            idempotency_key: [context.request_id().into(), "-end".into(), generation.into()],
            own,
            payload: payload.clone(),
            timeout: None,
            retry: &Retry::attempts(5),
            payload_released: false,
        };
        let deadline = deadline.for_ending();
        let mut cut_off = CutOff::at(deadline.steps());
        let time = Time { deadline: &deadline, cut_off: &mut cut_off, outage, stoppable: None };
        self.send(&mut outgoing, &mut observers.no_step(), time).await
    }
}
