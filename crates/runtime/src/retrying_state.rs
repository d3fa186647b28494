//! A state manager that retries until a deadline.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faasflow_core::handler::BoxFuture;
use faasflow_core::machine::Outage;
use faasflow_core::state::{
    Condition, Key, ListQuery, Listed, Scope, StateError, StateManager, Status, Version, Watch,
};
use faasflow_core::{RequestId, Retry, chain, duration};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::time::Instant;
use tracing::Level;

use crate::first_outage::FirstOutage;
use crate::log::RequestLog;
use crate::refusals::Refusals;

/// How often a write may end without an answer in a row before it is given up.
pub(crate) const UNKNOWN_IN_A_ROW: u32 = 3;
/// The pause after a write without an answer, before the key is read back.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);
/// How operations are retried after a temporary error.
const RETRY: Retry = Retry::unlimited().initial_delay(Duration::from_millis(50)).max_delay(Duration::from_secs(2));

/// How many keys are read at once.
const KEYS_AT_ONCE: usize = 64;
/// How many such reads are under way at once.
const READS_AT_ONCE: usize = 8;

/// A state manager that retries operations after temporary errors and never waits past its deadline.
#[derive(Clone)]
pub(crate) struct RetryingState {
    manager: Arc<dyn StateManager>,
    until: Instant,
    /// Where it reports refused and successful operations, if anywhere.
    refusals: Option<Arc<Refusals>>,
    /// Where it notes that the state manager cannot be reached.
    outage: Option<FirstOutage>,
}

impl RetryingState {
    pub(crate) fn new(manager: Arc<dyn StateManager>, until: Instant) -> RetryingState {
        RetryingState { manager, until, refusals: None, outage: None }
    }

    /// Reports each operation that is refused for a permanent reason, and each that succeeds.
    pub(crate) fn reporting(self, refusals: Arc<Refusals>) -> RetryingState {
        RetryingState { refusals: Some(refusals), ..self }
    }

    /// Notes an outage of the state manager here, because it takes time that the phase does not have later.
    pub(crate) fn noting(self, outage: FirstOutage) -> RetryingState {
        RetryingState { outage: Some(outage), ..self }
    }

    fn report<T>(&self, operation: &'static str, scope: &Scope, answer: &Result<T, StateError>) {
        let Some(refusals) = &self.refusals else { return };
        match answer {
            Ok(_) => refusals.accepted(operation, scope),
            Err(error) if error.is_temporary() => {}
            Err(error) => refusals.refused(self.manager.name(), operation, scope, error),
        }
    }

    /// How long one attempt may take: half of the time that is left, so that one stalled attempt does not use up all of it.
    fn attempt_limit(&self) -> Duration {
        let left = self.until.saturating_duration_since(Instant::now());
        (left / 2).max(Duration::from_millis(500)).min(left)
    }

    async fn try_once<T>(&self, attempt: BoxFuture<'_, Result<T, StateError>>) -> Result<T, StateError> {
        let limit = self.attempt_limit();
        let answer = tokio::time::timeout(limit, attempt).await;
        let answer = answer.unwrap_or_else(|_| Err(StateError::temporary(too_late(limit))));
        if let (Err(error), Some(outage)) = (&answer, &self.outage)
            && error.is_temporary()
        {
            outage.note(|| Outage::state_unreachable(chain(error)));
        }
        answer
    }

