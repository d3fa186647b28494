//! Fakes for the tests of deliveries, steps and forwarding: a flow function whose queue and state manager are in memory, so
//! that these tests need no HTTP.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use faasflow_core::handler::BoxFuture;
use faasflow_core::state::{Condition, EmbeddedState, Scope, StateError, StateManager, Version, outlives_request};
use faasflow_core::{Context, Flow, RequestId, RequestInfo, TraceContext};
use http::HeaderMap;

use crate::config::{Config, SettingValue};
use crate::forward::{Forward, ForwardError, Forwarder};
use crate::function::FlowFunction;
use crate::instance::Instance;
use crate::observers::Observers;

/// A flow function named `flow`, unsigned unless the settings say otherwise.
pub(crate) fn instance(flow: Flow, settings: &[(&str, &str)], queue: &Arc<Queue>) -> Arc<Instance> {
    let look_up = |name: &str| {
        let set = settings.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let value = set.or(match name {
            "workflow_name" => Some("flow"),
            "enable_hmac" => Some("false"),
            _ => None,
        });
        Some(SettingValue { value: value?.to_owned(), origin: String::new() })
    };
    let config = Config::load(look_up).unwrap();
    FlowFunction::with_forwarder(flow, config, queue.clone()).unwrap().0
}

/// A fake queue. It accepts envelopes unless it is told to refuse them.
#[derive(Default)]
pub(crate) struct Queue {
    answers: Mutex<VecDeque<ForwardError>>,
    taken: Mutex<Vec<Forward>>,
    asked: Mutex<Vec<Forward>>,
}

impl Queue {
    /// Refuses the next envelope with this error.
    pub(crate) fn refuses(&self, error: ForwardError) {
        self.answers.lock().unwrap().push_back(error);
    }

    /// The envelopes that it accepted.
    pub(crate) fn taken(&self) -> Vec<Forward> {
        self.taken.lock().unwrap().clone()
    }

    /// The envelopes that it was given, including those that it refused.
    pub(crate) fn given(&self) -> Vec<Forward> {
        self.asked.lock().unwrap().clone()
    }
}

impl Forwarder for Queue {
    fn forward(&self, forward: Forward) -> BoxFuture<'_, Result<(), ForwardError>> {
        self.asked.lock().unwrap().push(forward.clone());
        let refused = self.answers.lock().unwrap().pop_front();
        Box::pin(async move {
            match refused {
                Some(error) => Err(error),
                None => {
                    self.taken.lock().unwrap().push(forward);
                    Ok(())
                }
            }
        })
    }
}

/// A state manager in memory that can be made unavailable.
#[derive(Clone, Default)]
pub(crate) struct Shelf(Arc<ShelfContents>);

#[derive(Default)]
struct ShelfContents {
    values: Mutex<BTreeMap<(Scope, String), Bytes>>,
    away: AtomicBool,
    /// Whether it refuses conditional writes for a permanent reason.
    locked: AtomicBool,
    /// How long each operation takes.
    delay: Mutex<Duration>,
}

impl Shelf {
    /// Makes it unavailable, or available again.
    pub(crate) fn is_away(&self, away: bool) {
        self.0.away.store(away, Ordering::SeqCst);
    }

    /// Makes it refuse conditional writes, or accept them again.
    pub(crate) fn is_locked(&self, locked: bool) {
        self.0.locked.store(locked, Ordering::SeqCst);
    }

    /// Makes each operation take this long.
    pub(crate) fn takes(&self, delay: Duration) {
        *self.0.delay.lock().unwrap() = delay;
    }

    /// The keys of all stored values.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.0.values.lock().unwrap().keys().map(|(_, key)| key.clone()).collect()
    }

    /// Removes all stored values.
    pub(crate) fn lose(&self) {
        self.0.values.lock().unwrap().clear();
    }

    fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut BTreeMap<(Scope, String), Bytes>) -> T,
    ) -> BoxFuture<'static, Result<T, StateError>> {
        let done = match self.0.away.load(Ordering::SeqCst) {
            true => Err(StateError::temporary("it is away")),
            false => Ok(work(&mut self.0.values.lock().unwrap())),
        };
        let delay = *self.0.delay.lock().unwrap();
        Box::pin(async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            done
        })
    }
}

impl StateManager for Shelf {
    fn name(&self) -> &str {
        "shelf"
    }

    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
        self.with(|values| values.get(&(scope.clone(), key.to_owned())).cloned())
    }

    fn set<'a>(&'a self, scope: &'a Scope, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StateError>> {
        self.with(|values| {
            values.insert((scope.clone(), key.to_owned()), value);
        })
    }

    fn remove<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
        self.with(|values| {
            values.remove(&(scope.clone(), key.to_owned()));
        })
    }

    fn remove_request<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<(), StateError>> {
        self.with(|values| values.retain(|(of, _), _| of != scope))
    }

    fn supports_branches(&self) -> bool {
        true
    }

    fn set_if<'a>(
        &'a self,
        scope: &'a Scope,
        key: &'a str,
        value: Bytes,
        condition: Condition,
    ) -> BoxFuture<'a, Result<Option<Version>, StateError>> {
        assert_eq!(condition, Condition::Absent);
        if self.0.locked.load(Ordering::SeqCst) {
            return Box::pin(async { Err(StateError::permanent("access is denied to user `secret`")) });
        }
        self.with(|values| match values.entry((scope.clone(), key.to_owned())) {
            Entry::Occupied(_) => None,
            Entry::Vacant(free) => {
                free.insert(value);
                Some(Version::new("1"))
            }
        })
    }

    fn end_request<'a>(&'a self, scope: &'a Scope, _: Duration) -> BoxFuture<'a, Result<(), StateError>> {
        self.with(|values| values.retain(|(of, key), _| of != scope || outlives_request(key)))
    }
}

/// The fixed data of the request `r`.
pub(crate) fn request() -> Arc<RequestInfo> {
    request_with_id("r")
}

/// The same for a request with this id.
pub(crate) fn request_with_id(id: &str) -> Arc<RequestInfo> {
    Arc::new(RequestInfo {
        id: RequestId::parse(id).unwrap(),
        flow: "flow".into(),
        query: String::new(),
        headers: HeaderMap::new(),
        callback_url: None,
        trace: TraceContext::default(),
        started_ms: 0,
        invocation: None,
    })
}

/// The context of a phase of that request.
pub(crate) fn context(phase: usize) -> Context {
    Context::embedded(request(), phase, EmbeddedState::new())
}

/// Observers of that request, which also collect the log lines.
pub(crate) fn observers(instance: &Instance) -> Observers<'_> {
    Observers::for_request(RequestId::parse("r").unwrap(), &instance.metrics).keeping_lines()
}

/// The lines so far, without their prefix.
pub(crate) fn lines(observers: &Observers<'_>) -> Vec<String> {
    let lines = observers.kept_lines().unwrap();
    lines.lines().map(|line| line.trim_start_matches("[Request `r`] ").to_owned()).collect()
}

/// The value of a series in the metrics text.
pub(crate) fn series(instance: &Instance, series: &str) -> String {
    let text = instance.metrics.text();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{text}")).to_owned()
}
