//! Delivers calls that are due, and passes the results to the store.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use faasflow_core::chain;
use faasflow_core::definition::{Secrets, masked_text};
use faasflow_http::now_ms;
use futures_util::FutureExt as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::call::Call;
use crate::deliver::{Answer, Deliver, Delivery, Unreachable};
use crate::error::QueueError;
use crate::letter::Letter;
use crate::policy::callback::callback_of;
use crate::policy::options::milliseconds;
use crate::policy::verdict::{Tries, Verdict, verdict};
use crate::queue::Queue;
use crate::store::{Claim, Conclusion};

/// How many copies of a body exist while it is delivered: one of the store, and one of the request.
pub const READ_COPIES: u64 = 2;
/// How long a delivery waits for room.
const PATIENCE: Duration = Duration::from_secs(10);
/// The delay of a call for which there was no room.
const NO_ROOM_MS: u64 = 1_000;
/// The delay of a call that could not be read.
const UNREADABLE_MS: u64 = 30_000;
/// How long the queue waits after the store could not give the next call.
const REST: Duration = Duration::from_secs(1);

impl Queue {
    /// Delivers until `stop` is cancelled, then waits for the deliveries in flight. If the future is dropped, these calls stay in
    /// the queue.
    pub async fn run(&self, deliver: Arc<dyn Deliver>, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(self.options.workers.max(1)));
        let mut under_way = JoinSet::new();
        let most_of_a_lane = self.options.most_of_a_lane();
        let at_once = {
            let deliver = deliver.clone();
            move |lane: &str| deliver.at_once(lane).clamp(1, most_of_a_lane)
        };
        loop {
            while under_way.try_join_next().is_some() {}
            let place = tokio::select! {
                () = stop.cancelled() => break,
                place = places.clone().acquire_owned() => place,
            };
            let Ok(place) = place else { break };
            let claim = tokio::select! {
                () = stop.cancelled() => break,
                claim = self.store.claim(&at_once) => claim,
            };
            let claim = match claim {
                Ok(claim) => claim,
                Err(QueueError::Closed) => break,
                Err(error) => {
                    tracing::error!(error = %chain(&error), code = %error.code(), "the queue cannot get the next call");
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep(REST) => continue,
                    }
                }
            };
            let (queue, deliver) = (self.clone(), deliver.clone());
            under_way.spawn(async move {
                queue.attempt(claim, &*deliver).await;
                drop(place);
            });
        }
        while under_way.join_next().await.is_some() {}
    }

    async fn attempt(&self, claim: Claim, deliver: &dyn Deliver) {
        let conclusion = match claim.lease {
            None => self.deliver(&claim, deliver).await,
            Some(lease) => {
                tokio::select! {
                    conclusion = self.deliver(&claim, deliver) => conclusion,
                    () = self.keep(&claim, lease) => unreachable!("a claim is kept until it is concluded"),
                }
            }
        };
        let id = claim.id;
        if let Err(error) = self.store.conclude(claim, conclusion).await {
            tracing::warn!(error = %chain(&error), id, code = %error.code(), "the result of a call cannot be written; the call is delivered again");
        }
    }

    /// Extends a claim again and again. If the claim is lost, another process delivers the call as well. Cancelling this delivery
    /// would not undo it.
    async fn keep(&self, claim: &Claim, lease: Duration) {
        loop {
            tokio::time::sleep(lease / 3).await;
            if let Err(error) = self.store.extend(claim).await {
                tracing::warn!(error = %chain(&error), id = claim.id, code = %error.code(), "the claim of a call cannot be extended");
            }
        }
    }

    async fn deliver(&self, claim: &Claim, deliver: &dyn Deliver) -> Conclusion {
        let mut share = self.options.budget.as_ref().map(|budget| {
            let most = budget.capacity();
            (budget.answer_share(PATIENCE).copied(READ_COPIES), (claim.bytes as u64).min(most))
        });
        if let Some((share, length)) = &mut share
            && share.make_room(*length).await.is_err()
        {
            return Conclusion::Untried { due_ms: now_ms() + NO_ROOM_MS };
        }
        let call = match self.store.fetch(claim).await {
            Ok(Some(call)) => call,
            Ok(None) => {
                tracing::error!(
                    id = claim.id,
                    "a queued call is not in the store; another program may have changed the file"
                );
                return Conclusion::Gone;
            }
            Err(error) => {
                tracing::error!(error = %chain(&error), id = claim.id, code = %error.code(), "a queued call cannot be read; it stays in the queue");
                return Conclusion::Untried { due_ms: now_ms() + UNREADABLE_MS };
            }
        };
        let delivery = Delivery { id: claim.id, attempt: claim.attempt, call: call.clone() };
        let outcome = AssertUnwindSafe(deliver.deliver(delivery)).catch_unwind().await;
        let outcome = outcome.unwrap_or_else(|_| Err(Unreachable { reason: "the delivery panicked".to_owned() }));
        self.judge(claim, &call, outcome)
    }

    fn judge(&self, claim: &Claim, call: &Arc<Call>, outcome: Result<Answer, Unreachable>) -> Conclusion {
        let tries = Tries { attempt: claim.attempt, put_off: claim.put_off };
        let callback = || callback_of(call, outcome.as_ref().ok()).map(Arc::new);
        match verdict(&outcome, tries, rand::random(), &self.options) {
            Verdict::Again(wait) => Conclusion::Again { due_ms: after(wait), counts: true },
            Verdict::Later(wait) => Conclusion::Again { due_ms: after(wait), counts: false },
            Verdict::Delivered => Conclusion::Delivered { callback: callback() },
            Verdict::Dead(reason) => {
                // It may quote the answer, and the answer what it was called with.
                let secrets = Secrets::default();
                let mut values = secrets.header_values(&call.headers);
                values.extend(outcome.iter().flat_map(|answer| secrets.header_values(&answer.headers)));
                let reason = masked_text(&reason, &values).into_owned();
                let what = if call.is_callback() { "callback" } else { "call" };
                tracing::warn!(target: "faasflow::dead_letters", "{what} {} of `{}` is a dead letter: {reason}", call.call_id, call.function());
                let callback = callback();
                let letter = Letter::new(Call::clone(call), reason, claim.attempt, outcome.ok());
                Conclusion::Dead { letter: Box::new(letter), callback }
            }
        }
    }
}

/// The end of a wait, in milliseconds since the Unix epoch.
fn after(wait: Duration) -> u64 {
    now_ms().saturating_add(milliseconds(wait))
}
