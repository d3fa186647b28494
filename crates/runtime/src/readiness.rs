//! Whether the flow function is ready, for `/_/ready`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use faasflow_core::chain;
use faasflow_core::code::Code;
use faasflow_core::state::{StateError, StateManager};
use http::StatusCode;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::refusals::Refusals;

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
    found: Probed,
}

/// What a probe of the state manager has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probed {
    Well,
    /// It does not answer, which may change.
    Away,
    /// It answers with an error of this code, which somebody has to mend.
    Refuses(Code),
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

    /// The answer of `/_/ready`: 200, or 503 with the reason. If the state manager refuses something, the text says so.
    pub(crate) async fn answer(&self, store: Option<Arc<dyn StateManager>>, refusals: &Refusals) -> Response {
        if self.is_draining() {
            return (StatusCode::SERVICE_UNAVAILABLE, "the flow function is stopping\n").into_response();
        }
        let Some(store) = store else { return "OK\n".into_response() };
        let name = store.name();
        let not_ready = |why: String| (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
        match (self.probed(&*store).await, refusals.current()) {
            (Probed::Away, _) => not_ready(format!("the state manager `{name}` does not answer\n")),
            (Probed::Refuses(code), _) => not_ready(format!("{}\n", refuses(name, code))),
            // Other requests may be served, so this is no reason to send none.
            (Probed::Well, Some((name, code))) => format!("OK, but {}\n", refuses(&name, code)).into_response(),
            (Probed::Well, None) => "OK\n".into_response(),
        }
    }

    /// Whether the state manager answers, or answered a moment ago.
    async fn probed(&self, store: &dyn StateManager) -> Probed {
        // Clients that ask at the same time share one probe.
        let mut before = self.store.lock().await;
        if let Some(probed) = *before
            && probed.at.elapsed() < PROBE_LIFETIME
        {
            return probed.found;
        }
        let answer = tokio::time::timeout(PROBE, store.probe()).await;
        let answer = answer.unwrap_or_else(|_| Err(StateError::temporary(format!("no answer within {PROBE:?}"))));
        let found = match &answer {
            Ok(()) => Probed::Well,
            Err(error) if error.is_temporary() => Probed::Away,
            Err(error) => Probed::Refuses(error.code()),
        };
        let name = store.name();
        let was = before.map_or(Probed::Well, |probed| probed.found);
        match &answer {
            Err(error) if was != found => {
                let does = if found == Probed::Away { "does not answer" } else { "refuses what it is asked" };
                let help = error.help().map(|help| format!(": {help}")).unwrap_or_default();
                tracing::warn!("Not ready: the state manager `{name}` {does}: {}{help}", chain(error));
            }
            Ok(()) if was != found => tracing::info!("Ready again: the state manager `{name}` answers"),
            _ => {}
        }
        *before = Some(ProbeResult { at: Instant::now(), found });
        found
    }
}

fn refuses(name: &str, code: Code) -> String {
    format!("the state manager `{name}` refuses what the flow asks of it ({code}); the log of the flow says why")
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
        locked: AtomicBool,
        asked: AtomicUsize,
    }

    impl StateManager for Store {
        fn name(&self) -> &str {
            "store"
        }

        fn probe(&self) -> BoxFuture<'_, Result<(), StateError>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            Box::pin(async {
                if self.ill.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
                match self.locked.load(Ordering::Relaxed) {
                    true => Err(StateError::permanent("access is denied to user `secret`")),
                    false => Ok(()),
                }
            })
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
        let ask = async || readiness.answer(Some(store.clone() as _), &Refusals::default()).await.status().as_u16();
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
        assert_eq!(readiness.answer(None, &Refusals::default()).await.status(), 503);
    }
    #[tokio::test(start_paused = true)]
    async fn the_answer_says_what_the_state_manager_refuses() {
        let (readiness, refusals, store) = (Readiness::default(), Refusals::default(), Arc::new(Store::default()));
        let ask = async || {
            tokio::time::advance(PROBE_LIFETIME).await;
            let answer = readiness.answer(Some(store.clone() as _), &refusals).await;
            let status = answer.status().as_u16();
            let body = axum::body::to_bytes(answer.into_body(), 1000).await.unwrap();
            (status, String::from_utf8(body.to_vec()).unwrap())
        };
        let refuses =
            "the state manager `store` refuses what the flow asks of it (FF0502); the log of the flow says why\n";
        assert_eq!(ask().await, (200, "OK\n".to_owned()));
        store.locked.store(true, Ordering::Relaxed);
        assert_eq!(ask().await, (503, refuses.to_owned()));
        store.locked.store(false, Ordering::Relaxed);
        assert_eq!(ask().await, (200, "OK\n".to_owned()));

        // The probe finds nothing wrong, but a request was refused.
        let scope = Scope { flow: "f".into(), request: "r".into() };
        refusals.refused("store", "write", &scope, &StateError::permanent("the value is too large"));
        assert_eq!(ask().await, (200, format!("OK, but {refuses}")));
        refusals.accepted("write", &scope);
        assert_eq!(ask().await, (200, "OK\n".to_owned()));
    }
}
