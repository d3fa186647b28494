//! The interface to the program that delivers calls.

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

/// The answer of the receiver.
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
    /// Why the receiver failed, if more is known than the status. It is shown with the dead letter.
    pub cause: Option<String>,
}

/// Why there was no answer.
#[derive(Clone, Debug)]
pub struct Unreachable {
    /// What happened to the receiver, as in "it died". It is shown in the log and with the dead letter.
    pub reason: String,
}

/// Delivers calls.
pub trait Deliver: Send + Sync + 'static {
    /// Makes one attempt. A panic counts as an unreachable receiver.
    fn deliver(&self, delivery: Delivery) -> BoxFuture<'_, Result<Answer, Unreachable>>;

    /// How many calls of a function may be delivered at once, if there is such a limit. A function never gets more than half of the
    /// queue's workers.
    fn at_once(&self, function: &str) -> usize {
        let _ = function;
        usize::MAX
    }
}
