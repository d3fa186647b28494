//! Phases that are executed in the invocation that began the request, because its caller waits for the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use faasflow_core::machine::forked::Message;
use faasflow_core::machine::{Caller, Token};
use faasflow_core::state::EmbeddedState;
use faasflow_core::{RequestId, RequestInfo};
use faasflow_http::{Admission, now_ms};
use http::request;
use tokio::sync::watch;
use tokio::time::Instant;

use super::unwritten::Unwritten;
use crate::conclusion::{Conclusion, Delivery};
use crate::deadline::Deadline;
use crate::delivery::{Arrival, internal_failure, respond};
use crate::instance::Instance;

/// How long a request may take before its delivery looks whether something else has ended it.
const AT_FIRST: Duration = Duration::from_millis(250);
/// How long a delivery may take to answer once its request has ended.
const TO_ANSWER: Duration = Duration::from_millis(100);

/// A caller that waits for the end of its request, for a limited time.
#[derive(Debug)]
pub(crate) struct Patience {
    until: Instant,
    given_up: AtomicBool,
    /// The request, once it has begun, so that the caller can be told that it was accepted.
    begun: watch::Sender<Option<Arc<RequestInfo>>>,
    /// The results of its phases that are not written yet.
    pub(crate) unwritten: Unwritten,
}

impl Patience {
    /// A caller that waits until then.
    pub(crate) fn new(until: Instant) -> Patience {
        Patience {
            until,
            given_up: AtomicBool::new(false),
            begun: watch::channel(None).0,
            unwritten: Unwritten::default(),
        }
    }

    /// Whether the caller still waits.
    pub(crate) fn is_left(&self) -> bool {
        !self.given_up.load(Ordering::SeqCst) && Instant::now() < self.until
    }

    /// The request has begun.
    pub(crate) fn begun(&self, info: &Arc<RequestInfo>) {
        self.begun.send_if_modified(|begun| begun.is_none() && begun.replace(info.clone()).is_none());
    }
}

/// How the phases in one invocation ended.
enum Ended {
    /// The request has ended, or was refused.
    Answer(Box<Response>),
    /// The rest of the request is in the queue.
    Forwarded(Arc<RequestInfo>),
}

impl Instance {
    /// Works on a fresh request whose caller waits for its end. Phases that follow each other are executed here while the caller
    /// waits, and the rest goes through the queue. Only what is executed here needs the admission.
    pub(crate) async fn deliver_waiting(
        self: &Arc<Self>,
        id: RequestId,
        parts: request::Parts,
        body: Bytes,
        deadline: Deadline,
        wait: Duration,
        admission: Admission,
    ) -> Response {
        let until = Instant::now() + wait;
        let patience = Arc::new(Patience::new(until));
        let (this, shared) = (self.clone(), patience.clone());
        let mut begun = patience.begun.subscribe();
        let for_answer = id.clone();
        let mut working = self.tasks.spawn(async move {
            let ended = this.deliver_here(id, parts, body, deadline, &shared).await;
            drop(admission);
            ended
        });
        let mut begun_here = begun.clone();
        let in_time = tokio::select! {
            biased;
            ended = &mut working => Some(ended),
            conclusion = self.ended_elsewhere(&mut begun_here, until) => {
                return respond(conclusion, &for_answer, Delivery::Fresh, None);
            }
            () = tokio::time::sleep_until(until) => None,
        };
        let ended = match in_time {
            Some(ended) => ended,
            None => {
                patience.given_up.store(true, Ordering::SeqCst);
                tokio::select! {
                    // Before the request has begun, nobody could find it.
                    _ = until_begun(&mut begun) => return self.accepted(&for_answer),
                    ended = &mut working => ended,
                }
            }
        };
        match ended {
            Ok(Ended::Answer(response)) => *response,
            Ok(Ended::Forwarded(info)) => match self.end_of(&info, until).await {
                Some(conclusion) => respond(conclusion, &info.id, Delivery::Fresh, None),
                None => self.accepted(&info.id),
            },
            Err(_) => internal_failure(&for_answer),
        }
    }

    /// Waits until something else than this delivery ends the request, for example because it is stopped, and returns the end.
    async fn ended_elsewhere(
        &self,
        begun: &mut watch::Receiver<Option<Arc<RequestInfo>>>,
        until: Instant,
    ) -> Conclusion {
        let info = until_begun(begun).await;
        // Most requests end here, and soon. The store is not asked about them.
        tokio::time::sleep(AT_FIRST).await;
        match self.end_of(&info, until).await {
            Some(conclusion) => {
                // If this delivery has ended it, it also answers, once everything that happens at the end is done.
                tokio::time::sleep(TO_ANSWER).await;
                conclusion
            }
            None => std::future::pending().await,
        }
    }

    async fn deliver_here(
        &self,
        id: RequestId,
        parts: request::Parts,
        body: Bytes,
        mut deadline: Deadline,
        patience: &Patience,
    ) -> Ended {
        let mut arrived = match self.arrive(id, &parts, body, &deadline, Delivery::Fresh).await {
            Ok(arrived) => arrived,
            Err(response) => return Ended::Answer(response),
        };
        let info = arrived.info.clone();
        let mut delivery = Delivery::Fresh;
        loop {
            let worked = self.work(arrived, delivery, &deadline, Some(patience)).await;
            let Some(next) = worked.onward else {
                // What is not written is executed again.
                if let Some(manager) = self.store(deadline.state_in_ending()) {
                    let _ = patience.unwritten.write(&manager, &info.scope()).await;
                }
                return match (&worked.conclusion, delivery) {
                    (Conclusion::Forwarded, _) => Ended::Forwarded(info),
                    // What has happened is recorded, so the queue can take over.
                    (Conclusion::Transient(_), Delivery::Envelope) if self.post_open(&info).await.is_ok() => {
                        Ended::Forwarded(info)
                    }
                    _ => Ended::Answer(Box::new(worked.respond(&info.id, Delivery::Fresh))),
                };
            };
            patience.begun(&info);
            arrived = onward(info.clone(), next);
            (delivery, deadline) = (Delivery::Envelope, Deadline::starting_now(self.config.write_timeout));
        }
    }
}

/// Waits until the request has begun.
async fn until_begun(begun: &mut watch::Receiver<Option<Arc<RequestInfo>>>) -> Arc<RequestInfo> {
    match begun.wait_for(Option::is_some).await.map(|begun| begun.clone()) {
        Ok(Some(info)) => info,
        _ => std::future::pending().await,
    }
}

/// The arrival of a token that was not sent.
fn onward(info: Arc<RequestInfo>, next: Message) -> Arrival {
    let branching = Some(next.branching());
    let token = Token::new(next.place, next.payload).with_caller(Caller::Left);
    let sent_ms = Some(now_ms());
    let state = EmbeddedState::new();
    Arrival { info, token, state, branching, earlier: None, sent_ms, invocation: None, repeats: None, attempt: None }
}
