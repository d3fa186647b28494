//! Ends a request from outside.

use std::sync::Arc;

use faasflow_core::code;
use faasflow_core::handler::BoxFuture;
use faasflow_core::machine::Outage;
use faasflow_core::machine::forked::{Effect, Journal, Message, Reason, Reply, stop};
use faasflow_core::{Context, RequestInfo};
use faasflow_http::now_ms;

use super::perform::{Performer, Stop};
use crate::deadline::Deadline;
use crate::definitions::BegunWith;
use crate::first_outage::FirstOutage;
use crate::instance::Instance;
use crate::observers::Observers;

impl Instance {
    /// Ends a request as stopped, for this reason. `first` is its first token in its current generation. Returns `false` if
    /// something else had ended it before. If a previous attempt was interrupted, this one completes it.
    ///
    /// The future is boxed here, because the compiler cannot prove from the outside that it can move between threads.
    pub(crate) fn drive_stop<'a>(
        &'a self,
        info: &'a Arc<RequestInfo>,
        begun: &'a BegunWith,
        first: &'a Message,
        reason: &'a Reason,
        deadline: &'a Deadline,
    ) -> BoxFuture<'a, Result<bool, Outage>> {
        Box::pin(async move {
            // Otherwise, two stops at the same moment would both run the finaliser. No request id contains a `/`.
            let id = format!("{}/stop", info.id);
            let Some(_alone) = self.in_progress.alone(&id, &first.place, deadline.steps()).await else {
                let reason = "another stop of the request is still in progress";
                return Err(Outage::new(code::IN_PROGRESS, reason, "it has taken all the time that this one had"));
            };
            let state = self.retrying_state(deadline.state_in_steps()).expect("the flow has a state manager");
            let outage = FirstOutage::default();
            let state = Arc::new(state.noting(outage.clone()));
            let context = Context::external(info.clone(), &first.place, state).remembered_for(self.config.keep_records);
            let trace = self.tracer.begin(info, &first.place, None);
            let route = begun.route(&self.flow);
            let lines = self.lines_about(route.plan(), info, &first.place, String::new(), trace.id());
            let observers = Observers::for_phase(lines, trace, &self.metrics);
            let phase = self.caller.phase_headers(&context, &observers);
            let execution = self.execution(&context, &phase, route, deadline, &observers, outage);
            let mut performer = Performer::new(self, first, &execution, None);
            let (at_ms, mut journal) = (now_ms(), Journal::new());
            let stopped = loop {
                match stop(route, first, at_ms, reason, &journal) {
                    Effect::Reply(reply) => {
                        let is_stopped = matches!(reply, Reply::Ended(..));
                        break performer.answer(reply).await.map(|_| is_stopped);
                    }
                    effect => match performer.perform(effect).await {
                        Ok(answer) => journal.add(answer),
                        Err(stop) => break Err(stop),
                    },
                }
            };
            stopped.map_err(|stop| match stop {
                Stop::Outage(_, outage) => outage,
                Stop::Unfit(unfit) => unreachable!("nothing is executed, so nothing is unfit: {unfit:?}"),
            })
        })
    }
}
