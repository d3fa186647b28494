//! The state of a queue.

use std::collections::BTreeMap;

use crate::call::Call;

/// Counts since the queue was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Calls accepted.
    pub accepted: u64,
    /// Calls dropped because one with the same id was accepted before.
    pub duplicates: u64,
    /// Calls and callbacks answered with 2xx.
    pub delivered: u64,
    /// Attempts that failed and were scheduled again.
    pub retried: u64,
    /// Calls and callbacks given up.
    pub dead: u64,
    /// Dead letters removed because they were too many or too old.
    pub letters_removed: u64,
}

/// The state of a queue.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct QueueStats {
    /// Calls and callbacks in the queue, in flight or waiting.
    pub depth: usize,
    /// The same by function.
    pub functions: BTreeMap<String, usize>,
    /// Deliveries under way.
    pub in_flight: usize,
    /// How long the oldest has been in the queue, in seconds.
    pub oldest_seconds: f64,
    /// Dead letters kept.
    pub dead_letters: usize,
    /// Records in the file that this version cannot read. They stay there.
    pub unreadable: usize,
    /// Counts since the queue was opened.
    pub totals: Totals,
}

/// A call or callback in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueuedCall {
    /// Its number in the queue.
    pub id: u64,
    /// The id of the invocation.
    pub call_id: String,
    /// The function that it goes to; for a callback, the function whose answer it carries.
    pub function: String,
    /// Whether it is a callback.
    pub callback: bool,
    /// The attempt under way, or the next one, from 1.
    pub attempt: u32,
    /// Whether it is being delivered now.
    pub in_flight: bool,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub accepted_ms: u64,
    /// When the next attempt is due, in milliseconds since the Unix epoch; 0 for at once.
    pub due_ms: u64,
    /// The size of its body.
    pub bytes: usize,
}

impl QueuedCall {
    /// How a call in the store is listed.
    #[must_use]
    pub fn new(id: u64, call: &Call, attempt: u32, due_ms: u64, in_flight: bool) -> QueuedCall {
        QueuedCall {
            id,
            call_id: call.call_id.clone(),
            function: call.function().to_owned(),
            callback: call.is_callback(),
            attempt,
            in_flight,
            accepted_ms: call.accepted_ms,
            due_ms,
            bytes: call.body.len(),
        }
    }
}
