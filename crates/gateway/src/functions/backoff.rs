//! How long to wait before something is tried again.
//!
//! The schedules are here, in one place. [`Retry`] computes the waits, as it does for the calls of flows.

use std::time::Duration;

use faasflow_core::Retry;

use super::endings::WELL;

const fn schedule(first: Duration, longest: Duration) -> Retry {
    Retry::unlimited().initial_delay(first).max_delay(longest)
}

/// Starting a process that has ended.
pub(super) static RESTART_PROCESS: Retry = schedule(Duration::from_millis(200), Duration::from_secs(10));
/// Creating a container in place of one that has ended.
pub(super) static RESTART_CONTAINER: Retry = schedule(Duration::from_millis(200), Duration::from_secs(30));
/// Asking a container that is starting whether it is ready.
pub(super) static PROBE_CONTAINER: Retry = schedule(Duration::from_millis(10), Duration::from_millis(250));
/// Asking an engine that does not answer.
pub(super) static ASK_ENGINE: Retry = schedule(Duration::from_millis(100), Duration::from_secs(2));
/// Removing containers that were left behind.
pub(super) static REMOVE_LEFTOVERS: Retry = schedule(Duration::from_millis(500), Duration::from_secs(60));

/// Up to this many failures in a row may be chance: for example, another program took the port that was found.
const CHANCE: u32 = 2;

/// Counts failures in a row, and tells how long to wait after each.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    schedule: &'static Retry,
    failures: u32,
}

impl Backoff {
    pub(super) const fn new(schedule: &'static Retry) -> Backoff {
        Backoff { schedule, failures: 0 }
    }

    /// Counts a failure. Returns how long to wait before the next attempt.
    ///
    /// There is no jitter, because only one gateway tries.
    pub(super) fn next(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.schedule.delay(self.failures, 1.0, None)
    }

    /// Begins again with the shortest wait.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Whether there were too many failures in a row for chance.
    pub(super) fn is_lasting(&self) -> bool {
        self.failures > CHANCE
    }
}

/// When a program or a container that has ended is started again.
#[derive(Debug)]
pub(super) struct Restarts(Backoff);

/// The next start of a program or a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Restart {
    /// How long to wait before it.
    pub(super) wait: Duration,
    /// Whether the failure is more than chance.
    pub(super) lasting: bool,
}

impl Restarts {
    pub(super) const fn new(schedule: &'static Retry) -> Restarts {
        Restarts(Backoff::new(schedule))
    }

    /// Plans the next start after an end. `starting` is how long it took to be ready, or to fail; `served` is how long it
    /// took requests after that, zero if it never did.
    pub(super) fn next(&mut self, starting: Duration, served: Duration) -> Restart {
        // Only the time in service counts. A program that never listens takes long to fail, and is not healthy.
        if served > WELL {
            self.0.reset();
        }
        let wait = self.0.next();
        let failed_slowly = served.is_zero() && starting > WELL;
        Restart { wait, lasting: self.0.is_lasting() || failed_slowly }
    }

    /// Forgets the failures so far, because what is started has changed.
    pub(super) fn reset(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_grow_until_it_served_for_a_while() {
        let mut restarts = Restarts::new(&RESTART_CONTAINER);
        let waits: Vec<_> = (0..10).map(|_| restarts.next(SECOND, SECOND).wait.as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
        let first = Restart { wait: Duration::from_millis(200), lasting: false };
        assert_eq!(restarts.next(SECOND, 11 * SECOND), first);
        restarts.next(SECOND, SECOND);
        restarts.reset();
        assert_eq!(restarts.next(SECOND, SECOND), first);
        let mut restarts = Restarts::new(&RESTART_PROCESS);
        let waits: Vec<_> = (0..8).map(|_| restarts.next(SECOND, SECOND).wait.as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    }

    /// The waits did not grow for failures that took long, such as those of a pull.
    #[test]
    fn a_slow_failure_is_not_time_in_service() {
        let mut restarts = Restarts::new(&RESTART_CONTAINER);
        for wait in [200, 400, 800] {
            let restart = restarts.next(60 * SECOND, Duration::ZERO);
            assert_eq!((restart.wait.as_millis(), restart.lasting), (wait, true), "it had a minute");
        }
        let mut restarts = Restarts::new(&RESTART_CONTAINER);
        let lasting: Vec<_> = (0..3).map(|_| restarts.next(SECOND, Duration::ZERO).lasting).collect();
        assert_eq!(lasting, [false, false, true]);
    }
}
