//! One function: its state, and its predecessor, which goes on until this one takes requests.

use std::fmt;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use faasflow_admin::Deployment;
use faasflow_http::now_ms;
use http::Uri;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::context::FunctionContext;
use super::environment;
use super::limit::Limits;
use super::logs::Logs;
use super::scale::Scale;
use super::unavailable::Unavailable;
use super::upstream::{Route, Servers, Upstream};
use crate::stack::{FunctionSpec, Kind, Replicas};

/// A function of the stack file or of the API. It never changes. A deployment in its place is another function.
pub(crate) struct Function {
    pub(crate) spec: FunctionSpec,
    /// Its deployment, or `None` if it is from the stack file.
    pub(crate) deployment: Option<Deployment>,
    /// When a function of this name was first deployed, in milliseconds since 1970.
    pub(crate) created_ms: u64,
    pub(crate) upstream: watch::Sender<Upstream>,
    /// Its log, which continues that of its predecessor.
    pub(crate) logs: Arc<Logs>,
    pub(crate) limits: Limits,
    /// Cloned by each call in flight, to count the calls.
    pub(crate) calls: Arc<()>,
    /// The number of its containers, or `None` if it does not run in containers.
    pub(crate) scale: Option<Scale>,
    /// The environment of its processes or containers.
    pub(crate) environment: Vec<(String, String)>,
    /// Cancelled when it is replaced or removed, or when the gateway stops.
    pub(crate) gone: CancellationToken,
    /// The id of the process that takes requests, or 0 if there is none.
    pub(crate) process: AtomicU32,
    /// The port at which that process should serve metrics, or 0.
    pub(crate) metrics_port: AtomicU16,
    /// How many of its processes ended by themselves.
    pub(crate) restarts: AtomicU64,
    /// Its predecessor, which goes on until this one takes requests. A predecessor has no predecessor itself.
    predecessor: Mutex<Option<Arc<Function>>>,
    slot: Arc<Slot>,
}

