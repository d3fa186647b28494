//! Delivers what is due, and records what became of it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faasflow_core::handler::BoxFuture;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::queue::record::{Call, Letter, Target, now_ms};
use crate::queue::schedule::{Again, Entry, Next};
use crate::queue::store::Change;
use crate::queue::verdict::{Tries, Verdict, verdict};
use crate::queue::{NO_ANSWER, Queue};
use crate::{request_id, room};

/// One attempt at a call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// The call's number in the queue.
    pub id: u64,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The call.
    pub call: Arc<Call>,
}

/// What the receiver answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// How long it took.
    pub duration: Duration,
    /// Why the receiver failed, where more is known of it than its status: for the dead letter.
    pub cause: Option<String>,
}

/// Why there was no answer.
#[derive(Clone, Debug)]
pub struct Unreachable {
    /// What happened to the receiver, as in "it died": for the log and the dead letter.
    pub reason: String,
}

/// Takes calls to where they go.
pub trait Deliver: Send + Sync + 'static {
    /// Makes one attempt. A panic counts as an unreachable receiver.
    fn deliver(&self, delivery: Delivery) -> BoxFuture<'_, Result<Answer, Unreachable>>;

    /// How many calls of a function may be delivered at once, as far as that is known. More than half of the queue's
    /// workers are not in any case.
    fn at_once(&self, function: &str) -> usize {
        let _ = function;
        usize::MAX
    }
}

impl Queue {
    /// Delivers until `stop` is cancelled, then waits for what is in flight. Dropped before that, what is in
    /// flight stays in the queue.
    pub async fn run(&self, deliver: Arc<dyn Deliver>, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(self.shared.options.workers.max(1)));
        let mut under_way = JoinSet::new();
        loop {
            while under_way.try_join_next().is_some() {}
            let place = tokio::select! {
                () = stop.cancelled() => break,
                place = places.clone().acquire_owned() => place,
            };
            let Ok(place) = place else { break };
            let Some(entry) = self.next(&*deliver, &stop).await else { break };
            let (queue, deliver) = (self.clone(), deliver.clone());
            under_way.spawn(async move {
                queue.attempt(entry, &*deliver).await;
                drop(place);
            });
        }
        while under_way.join_next().await.is_some() {}
    }

    async fn next(&self, deliver: &dyn Deliver, stop: &CancellationToken) -> Option<Box<Entry>> {
        loop {
            let changed = self.shared.changed.notified();
            let until = match self.shared.next(&|function| deliver.at_once(function)) {
                Next::Deliver(entry) => return Some(entry),
                Next::Wait(until) => until,
            };
            let due = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return None,
                () = changed => {}
                () = due => {}
            }
        }
    }

    async fn attempt(&self, mut entry: Box<Entry>, deliver: &dyn Deliver) {
        let mut share = self.shared.options.budget.as_ref().map(|budget| {
            let most = budget.capacity();
            (budget.waiting(room::PATIENCE).copied(room::READ_COPIES), (entry.bytes as u64).min(most))
        });
        if let Some((share, length)) = &mut share
            && share.make_room(*length).await.is_err()
        {
            // Nothing was tried, so it is no attempt.
            let again = Again { attempt: entry.attempt, put_off: entry.put_off, due_ms: now_ms() + 1000 };
            return self.shared.finish(&entry, Some(again));
        }
        let call = match entry.call.take() {
            Some(call) => call,
            None => match self.writer.read_call(entry.id).await {
                Ok(Some(call)) => Arc::new(call),
                Ok(None) => {
                    tracing::error!(id = entry.id, "a queued call is not in the file; was another program at it?");
                    return self.shared.finish(&entry, None);
                }
                Err(error) => {
                    tracing::error!(%error, id = entry.id, "a queued call cannot be read; it stays in the queue");
                    let again = Again { attempt: entry.attempt, put_off: entry.put_off, due_ms: now_ms() + 30_000 };
                    return self.shared.finish(&entry, Some(again));
                }
            },
        };
        entry.call = Some(call.clone());
        let delivery = Delivery { id: entry.id, attempt: entry.attempt, call: call.clone() };
        let outcome = AssertUnwindSafe(deliver.deliver(delivery)).catch_unwind().await;
        let outcome = outcome.unwrap_or_else(|_| Err(Unreachable { reason: "the delivery panicked".to_owned() }));
        self.conclude(&entry, &call, outcome);
    }

    fn conclude(&self, entry: &Entry, call: &Arc<Call>, outcome: Result<Answer, Unreachable>) {
        let tries = Tries { attempt: entry.attempt, put_off: entry.put_off };
        let verdict = verdict(&outcome, tries, rand::random(), &self.shared.options);
        let mut changes = Vec::new();
        let mut again = None;
        let mut callback = None;
        match verdict {
            Verdict::Again(wait) => {
                let due_ms = after(wait);
                changes.push(Change::PutAttempts(entry.id, entry.attempt, due_ms));
                again = Some(Again { attempt: entry.attempt + 1, put_off: 0, due_ms });
                self.shared.count(|totals| totals.retried += 1);
            }
            Verdict::Later(wait) => {
                let due_ms = after(wait);
                changes.push(Change::PutAttempts(entry.id, entry.attempt.saturating_sub(1), due_ms));
                let put_off = entry.put_off.saturating_add(1);
                again = Some(Again { attempt: entry.attempt, put_off, due_ms });
                self.shared.count(|totals| totals.retried += 1);
            }
            Verdict::Delivered => {
                changes.push(Change::RemoveCall(entry.id));
                callback = callback_of(call, outcome.as_ref().ok());
                self.shared.count(|totals| totals.delivered += 1);
            }
            Verdict::Dead(reason) => {
                let what = if call.is_callback() { "callback" } else { "call" };
                tracing::warn!(target: "faasflow::dead_letters", "{what} {} of `{}` is a dead letter: {reason}", call.call_id, call.function());
                callback = callback_of(call, outcome.as_ref().ok());
                let letter = Letter::new(Call::clone(call), reason, entry.attempt, outcome.ok());
                changes.push(Change::RemoveCall(entry.id));
                changes.push(Change::PutDead(entry.id, letter.encode()));
                let mut schedule = self.shared.schedule();
                schedule.totals.dead += 1;
                schedule.dead.push_back((entry.id, letter.died_ms));
                if !call.is_callback() {
                    changes.push(schedule.release_id(&call.duplicate_key()));
                }
                drop(schedule);
                changes.extend(self.shared.expire_dead());
            }
        }
        match callback {
            // In one batch with the acknowledgement: it is owed from then on.
            Some(callback) => {
                let (shared, callback) = (self.shared.clone(), Arc::new(callback));
                let id = shared.schedule().new_id();
                changes.push(Change::PutCall(id, callback.encode()));
                self.writer.lazy(changes);
                shared.finish(entry, again);
                shared.add([(id, callback, 0)]);
            }
            None => {
                self.writer.lazy(changes);
                self.shared.finish(entry, again);
            }
        }
    }
}

