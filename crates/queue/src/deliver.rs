//! The other side of a queue: who takes calls to where they go.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faasflow_core::handler::BoxFuture;
use http::{HeaderMap, StatusCode};

use crate::call::Call;

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
