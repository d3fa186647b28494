use std::time::Duration;

use faasflow_core::Retry;
use faasflow_http::Budget;
use http::StatusCode;

/// How a queue behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QueueOptions {
    /// How many deliveries are under way at once, at most. One function gets half of them at most, so that a
    /// slow one does not starve the others.
    pub workers: usize,
    /// The largest body accepted, in bytes. The default is what OpenFaaS's community edition takes.
    pub max_body: usize,
    /// How many times a call is delivered, at most, before it becomes a dead letter.
    pub max_attempts: u32,
    /// About how long to wait before the second attempt; it doubles from there.
    pub initial_delay: Duration,
    /// The longest wait between two attempts.
    pub max_delay: Duration,
    /// How long the id of an accepted call is remembered, so that a second one is dropped.
    pub duplicate_window: Duration,
    /// How long a dead letter is kept.
    pub dead_letter_age: Duration,
    /// How many dead letters are kept; the oldest go first.
    pub dead_letter_count: usize,
    /// How many bytes of waiting bodies are kept in memory, at most; what is over that is read again when it is its turn.
    pub kept_bodies: usize,
    /// What bodies of deliveries take their room from; without it, they are not counted.
    pub budget: Option<Budget>,
}

impl Default for QueueOptions {
    fn default() -> QueueOptions {
        QueueOptions {
            workers: 64,
            max_body: 256_000,
            max_attempts: 10,
            initial_delay: Duration::from_millis(200),
            max_delay: Duration::from_secs(30),
            duplicate_window: Duration::from_secs(600),
            dead_letter_age: Duration::from_secs(7 * 24 * 3600),
            dead_letter_count: 10_000,
            kept_bodies: 64 << 20,
            budget: None,
        }
    }
}

/// The statuses that pass. 429 is not among them: nothing was executed then, so the call is put off and has not failed.
const PASSING: [StatusCode; 5] = [
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::TOO_EARLY,
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];

impl QueueOptions {
    /// When and how often a call is tried again.
    pub fn retry(&self) -> Retry {
        Retry::attempts(self.max_attempts)
            .initial_delay(self.initial_delay)
            .max_delay(self.max_delay)
            .on_statuses(PASSING)
    }

    /// How many deliveries of one lane may be under way at once.
    pub(crate) fn most_of_a_lane(&self) -> usize {
        (self.workers / 2).max(1)
    }

    pub(crate) fn duplicate_window_ms(&self) -> u64 {
        milliseconds(self.duplicate_window)
    }

    pub(crate) fn dead_letter_age_ms(&self) -> u64 {
        milliseconds(self.dead_letter_age)
    }
}

/// A duration in milliseconds; what is longer than can be counted is as long as can be.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
