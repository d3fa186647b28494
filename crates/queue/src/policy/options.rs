use std::time::Duration;

use faasflow_core::Retry;
use faasflow_http::Budget;
use http::StatusCode;

/// The options of a queue.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QueueOptions {
    /// The most deliveries under way at once. One function gets at most half of them, so that a slow function does not starve the
    /// others.
    pub workers: usize,
    /// The largest body that is accepted, in bytes. The default is the limit of OpenFaaS's community edition.
    pub max_body: usize,
    /// The most attempts to deliver a call before it becomes a dead letter.
    pub max_attempts: u32,
    /// About how long to wait before the second attempt. The wait doubles for each further attempt.
    pub initial_delay: Duration,
    /// The longest wait between two attempts.
    pub max_delay: Duration,
    /// How long the id of an accepted call is remembered. A second call with the id is dropped.
    pub duplicate_window: Duration,
    /// How long a dead letter is kept.
    pub dead_letter_age: Duration,
    /// The most dead letters that are kept. The oldest are removed first.
    pub dead_letter_count: usize,
    /// The most bytes of waiting bodies in memory. Other bodies are read from the store when it is their turn.
    pub kept_bodies: usize,
    /// The budget for bodies of deliveries. Without it, they are not counted.
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

impl QueueOptions {
    /// When and how often a call is tried again. A 429 does not count as an attempt: nothing was executed, so the call is
    /// put off and has not failed.
    pub fn retry(&self) -> Retry {
        Retry::attempts(self.max_attempts)
            .initial_delay(self.initial_delay)
            .max_delay(self.max_delay)
            .except(StatusCode::TOO_MANY_REQUESTS)
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

/// A duration in milliseconds, at most `u64::MAX`.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
