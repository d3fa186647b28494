//! A state manager that retries until a deadline.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faasflow_core::handler::BoxFuture;
use faasflow_core::state::{Condition, Scope, StateError, StateManager, Version};
use faasflow_core::{RequestId, Retry, chain, duration};
use tokio::time::Instant;
use tracing::Level;

use crate::log::RequestLog;

/// How operations are retried after a temporary error.
const RETRY: Retry = Retry::unlimited().initial_delay(Duration::from_millis(50)).max_delay(Duration::from_secs(2));

/// A state manager that retries operations after temporary errors and never waits past its deadline.
#[derive(Clone)]
pub(crate) struct RetryingState {
    manager: Arc<dyn StateManager>,
    until: Instant,
}

impl RetryingState {
    pub(crate) fn new(manager: Arc<dyn StateManager>, until: Instant) -> RetryingState {
        RetryingState { manager, until }
    }

    /// How long one attempt may take: half of the time that is left, so that one stalled attempt does not use up all of it.
    fn attempt_limit(&self) -> Duration {
        let left = self.until.saturating_duration_since(Instant::now());
        (left / 2).max(Duration::from_millis(500)).min(left)
    }

    async fn try_once<T>(&self, attempt: BoxFuture<'_, Result<T, StateError>>) -> Result<T, StateError> {
        let limit = self.attempt_limit();
        tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| {
            Err(StateError::temporary(format!("no answer within {}", duration::format(whole_millis(limit)))))
        })
    }

    async fn try_until<'a, T>(
        &self,
        scope: &Scope,
        what: &str,
        attempt: impl Fn() -> BoxFuture<'a, Result<T, StateError>>,
    ) -> Result<T, StateError> {
        let mut tried = 0_u32;
        loop {
            tried = tried.saturating_add(1);
            let error = match self.try_once(attempt()).await {
                Ok(value) => return Ok(value),
                Err(error) if !error.is_temporary() => return Err(error),
                Err(error) => error,
            };
            let pause = RETRY.delay(tried, rand::random(), None);
            if Instant::now() + pause >= self.until {
                return Err(error);
            }
            let name = self.manager.name();
            if let Some(id) = RequestId::parse(&scope.request) {
                let log = RequestLog::new(id);
                let (code, error) = (error.code(), chain(&error));
                log.write(
                    Level::WARN,
                    Some(code),
                    format_args!("The state manager `{name}` cannot {what} yet: {error}"),
                );
            }
            tokio::time::sleep(pause).await;
        }
    }
}

impl StateManager for RetryingState {
    fn name(&self) -> &str {
        self.manager.name()
    }

    fn is_shared(&self) -> bool {
        self.manager.is_shared()
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), StateError>> {
        self.manager.probe()
    }

    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
        Box::pin(self.try_until(scope, "read", move || self.manager.get(scope, key)))
    }

    fn set<'a>(&'a self, scope: &'a Scope, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(self.try_until(scope, "write", move || self.manager.set(scope, key, value.clone())))
    }

    fn remove<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(self.try_until(scope, "remove", move || self.manager.remove(scope, key)))
    }

    fn remove_request<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(self.try_until(scope, "remove", move || self.manager.remove_request(scope)))
    }

    fn get_many<'a>(
        &'a self,
        scope: &'a Scope,
        keys: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StateError>> {
        Box::pin(self.try_until(scope, "read", move || self.manager.get_many(scope, keys)))
    }

    fn end_request<'a>(&'a self, scope: &'a Scope, keep_for: Duration) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(self.try_until(scope, "remove", move || self.manager.end_request(scope, keep_for)))
    }

    fn get_versioned<'a>(
        &'a self,
        scope: &'a Scope,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<(Bytes, Version)>, StateError>> {
        Box::pin(self.try_until(scope, "read", move || self.manager.get_versioned(scope, key)))
    }

    /// This is not retried. Only the caller can find out whether a failed attempt has written the value.
    fn set_if<'a>(
        &'a self,
        scope: &'a Scope,
        key: &'a str,
        value: Bytes,
        condition: Condition,
    ) -> BoxFuture<'a, Result<Option<Version>, StateError>> {
        Box::pin(self.try_once(self.manager.set_if(scope, key, value, condition)))
    }
}

fn whole_millis(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Returns temporary errors a number of times, or never answers.
    struct Weak {
        asked: AtomicUsize,
        failures: usize,
        stalls: bool,
        permanent: bool,
    }

    fn weak(failures: usize, stalls: bool, permanent: bool) -> Arc<Weak> {
        Arc::new(Weak { asked: AtomicUsize::new(0), failures, stalls, permanent })
    }

    impl StateManager for Weak {
        fn name(&self) -> &str {
            "weak"
        }

        fn get<'a>(&'a self, _: &'a Scope, _: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
            Box::pin(async move {
                if self.asked.fetch_add(1, Ordering::SeqCst) >= self.failures {
                    return Ok(None);
                }
                match (self.stalls, self.permanent) {
                    (true, _) => std::future::pending().await,
                    (false, true) => Err(StateError::permanent("wrong key")),
                    (false, false) => Err(StateError::temporary("busy")),
                }
            })
        }

        fn set<'a>(&'a self, _: &'a Scope, _: &'a str, _: Bytes) -> BoxFuture<'a, Result<(), StateError>> {
            Box::pin(async { Ok(()) })
        }

        fn remove<'a>(&'a self, _: &'a Scope, _: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
            Box::pin(async { Ok(()) })
        }

        fn remove_request<'a>(&'a self, _: &'a Scope) -> BoxFuture<'a, Result<(), StateError>> {
            Box::pin(async { Ok(()) })
        }
    }

    async fn read(weak: &Arc<Weak>, allowed: Duration) -> Result<Option<Bytes>, StateError> {
        let scope = Scope { flow: "f".into(), request: "r".into() };
        RetryingState::new(weak.clone(), Instant::now() + allowed).get(&scope, "k").await
    }

    #[tokio::test(start_paused = true)]
    async fn temporary_errors_are_retried() {
        let busy = weak(5, false, false);
        assert_eq!(read(&busy, Duration::from_secs(30)).await.unwrap(), None);
        assert_eq!(busy.asked.load(Ordering::SeqCst), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn permanent_errors_are_not_retried() {
        let locked = weak(5, false, true);
        assert!(!read(&locked, Duration::from_secs(30)).await.unwrap_err().is_temporary());
        assert_eq!(locked.asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_backend_is_retried_and_given_up_before_the_deadline() {
        let stalled = weak(usize::MAX, true, false);
        let begun = Instant::now();
        assert!(read(&stalled, Duration::from_secs(30)).await.unwrap_err().is_temporary());
        assert!(begun.elapsed() <= Duration::from_secs(30));
        assert!(stalled.asked.load(Ordering::SeqCst) > 2);
    }
}
