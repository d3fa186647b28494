//! Whether the flow function is ready, for `/_/ready`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use faasflow_core::chain;
use faasflow_core::state::{StateError, StateManager};
use http::StatusCode;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long the state manager may take to answer. Kubernetes, for example, waits one second for `/_/ready` by default.
const PROBE: Duration = Duration::from_millis(800);

/// How long a result is reused. However many clients ask, the state manager is probed at most once in this time.
const PROBE_LIFETIME: Duration = Duration::from_secs(1);

/// Whether the flow function should receive requests.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    draining: AtomicBool,
    store: Mutex<Option<ProbeResult>>,
}

#[derive(Clone, Copy, Debug)]
struct ProbeResult {
    at: Instant,
    answered: bool,
}

impl Readiness {
    /// Makes `/_/ready` answer 503 from now on, so that no more requests are sent here.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether [`drain`](Readiness::drain) was called.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The answer of `/_/ready`: 200, or 503 with the reason.
    pub(crate) async fn answer(&self, store: Option<Arc<dyn StateManager>>) -> Response {
        if self.is_draining() {
            return (StatusCode::SERVICE_UNAVAILABLE, "the flow function is stopping\n").into_response();
        }
        match store {
            Some(store) if !self.answers(&*store).await => {
                (StatusCode::SERVICE_UNAVAILABLE, "the state manager does not answer\n").into_response()
            }
            _ => "OK\n".into_response(),
        }
    }

    /// Whether the state manager answers, or answered a moment ago.
    async fn answers(&self, store: &dyn StateManager) -> bool {
        // Clients that ask at the same time share one probe.
        let mut before = self.store.lock().await;
        if let Some(probed) = *before
            && probed.at.elapsed() < PROBE_LIFETIME
        {
            return probed.answered;
        }
        let answer = tokio::time::timeout(PROBE, store.probe()).await;
        let answer = answer.unwrap_or_else(|_| Err(StateError::temporary(format!("no answer within {PROBE:?}"))));
        let name = store.name();
        let was_well = before.is_none_or(|probed| probed.answered);
        match &answer {
            Err(error) if was_well => {
                tracing::warn!("Not ready: the state manager `{name}` does not answer: {}", chain(error));
            }
            Ok(()) if !was_well => tracing::info!("Ready again: the state manager `{name}` answers"),
            _ => {}
        }
        *before = Some(ProbeResult { at: Instant::now(), answered: answer.is_ok() });
        answer.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use bytes::Bytes;
    use faasflow_core::handler::BoxFuture;
    use faasflow_core::state::Scope;

    use super::*;

    /// Answers its probe unless it is ill.
    #[derive(Default)]
    struct Store {
        ill: AtomicBool,
        asked: AtomicUsize,
    }

    impl StateManager for Store {
        fn name(&self) -> &str {
            "store"
        }

        fn probe(&self) -> BoxFuture<'_, Result<(), StateError>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { if self.ill.load(Ordering::Relaxed) { std::future::pending().await } else { Ok(()) } })
        }

        fn get<'a>(&'a self, _: &'a Scope, _: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
            unreachable!()
        }

        fn set<'a>(&'a self, _: &'a Scope, _: &'a str, _: Bytes) -> BoxFuture<'a, Result<(), StateError>> {
            unreachable!()
        }

        fn remove<'a>(&'a self, _: &'a Scope, _: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
            unreachable!()
        }

        fn remove_request<'a>(&'a self, _: &'a Scope) -> BoxFuture<'a, Result<(), StateError>> {
            unreachable!()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn r6_it_is_ready_while_its_store_answers_and_probes_at_most_once_a_second() {
        let (readiness, store) = (Readiness::default(), Arc::new(Store::default()));
        let ask = async || readiness.answer(Some(store.clone() as _)).await.status().as_u16();
        for _ in 0..100 {
            assert_eq!(ask().await, 200);
        }
        assert_eq!(store.asked.load(Ordering::Relaxed), 1);

        store.ill.store(true, Ordering::Relaxed);
        tokio::time::advance(PROBE_LIFETIME).await;
        let begun = Instant::now();
        assert_eq!(tokio::join!(ask(), ask()), (503, 503));
        assert_eq!((begun.elapsed(), store.asked.load(Ordering::Relaxed)), (PROBE, 2));

        store.ill.store(false, Ordering::Relaxed);
        tokio::time::advance(PROBE_LIFETIME).await;
        assert_eq!(ask().await, 200);
        readiness.drain();
        assert_eq!(ask().await, 503);
        assert_eq!(readiness.answer(None).await.status(), 503);
    }
}