/// What a function shares with those that it replaced and those that replace it.
#[derive(Default)]
struct Slot {
    /// The latest function, or none after its removal. This is locked whenever a function of the slot changes its upstream or
    /// its predecessor.
    latest: Mutex<Weak<Function>>,
    /// Notified of each such change.
    changed: watch::Sender<()>,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Weak<Function>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Function {
    /// Creates a function of the stack file.
    pub(crate) fn from_stack(spec: FunctionSpec, context: &FunctionContext) -> Arc<Function> {
        Function::new(spec, None, now_ms(), context, None)
    }

    /// Creates a function that was deployed. [`Functions::put`] puts it in place of `before`, if there is one.
    pub(crate) fn deployed(
        spec: FunctionSpec,
        deployment: Deployment,
        created_ms: u64,
        context: &FunctionContext,
        before: Option<&Function>,
    ) -> Arc<Function> {
        Function::new(spec, Some(deployment), created_ms, context, before)
    }

    fn new(
        spec: FunctionSpec,
        deployment: Option<Deployment>,
        created_ms: u64,
        context: &FunctionContext,
        before: Option<&Function>,
    ) -> Arc<Function> {
        let upstream = match &spec.kind {
            Kind::Cargo(_) => Upstream::Pending(Unavailable::Building),
            Kind::Program(_) => Upstream::Pending(Unavailable::Starting),
            Kind::Command(words) => Upstream::Command(words.clone()),
            Kind::Url(url) => Upstream::Http(Servers::one(url.clone(), TaskTracker::new())),
            Kind::Image(_) => Upstream::Pending(Unavailable::StartingContainer),
        };
        let is_image = matches!(spec.kind, Kind::Image(_));
        let (logs, slot) = match before {
            Some(before) => (before.logs.clone(), before.slot.clone()),
            None => (Arc::new(Logs::new(spec.name.clone(), context.journal.clone())), Arc::default()),
        };
        Arc::new(Function {
            environment: if is_image {
                environment::for_container(&spec, context)
            } else {
                environment::for_process(&spec, context)
            },
            // The labels were checked when the function was read.
            scale: if is_image { Replicas::read(&spec.labels).ok().map(Scale::new) } else { None },
            limits: Limits::new(&spec.environment),
            calls: Arc::default(),
            deployment,
            created_ms,
            upstream: watch::Sender::new(upstream),
            logs,
            gone: context.stop.child_token(),
            process: AtomicU32::new(0),
            metrics_port: AtomicU16::new(0),
            restarts: AtomicU64::new(0),
            predecessor: Mutex::default(),
            slot,
            spec,
        })
    }

    /// Decides where a request goes: to the latest function of this slot, or to that one's predecessor while the latest takes
    /// no requests. Waits at most for `patience` while a function is being started.
    pub(crate) async fn route(self: &Arc<Self>, patience: Duration) -> (Arc<Function>, Route) {
        match self.route_now() {
            (_, Route::Pending(_) | Route::Idle) => self.wait(patience).await,
            decided => decided,
        }
    }

    async fn wait(self: &Arc<Self>, patience: Duration) -> (Arc<Function>, Route) {
        let mut changed = self.slot.changed.subscribe();
        let decided = async {
            loop {
                // Before the decision, so that no change between the two is missed.
                changed.borrow_and_update();
                // `changed` cannot fail, because the sender is in `self`.
                match self.route_now() {
                    (_, Route::Pending(_)) => drop(changed.changed().await),
                    (function, Route::Idle) => {
                        function.wake();
                        drop(changed.changed().await);
                    }
                    decided => return decided,
                }
            }
        };
        match tokio::time::timeout(patience, decided).await {
            Ok(decided) => decided,
            Err(_) => self.route_now(),
        }
    }

    /// Decides where a request goes now.
    fn route_now(self: &Arc<Self>) -> (Arc<Function>, Route) {
        let latest = self.slot.lock();
        let function = latest.upgrade().unwrap_or_else(|| self.clone());
        let route = function.own_route();
        if let Route::Pending(_) = route
            && let Some(before) = function.predecessor().clone()
            && let route @ (Route::Http(..) | Route::Command(_)) = before.own_route()
        {
            return (before, route);
        }
        (function, route)
    }

    fn own_route(&self) -> Route {
        // The request is counted while the value is borrowed, so before another value replaces it.
        self.upstream.borrow().route()
    }

    /// Starts its containers again, if it is scaled to zero.
    fn wake(&self) {
        if let Some(scale) = &self.scale {
            scale.wake();
        }
    }

    fn predecessor(&self) -> MutexGuard<'_, Option<Arc<Function>>> {
        self.predecessor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn takes_requests(&self) -> bool {
        self.upstream.borrow().takes_requests()
    }

    /// How many replicas it should have.
    pub(crate) fn replicas(&self) -> u32 {
        self.scale.as_ref().map_or(1, Scale::wanted)
    }

    /// How many replicas take requests: its own, or those of its predecessor while it has none.
    pub(crate) fn available(&self) -> usize {
        let here = match &*self.upstream.borrow() {
            Upstream::Http(servers) => servers.len(),
            Upstream::Command(_) => 1,
            Upstream::Pending(_) | Upstream::Failing(_) => 0,
            _ => return 0,
        };
        if here > 0 { here } else { self.predecessor().as_ref().map_or(0, |before| before.available()) }
    }

    /// Notes that the server at this address refused a connection.
    pub(crate) fn refused(&self, url: &Uri) {
        if let Upstream::Http(servers) = &*self.upstream.borrow() {
            servers.refused(url);
        }
    }

    /// The ids of the containers that take requests.
    pub(crate) fn containers(&self) -> Vec<String> {
        match &*self.upstream.borrow() {
            Upstream::Http(servers) => servers.containers(),
            _ => Vec::new(),
        }
    }

    /// Whether it takes requests at once.
    #[cfg(test)]
    pub(super) fn is_available(&self) -> bool {
        self.available() > 0
    }

    /// The id of the process that takes requests, if there is one.
    pub(crate) fn process(&self) -> Option<u32> {
        Some(self.process.load(Ordering::Relaxed)).filter(|&process| process != 0)
    }

    /// Sets its upstream. A function that was replaced or removed does not change any more.
    pub(crate) fn set(&self, upstream: Upstream) {
        let latest = self.slot.lock();
        if matches!(&*self.upstream.borrow(), Upstream::Gone) {
            return;
        }
        self.upstream.send_replace(upstream);
        if self.takes_requests() {
            self.retire_predecessor();
        }
        drop(latest);
        self.slot.changed.send_replace(());
    }

    /// Takes its slot over from `last`.
    pub(super) fn enter(self: &Arc<Self>, last: Option<Arc<Function>>) {
        let mut latest = self.slot.lock();
        if let Some(last) = last {
            // Only one predecessor goes on. Otherwise each function that never starts would be retried for ever.
            let earlier = last.predecessor().take();
            let (predecessor, ended) = match earlier {
                Some(earlier) if !last.takes_requests() && earlier.takes_requests() => (earlier, Some(last)),
                earlier => (last, earlier),
            };
            if let Some(ended) = ended {
                ended.retire();
            }
            *self.predecessor() = Some(predecessor);
        }
        if self.takes_requests() {
            self.retire_predecessor();
        }
        *latest = Arc::downgrade(self);
        drop(latest);
        self.slot.changed.send_replace(());
    }

    /// Leaves its slot empty.
    pub(super) fn leave(&self) {
        let mut latest = self.slot.lock();
        *latest = Weak::new();
        self.retire_predecessor();
        self.retire();
        drop(latest);
        self.slot.changed.send_replace(());
    }

    fn retire_predecessor(&self) {
        if let Some(before) = self.predecessor().take() {
            before.retire();
        }
    }

    /// Takes no more requests, but finishes those that it has.
    fn retire(&self) {
        self.upstream.send_replace(Upstream::Gone);
        self.gone.cancel();
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Predecessor and slot refer to each other, and the environment may hold secrets.
        formatter.debug_struct("Function").field("name", &self.spec.name).finish_non_exhaustive()
    }
}