    async fn try_until<'a, T>(
        &self,
        scope: &Scope,
        what: &'static str,
        attempt: impl Fn() -> BoxFuture<'a, Result<T, StateError>>,
    ) -> Result<T, StateError> {
        let mut tried = 0_u32;
        loop {
            tried = tried.saturating_add(1);
            let answer = self.try_once(attempt()).await;
            self.report(what, scope, &answer);
            let error = match answer {
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
                let log = RequestLog::current(id);
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

impl RetryingState {
    /// Reads any number of keys of a request, in their order: several at once, and several such reads side by side.
    ///
    /// The future is boxed here, because the compiler cannot prove from the outside that it can move between threads.
    pub(crate) fn read_all<'a>(
        &'a self,
        scope: &'a Scope,
        keys: &'a [Key],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StateError>> {
        Box::pin(async move {
            let reads: Vec<_> = keys.chunks(KEYS_AT_ONCE).map(|keys| self.read_some(scope, keys)).collect();
            let found: Vec<Vec<_>> = futures_util::stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await?;
            Ok(found.into_iter().flatten().collect())
        })
    }

    /// Reads keys of a request, and adds them to those that are known.
    pub(crate) async fn read_into(
        &self,
        known: &mut HashMap<Key, Option<Bytes>>,
        scope: &Scope,
        keys: Vec<Key>,
    ) -> Result<(), StateError> {
        let values = self.read_all(scope, &keys).await?;
        known.extend(keys.into_iter().zip(values));
        Ok(())
    }

    fn read_some<'a>(
        &'a self,
        scope: &'a Scope,
        keys: &'a [Key],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StateError>> {
        Box::pin(async move {
            let keys: Vec<&str> = keys.iter().map(Key::as_str).collect();
            self.get_many(scope, &keys).await
        })
    }
}

impl StateManager for RetryingState {
    fn name(&self) -> &str {
        self.manager.name()
    }

    fn supports_branches(&self) -> bool {
        self.manager.supports_branches()
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

    fn supports_records(&self) -> bool {
        self.manager.supports_records()
    }

    /// This is not retried. Only the caller can find out whether a failed attempt has written the value.
    fn begin_request<'a>(
        &'a self,
        scope: &'a Scope,
        started_ms: u64,
        key: &'a str,
        value: Bytes,
    ) -> BoxFuture<'a, Result<bool, StateError>> {
        Box::pin(async move {
            let begun = self.try_once(self.manager.begin_request(scope, started_ms, key, value)).await;
            self.report("begin", scope, &begun);
            begun
        })
    }

    /// This is not retried either.
    fn create_in_order<'a>(
        &'a self,
        scope: &'a Scope,
        values: &'a [(&'a str, Bytes)],
    ) -> BoxFuture<'a, Result<usize, StateError>> {
        Box::pin(async move {
            let created = self.try_once(self.manager.create_in_order(scope, values)).await;
            self.report("write", scope, &created);
            created
        })
    }

    fn list_request<'a>(
        &'a self,
        scope: &'a Scope,
        started_ms: u64,
        status: Status,
    ) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(self.try_until(scope, "list", move || self.manager.list_request(scope, started_ms, status)))
    }

    fn retire_request<'a>(
        &'a self,
        scope: &'a Scope,
        started_ms: u64,
        status: Status,
        keep_for: Duration,
        known_for: Duration,
    ) -> BoxFuture<'a, Result<(), StateError>> {
        let retire = move || self.manager.retire_request(scope, started_ms, status, keep_for, known_for);
        Box::pin(self.try_until(scope, "retire", retire))
    }

    fn list_requests<'a>(
        &'a self,
        flow: &'a str,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Vec<Listed>, StateError>> {
        Box::pin(self.try_once(self.manager.list_requests(flow, query)))
    }

    fn remove_expired<'a>(&'a self, flow: &'a str, limit: usize) -> BoxFuture<'a, Result<usize, StateError>> {
        Box::pin(self.try_once(self.manager.remove_expired(flow, limit)))
    }

    fn get_across<'a>(
        &'a self,
        scopes: &'a [Scope],
        key: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StateError>> {
        Box::pin(self.try_once(self.manager.get_across(scopes, key)))
    }

    fn is_expired<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<bool, StateError>> {
        Box::pin(self.try_until(scope, "read", move || self.manager.is_expired(scope)))
    }

    fn watch<'a>(&'a self, flow: &'a str) -> BoxFuture<'a, Result<Option<Box<dyn Watch>>, StateError>> {
        Box::pin(self.try_once(self.manager.watch(flow)))
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
        Box::pin(async move {
            let answer = self.try_once(self.manager.set_if(scope, key, value, condition)).await;
            self.report("write", scope, &answer);
            answer
        })
    }
}

/// Why there is no answer after the time that an attempt had.
fn too_late(limit: Duration) -> String {
    let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    let what = match millis {
        0 => "no time was left to ask it".to_owned(),
        _ => format!("no answer within {}", duration::format(Duration::from_millis(millis))),
    };
    format!("{what}; all that a phase does has to end within `write_timeout`")
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

    #[tokio::test(start_paused = true)]
    async fn a_late_answer_names_the_time_and_the_setting() {
        for (allowed, expected) in [
            (Duration::ZERO, "no time was left to ask it; all that a phase does has to end within `write_timeout`"),
            (Duration::from_micros(400), "no time was left to ask it; "),
            (Duration::from_millis(450), "no answer within 450ms; all that a phase does"),
            (Duration::from_millis(3000), "no answer within 1s500ms; "),
        ] {
            let scope = Scope { flow: "f".into(), request: "r".into() };
            let state = RetryingState::new(weak(usize::MAX, true, false), Instant::now() + allowed);
            let asked = state.try_once(state.manager.get(&scope, "k")).await.unwrap_err().to_string();
            assert!(asked.contains(expected), "{allowed:?}: {asked}");
        }
    }
}
