//! Begins a request with the input of another one.

use std::sync::Arc;

use faasflow_core::code::Code;
use faasflow_core::envelope::Carried;
use faasflow_core::handler::BoxFuture;
use faasflow_core::machine::forked::{Begun, Message};
use faasflow_core::machine::{Caller, Outage, Route};
use faasflow_core::{Context, Payload, RequestId, RequestInfo};
use http::StatusCode;
use tokio::time::Instant;

use super::begin::{Beginning, Start};
use super::perform::{Performer, Stop};
use crate::conclusion::{Conclusion, Delivery};
use crate::deadline::Deadline;
use crate::definitions::BegunWith;
use crate::delivery::drive::refuse;
use crate::first_outage::FirstOutage;
use crate::forward::{NotForwarded, Onward};
use crate::instance::Instance;
use crate::observers::{Event, Observers};
use crate::records::{Patience, branching};

/// Why a request was not repeated.
#[derive(Debug)]
pub(crate) enum NotRepeated {
    /// It cannot begin, for example because its id is taken.
    Refused(StatusCode, Code, String),
    /// It may be possible later.
    Outage(Outage),
}

impl Instance {
    /// Begins a request with the input of another one, and puts its first phase into the queue. Doing so again with the same id
    /// begins nothing new.
    ///
    /// The future is boxed here, because the compiler cannot prove from the outside that it can move between threads.
    pub(crate) fn repeat<'a>(
        &'a self,
        info: Arc<RequestInfo>,
        payload: Payload,
        original: &'a RequestId,
        deadline: &'a Deadline,
    ) -> BoxFuture<'a, Result<(), NotRepeated>> {
        Box::pin(async move {
            let first = self.begin_repeated(info.clone(), payload.clone(), original, deadline).await?;
            let Some(started_ms) = first else { return Ok(()) };
            // It is known by the time at which it first began.
            let info = RequestInfo { started_ms, ..(*info).clone() };
            self.begin_repeated(Arc::new(info), payload, original, deadline).await.map(drop)
        })
    }

    /// Returns when the request began if that was at another time, before this began anything.
    async fn begin_repeated(
        &self,
        info: Arc<RequestInfo>,
        payload: Payload,
        original: &RequestId,
        deadline: &Deadline,
    ) -> Result<Option<u64>, NotRepeated> {
        let place = self.flow.plan().start();
        let secrets = self.flow.secrets().values(&payload);
        let body = Carried::Inline(payload);
        let fresh = Message::fresh(place.clone(), body.clone(), Caller::Left);
        let message = Message { remembered: true, ..fresh };
        let outage = FirstOutage::default();
        let in_steps = self.retrying_state(deadline.state_in_steps()).expect("the flow has a state manager");
        let context = Context::external(info.clone(), &place, Arc::new(in_steps.noting(outage.clone())));
        let context = context.remembered_for(self.config.keep_records);
        let trace = self.tracer.begin(&info, &place, None);
        let lines = self.lines_about(self.flow.plan(), &info, &place, String::new(), trace.id());
        lines.hide(secrets);
        let observers = Observers::for_phase(lines, trace, &self.metrics);
        let phase = self.caller.phase_headers(&context, &observers);
        let route = Route::new(&self.flow, None);
        let execution = self.execution(&context, &phase, route, deadline, &observers, outage);
        // A process that dies before the first phase is in the queue has left a request that another process looks for.
        let patience = Patience::new(Instant::now());
        let performer = || Performer::new(self, &message, &execution, Some(&patience));
        // It is the same if somebody asks again, so the request goes on then.
        let invocation = format!("repeats {original}");
        let (carried, begun_with, begun) = match performer().begin_request(&invocation, Some(original)).await {
            Ok(Start::Begins(carried, written)) => {
                observers.emit(&Event::Begun { delivery: Delivery::Fresh, waited: std::time::Duration::ZERO });
                (carried, BegunWith::Deployed, Beginning::Now(written))
            }
            Ok(Start::Continues(.., started_ms)) if started_ms != info.started_ms => return Ok(Some(started_ms)),
            Ok(Start::Continues(carried, begun_with, _)) => (carried, begun_with, Beginning::Before),
            Ok(Start::Concludes(conclusion)) => return concluded(conclusion),
            Err(Stop::Outage(_, outage)) => return Err(NotRepeated::Outage(outage)),
            Err(Stop::Unfit(unfit)) => return concluded(refuse(unfit)),
        };
        let performer = performer();
        if let Err(Stop::Outage(_, outage)) = performer.make_findable(&body, Some(original)).await {
            performer.gave_up(&outage, &begun).await;
            return Err(NotRepeated::Outage(outage));
        }
        let plan = begun_with.route(&self.flow).plan();
        let branching = branching(plan, &message);
        // The id of the call is always the same, so a queue takes the phase once.
        let onward = Onward { place: &place, payload: &carried, branching, call_id: None, plan: Some(plan) };
        self.forward(&context, onward, deadline, &observers).await.map_err(|error| {
            NotRepeated::Outage(match error {
                NotForwarded::Transient(outage) => outage,
                NotForwarded::Failed(kind) => Outage::new(kind.code(), "a phase cannot be queued", kind.to_string()),
            })
        })?;
        if let Beginning::Now(written) = &begun
            && let Some(begun) = Begun::decode(written)
        {
            // Now the queue has it. If this is not written, the phase may be queued once more, and is executed once.
            let queued = Begun { caller_waits: false, ..begun };
            let _ = performer.replace_begun(written, &queued).await;
        }
        Ok(None)
    }
}

/// What it means for the caller that a request does not begin now.
fn concluded(conclusion: Conclusion) -> Result<Option<u64>, NotRepeated> {
    match conclusion {
        Conclusion::Refused(status, code, reason) => Err(NotRepeated::Refused(status, code, reason)),
        Conclusion::Transient(outage) => Err(NotRepeated::Outage(outage)),
        // It was begun before.
        Conclusion::Forwarded | Conclusion::Ended(..) => Ok(None),
    }
}