/// The time when this wait is over, in milliseconds since the Unix epoch.
fn after(wait: Duration) -> u64 {
    now_ms().saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}

/// The callback that a call asks for, with what was answered.
fn callback_of(call: &Call, answer: Option<&Answer>) -> Option<Call> {
    let Target::Function { name, callback_url: Some(url), .. } = &call.target else { return None };
    let mut headers = HeaderMap::new();
    if let Some(answer) = answer {
        for (name, value) in &answer.headers {
            if !is_of_one_hop(name) {
                headers.append(name.clone(), value.clone());
            }
        }
    }
    request_id::put(request_id::given(&call.headers).as_ref(), &mut headers);
    let status = answer.map_or(NO_ANSWER, |answer| answer.status);
    let seconds = answer.map_or(0.0, |answer| answer.duration.as_secs_f64());
    for (header, text) in [
        ("x-call-id", call.call_id.clone()),
        ("x-duration-seconds", format!("{seconds:.6}")),
        ("x-function-status", status.as_u16().to_string()),
        ("x-function-name", name.clone()),
    ] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(HeaderName::from_static(header), value);
        }
    }
    Some(Call {
        call_id: call.call_id.clone(),
        target: Target::Callback { url: url.clone(), function: name.clone() },
        headers,
        body: answer.map(|answer| answer.body.clone()).unwrap_or_default(),
        accepted_ms: now_ms(),
    })
}

fn is_of_one_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection" | "keep-alive" | "transfer-encoding" | "content-length" | "upgrade" | "te" | "trailer" | "date"
    )
}
