//! Posts the tokens that make a request go on.

use std::fmt;
use std::sync::Arc;

use faasflow_core::envelope::Branching;
use faasflow_core::graph::Plan;
use faasflow_core::handler::BoxFuture;
use faasflow_core::machine::Outage;
use faasflow_core::machine::forked::Message;
use faasflow_core::{Context, RequestInfo, counted};
use futures_util::StreamExt as _;
use uuid::Uuid;

use super::progress::{NotFound, Remembered, unreadable};
use crate::deadline::Deadline;
use crate::delivery::restart_clocks;
use crate::forward::{NotForwarded, Onward};
use crate::instance::Instance;
use crate::observers::{Observers, joined_labels};

/// What the envelope of a token says about branches. The envelopes of flows without branches stay in version 1.
pub(crate) fn branching(plan: &Plan, message: &Message) -> Option<Branching> {
    let is_needed = plan.needs_store() || message.place.generation() > 0;
    is_needed.then(|| message.branching())
}

/// How many tokens are posted at once.
const AT_ONCE: usize = 16;

/// Why not all tokens that make a request go on were posted.
#[derive(Debug)]
pub(super) struct NotPosted {
    /// How many were posted.
    posted: usize,
    of: usize,
    /// Why another one was not.
    pub(super) outage: Outage,
}

impl fmt::Display for NotPosted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NotPosted { posted, of, outage } = self;
        let all = counted(*of as u64, "phase");
        write!(f, "{posted} of {all} were queued; {}", outage.reason)
    }
}

impl Instance {
    /// Posts tokens of a request under new call ids, so that the queue does not take them for those that it has had.
    ///
    /// The future is boxed here, because the compiler cannot prove from the outside that it can move between threads.
    pub(super) fn post_again<'a>(
        &'a self,
        remembered: &'a Remembered,
        tokens: &'a [Message],
        deadline: &'a Deadline,
    ) -> BoxFuture<'a, Result<(), NotPosted>> {
        let posts: Vec<_> = tokens.iter().map(|token| self.post_one_again(remembered, token, deadline)).collect();
        Box::pin(async move {
            let mut results = futures_util::stream::iter(posts).buffer_unordered(AT_ONCE);
            let (mut posted, mut failed) = (0, None);
            while let Some(result) = results.next().await {
                match result {
                    Ok(()) => posted += 1,
                    Err(outage) => failed = Some(outage),
                }
            }
            match failed {
                None => Ok(()),
                Some(outage) => Err(NotPosted { posted, of: tokens.len(), outage }),
            }
        })
    }

    fn post_one_again<'a>(
        &'a self,
        remembered: &'a Remembered,
        token: &'a Message,
        deadline: &'a Deadline,
    ) -> BoxFuture<'a, Result<(), Outage>> {
        Box::pin(async move {
            let (info, route) = (&remembered.info, remembered.begun.route(&self.flow));
            let plan = route.plan();
            let manager = self.retrying_state(deadline.state_in_ending()).expect("the flow has a state manager");
            let mut token = token.clone();
            restart_clocks(route, &mut token);
            let context = Context::external(info.clone(), &token.place, Arc::new(manager));
            let trace = self.tracer.begin(info, &token.place, None);
            let label = joined_labels(token.labels());
            let lines = self.lines_about(plan, info, &token.place, label, trace.id());
            let observers = Observers::for_phase(lines, trace, &self.metrics);
            let branching = branching(plan, &token);
            let call_id = Some(Uuid::now_v7());
            let onward = Onward { place: &token.place, payload: &token.payload, branching, call_id, plan: Some(plan) };
            let posted = self.forward(&context, onward, deadline, &observers).await;
            posted.map_err(|error| match error {
                NotForwarded::Transient(outage) => outage,
                NotForwarded::Failed(kind) => Outage::new(kind.code(), "a phase cannot be queued", kind.to_string()),
            })
        })
    }

    /// Posts all tokens that make a request go on.
    pub(super) async fn post_open(&self, info: &RequestInfo) -> Result<(), Outage> {
        let deadline = self.time_to_answer();
        let found = self.remembered(&info.scope(), deadline.state_in_ending()).await;
        let remembered = found.map_err(|error| {
            Outage::state_unreachable(match error {
                NotFound::Store(error) => faasflow_core::chain(&error),
                NotFound::Unreadable(key) => unreadable(&key),
                NotFound::Unknown | NotFound::Expired => "it does not show how the request began".to_owned(),
            })
        })?;
        let posted = self.post_again(&remembered, &remembered.progress.open, &deadline).await;
        posted.map_err(|not_posted| not_posted.outage)
    }
}
