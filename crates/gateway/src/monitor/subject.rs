//! What is measured of the calls of one function, or of one step.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use faasflow_admin::{FailedCall, Measured};

use super::durations::{Durations, Merged};
use super::minutes::Minutes;

/// How many failures of a step are remembered.
const LATEST: usize = 10;

/// The calls of a minute.
#[derive(Debug, Default)]
struct Minute {
    calls: u64,
    failures: u64,
    durations: Durations,
}

/// The calls of one function, or of one step.
#[derive(Debug, Default)]
pub(super) struct Subject {
    in_progress: AtomicU64,
    ended: Mutex<Ended>,
}

#[derive(Debug, Default)]
struct Ended {
    calls: u64,
    failures: u64,
    minutes: Minutes<Minute>,
    latest_failures: VecDeque<FailedCall>,
}

impl Subject {
    fn lock(&self) -> MutexGuard<'_, Ended> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self) {
        self.in_progress.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends a call that has begun. `failed` has its details if it failed and they are to be remembered.
    pub(super) fn end(&self, minute: u64, took: Duration, is_failure: bool, failed: Option<FailedCall>) {
        self.in_progress.fetch_sub(1, Ordering::Relaxed);
        let mut ended = self.lock();
        ended.calls += 1;
        ended.failures += u64::from(is_failure);
        let of_minute = ended.minutes.of(minute);
        of_minute.calls += 1;
        of_minute.failures += u64::from(is_failure);
        of_minute.durations.add(took);
        if let Some(failed) = failed {
            ended.latest_failures.truncate(LATEST - 1);
            ended.latest_failures.push_front(failed);
        }
    }

    /// How many calls are in progress.
    pub(super) fn in_progress(&self) -> u64 {
        self.in_progress.load(Ordering::Relaxed)
    }

    /// How many calls have ended, and how many of them failed.
    pub(super) fn counts(&self) -> (u64, u64) {
        let ended = self.lock();
        (ended.calls, ended.failures)
    }

    /// Its last hour.
    pub(super) fn measured(&self, now: u64) -> Measured {
        let mut measured = Measured::default();
        measured.in_progress = self.in_progress();
        let ended = self.lock();
        for minute in ended.minutes.until(now) {
            measured.calls += minute.calls;
            measured.failures += minute.failures;
        }
        let durations: Merged = ended.minutes.until(now).map(|minute| &minute.durations).collect();
        (measured.p50_ms, measured.p95_ms) = (durations.percentile_ms(50), durations.percentile_ms(95));
        measured
    }

    /// Adds the calls and the failures of each minute.
    pub(super) fn add_to(&self, calls: &mut [u64], failures: &mut [u64], now: u64) {
        let ended = self.lock();
        ended.minutes.add_to(calls, now, |minute| minute.calls);
        ended.minutes.add_to(failures, now, |minute| minute.failures);
    }

    /// Its latest failures, newest first.
    pub(super) fn latest_failures(&self) -> Vec<FailedCall> {
        self.lock().latest_failures.iter().cloned().collect()
    }
}
