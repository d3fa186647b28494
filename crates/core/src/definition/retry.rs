mod statuses;

use std::time::Duration;

use http::StatusCode;

use statuses::Statuses;

/// When and how often a call is retried.
///
/// ```
/// use std::time::Duration;
/// use faasflow_core::{Call, Retry};
///
/// let call = Call::new("ocr").retry(Retry::attempts(5).initial_delay(Duration::from_millis(100)));
/// ```
///
/// The wait between two attempts grows exponentially from the initial delay to the maximum, with jitter. It is never
/// shorter than the `Retry-After` of the answer. All attempts together stay within the invocation's `write_timeout`. A
/// function may receive a call more than once; every attempt carries the same `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Retry {
    attempts: u32,
    initial_delay: Duration,
    max_delay: Duration,
    statuses: Statuses,
    unreachable: bool,
    timeouts: bool,
}

/// The temporary statuses: the request came too early, or the server is overloaded or unavailable.
const TEMPORARY: Statuses = Statuses::new(&[
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::TOO_EARLY,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
]);

impl Retry {
    /// A single attempt. This is the default of a call.
    pub const fn never() -> Retry {
        Retry::attempts(1)
    }

    /// Makes at most this many attempts in total (0 counts as 1). It retries on 408, 425, 429, 502, 503 and 504, and on
    /// timeouts. The first wait is about 100 ms, and no wait is longer than 10 s.
    ///
    /// Attempts that cannot reach the gateway, the function or the callback URL do not count: see
    /// [`on_unreachable`](Retry::on_unreachable).
    pub const fn attempts(attempts: u32) -> Retry {
        Retry {
            attempts: if attempts == 0 { 1 } else { attempts },
            initial_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(10),
            statuses: TEMPORARY,
            unreachable: true,
            timeouts: true,
        }
    }

    /// Like [`attempts`](Retry::attempts), but retries as often as time allows.
    ///
    /// ```
    /// use faasflow_core::Retry;
    ///
    /// assert_eq!(Retry::unlimited().max_attempts(), u32::MAX);
    /// ```
    pub const fn unlimited() -> Retry {
        Retry::attempts(u32::MAX)
    }

    /// About how long to wait before the second attempt. The wait doubles after each further attempt.
    pub const fn initial_delay(mut self, delay: Duration) -> Retry {
        self.initial_delay = delay;
        self
    }

    /// The longest wait between two attempts.
    pub const fn max_delay(mut self, delay: Duration) -> Retry {
        self.max_delay = delay;
        self
    }

    /// The statuses to retry on, instead of the default ones.
    ///
    /// ```
    /// use faasflow_core::{Retry, StatusCode};
    ///
    /// let retry = Retry::attempts(3).on_statuses([StatusCode::CONFLICT]);
    /// assert!(retry.retries_status(StatusCode::CONFLICT));
    /// assert!(!retry.retries_status(StatusCode::SERVICE_UNAVAILABLE));
    /// ```
    pub fn on_statuses(mut self, statuses: impl IntoIterator<Item = StatusCode>) -> Retry {
        self.statuses = statuses.into_iter().collect();
        self
    }

    /// Like [`on_statuses`](Retry::on_statuses), but usable in a constant.
    ///
    /// ```
    /// use faasflow_core::{Retry, StatusCode};
    ///
    /// const LOCKED: Retry = Retry::attempts(3).on_only(&[StatusCode::LOCKED]);
    /// assert!(LOCKED.retries_status(StatusCode::LOCKED));
    /// ```
    pub const fn on_only(mut self, statuses: &[StatusCode]) -> Retry {
        self.statuses = Statuses::new(statuses);
        self
    }

    /// Does not retry on this status.
    ///
    /// ```
    /// use faasflow_core::{Retry, StatusCode};
    ///
    /// let retry = Retry::attempts(3).except(StatusCode::TOO_MANY_REQUESTS);
    /// assert!(!retry.retries_status(StatusCode::TOO_MANY_REQUESTS));
    /// assert!(retry.retries_status(StatusCode::SERVICE_UNAVAILABLE));
    /// ```
    pub const fn except(mut self, status: StatusCode) -> Retry {
        self.statuses = self.statuses.without(status);
        self
    }

    /// Also retries on every status from 500 to 599.
    ///
    /// ```
    /// use faasflow_core::{Retry, StatusCode};
    ///
    /// let retry = Retry::attempts(3).on_server_errors();
    /// assert!(retry.retries_status(StatusCode::INTERNAL_SERVER_ERROR));
    /// assert!(retry.retries_status(StatusCode::TOO_MANY_REQUESTS));
    /// ```
    pub const fn on_server_errors(mut self) -> Retry {
        self.statuses = self.statuses.and_server_errors();
        self
    }

    /// Whether to keep trying while the function or callback URL cannot be reached, and after a lost connection. The
    /// default is `true`: outages pass, so the step retries while the phase has time, and then leaves it to the queue
    /// to deliver the phase again.
    ///
    /// With `false`, the step fails at once. Choose this if failing fast is better than waiting, or if an unknown
    /// result is better than doing the work twice: when the connection is lost, the function may already have done its
    /// work.
    ///
    /// ```
    /// use faasflow_core::Retry;
    ///
    /// let careful = Retry::attempts(3).on_unreachable(false).on_timeout(false);
    /// assert!(!careful.retries_unreachable());
    /// ```
    pub const fn on_unreachable(mut self, retry: bool) -> Retry {
        self.unreachable = retry;
        self
    }

    /// Whether to retry when the function did not answer in time.
    pub const fn on_timeout(mut self, retry: bool) -> Retry {
        self.timeouts = retry;
        self
    }

    /// The maximum number of attempts, including the first.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.attempts
    }

    /// Whether a call is retried after this status.
    #[must_use]
    pub const fn retries_status(&self, status: StatusCode) -> bool {
        self.statuses.contains(status)
    }

    /// Whether the step keeps trying while the function cannot be reached.
    #[must_use]
    pub fn retries_unreachable(&self) -> bool {
        self.unreachable
    }

    /// Whether a call is retried after a timeout.
    #[must_use]
    pub fn retries_timeout(&self) -> bool {
        self.timeouts
    }

    /// How long to wait after the attempt numbered `attempt` (from 1), where `random` is a number in [0, 1).
    ///
    /// Half of the exponential delay is fixed and half is jitter, so that callers that failed together do not retry
    /// together, and none retries immediately.
    #[must_use]
    pub fn delay(&self, attempt: u32, random: f64, retry_after: Option<Duration>) -> Duration {
        let doublings = attempt.saturating_sub(1).min(30);
        let full = self.initial_delay.saturating_mul(1 << doublings).min(self.max_delay);
        let jittered = full.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
        jittered.max(retry_after.unwrap_or_default())
    }
}

impl Default for Retry {
    fn default() -> Retry {
        Retry::never()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_are_jittered() {
        let retry = Retry::attempts(9).initial_delay(Duration::from_millis(100)).max_delay(Duration::from_secs(1));
        assert_eq!(retry.delay(1, 0.0, None), Duration::from_millis(50));
        assert_eq!(retry.delay(1, 1.0, None), Duration::from_millis(100));
        assert_eq!(retry.delay(3, 1.0, None), Duration::from_millis(400));
        assert_eq!(retry.delay(60, 1.0, None), Duration::from_secs(1));
    }

    #[test]
    fn retry_after_is_a_lower_bound() {
        let retry = Retry::attempts(3);
        assert_eq!(retry.delay(1, 1.0, Some(Duration::from_secs(7))), Duration::from_secs(7));
    }
}
