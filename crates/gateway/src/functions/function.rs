//! One function: where it stands, and which of those deployed in its place takes a request.

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

use super::environment;
use super::limit::Limits;
use super::logs::Logs;
use super::scale::Scale;
use super::surroundings::Surroundings;
use super::upstream::{Servers, Taken, Upstream};
use crate::stack::{FunctionSpec, Kind, Replicas};

/// A function, of the stack or deployed. It never changes: what is deployed in its place is another one.
pub(crate) struct Function {
    pub(crate) spec: FunctionSpec,
    /// What was asked for; `None` for one of the stack.
    pub(crate) deployment: Option<Deployment>,
    /// When it was there first, in milliseconds since 1970.
    pub(crate) created_ms: u64,
    pub(crate) upstream: watch::Sender<Upstream>,
    /// Those of the one before go on.
    pub(crate) logs: Arc<Logs>,
    pub(crate) limits: Limits,
    /// Cloned by each call in flight, so that these are counted.
    pub(crate) calls: Arc<()>,
    /// How many containers it has; `None` if it does not run in containers.
    pub(crate) scale: Option<Scale>,
    /// The environment that its processes get.
    pub(crate) environment: Vec<(String, String)>,
    /// Cancelled when it is replaced or removed, or the gateway stops.
    pub(crate) gone: CancellationToken,
    /// The process that serves; 0 where there is none.
    pub(crate) process: AtomicU32,
    /// Where that is to serve metrics.
    pub(crate) metrics_port: AtomicU16,
    /// How many of its processes ended by themselves.
    pub(crate) restarts: AtomicU64,
    /// The one that it is to replace, which goes on until this one takes requests. That one has none before it.
    before: Mutex<Option<Arc<Function>>>,
    place: Arc<Place>,
}

/// What all have in common that were deployed in place of each other.
#[derive(Default)]
struct Place {
    /// The one that was deployed last; none when it was removed. While this is locked, none of them changes its
    /// upstream or what is before it.
    latest: Mutex<Weak<Function>>,
    /// Told of every such change.
    changed: watch::Sender<()>,
}

impl Place {
    fn lock(&self) -> MutexGuard<'_, Weak<Function>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Function {
    /// One of the stack.
    pub(crate) fn of_stack(spec: FunctionSpec, around: &Surroundings) -> Arc<Function> {
        Function::new(spec, None, now_ms(), around, None)
    }

    /// One that was deployed, to be [put](Functions::put) in place of `before` if there is such a one.
    pub(crate) fn deployed(
        spec: FunctionSpec,
        deployment: Deployment,
        created_ms: u64,
        around: &Surroundings,
        before: Option<&Function>,
    ) -> Arc<Function> {
        Function::new(spec, Some(deployment), created_ms, around, before)
    }

    fn new(
        spec: FunctionSpec,
        deployment: Option<Deployment>,
        created_ms: u64,
        around: &Surroundings,
        before: Option<&Function>,
    ) -> Arc<Function> {
        let upstream = match &spec.kind {
            Kind::Cargo(_) => Upstream::Pending("it is being built".to_owned()),
            Kind::Program(_) => Upstream::Pending("it is being started".to_owned()),
            Kind::Command(words) => Upstream::Command(words.clone()),
            Kind::Url(url) => Upstream::Http(Servers::one(url.clone(), TaskTracker::new())),
            Kind::Image(_) => Upstream::Pending("its container is being started".to_owned()),
        };
        let is_image = matches!(spec.kind, Kind::Image(_));
        let (logs, place) = match before {
            Some(before) => (before.logs.clone(), before.place.clone()),
            None => (Arc::new(Logs::new(spec.name.clone(), around.journal.clone())), Arc::default()),
        };
        Arc::new(Function {
            environment: if is_image {
                environment::of_container(&spec, around.memory)
            } else {
                environment::of_process(&spec, around)
            },
            // The labels were checked when it was read.
            scale: if is_image { Replicas::read(&spec.labels).ok().map(Scale::new) } else { None },
            limits: Limits::new(&spec.environment),
            calls: Arc::default(),
            deployment,
            created_ms,
            upstream: watch::Sender::new(upstream),
            logs,
            gone: around.stop.child_token(),
            process: AtomicU32::new(0),
            metrics_port: AtomicU16::new(0),
            restarts: AtomicU64::new(0),
            before: Mutex::default(),
            place,
            spec,
        })
    }

    /// Where a request goes, waiting a while for one that is being started: to the one that was deployed last in this
    /// one's place, or to the one before as long as that one takes none.
    pub(crate) async fn take(self: &Arc<Self>, patience: Duration) -> (Arc<Function>, Taken) {
        match self.look() {
            (_, Taken::Pending(_) | Taken::Idle) => self.wait(patience).await,
            settled => settled,
        }
    }

    async fn wait(self: &Arc<Self>, patience: Duration) -> (Arc<Function>, Taken) {
        let mut changed = self.place.changed.subscribe();
        let settled = async {
            loop {
                // Before the look, so that no change falls between.
                changed.borrow_and_update();
                // The sender is in `self`, so that there is always one.
                match self.look() {
                    (_, Taken::Pending(_)) => drop(changed.changed().await),
                    (function, Taken::Idle) => {
                        function.wake();
                        drop(changed.changed().await);
                    }
                    settled => return settled,
                }
            }
        };
        match tokio::time::timeout(patience, settled).await {
            Ok(settled) => settled,
            Err(_) => self.look(),
        }
    }

    /// Where a request goes now.
    fn look(self: &Arc<Self>) -> (Arc<Function>, Taken) {
        let latest = self.place.lock();
        let function = latest.upgrade().unwrap_or_else(|| self.clone());
        let taken = function.now();
        if let Taken::Pending(_) = taken
            && let Some(before) = function.before().clone()
            && let taken @ (Taken::Http(..) | Taken::Command(_)) = before.now()
        {
            return (before, taken);
        }
        (function, taken)
    }

    fn now(&self) -> Taken {
        // The token is taken while the value is held: whoever replaces it afterwards counts this request.
        self.upstream.borrow().take()
    }

    /// Has its containers started again, if it is scaled to none.
    fn wake(&self) {
        if let Some(scale) = &self.scale {
            scale.wake();
        }
    }

    fn before(&self) -> MutexGuard<'_, Option<Arc<Function>>> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn takes(&self) -> bool {
        self.upstream.borrow().takes()
    }

    /// How many of it there are to be.
    pub(crate) fn replicas(&self) -> u32 {
        self.scale.as_ref().map_or(1, Scale::wanted)
    }

    /// How many of it take requests, or of the one before as long as that one serves.
    pub(crate) fn available(&self) -> usize {
        let here = match &*self.upstream.borrow() {
            Upstream::Http(servers) => servers.len(),
            Upstream::Command(_) => 1,
            Upstream::Pending(_) | Upstream::Failing(_) => 0,
            _ => return 0,
        };
        if here > 0 { here } else { self.before().as_ref().map_or(0, |before| before.available()) }
    }

    /// Notes that the server at this address refused a connection.
    pub(crate) fn refused(&self, url: &Uri) {
        if let Upstream::Http(servers) = &*self.upstream.borrow() {
            servers.refused(url);
        }
    }

    /// The containers that serve.
    pub(crate) fn containers(&self) -> Vec<String> {
        match &*self.upstream.borrow() {
            Upstream::Http(servers) => servers.containers(),
            _ => Vec::new(),
        }
    }

    /// Whether a request would be taken at once.
    #[cfg(test)]
    pub(super) fn is_available(&self) -> bool {
        self.available() > 0
    }

    /// The process that serves, if one does.
    pub(crate) fn process(&self) -> Option<u32> {
        Some(self.process.load(Ordering::Relaxed)).filter(|&process| process != 0)
    }

    /// Says where it stands. One that was replaced or removed stays so.
    pub(crate) fn set(&self, upstream: Upstream) {
        let latest = self.place.lock();
        if matches!(&*self.upstream.borrow(), Upstream::Gone) {
            return;
        }
        self.upstream.send_replace(upstream);
        if self.takes() {
            self.retire_before();
        }
        drop(latest);
        self.place.changed.send_replace(());
    }

    /// Takes its place, in which `last` is the one until now.
    pub(super) fn enter(self: &Arc<Self>, last: Option<Arc<Function>>) {
        let mut latest = self.place.lock();
        if let Some(last) = last {
            // One goes on, and no more: otherwise each that never comes up would be tried for ever.
            let earlier = last.before().take();
            let (kept, ended) = match earlier {
                Some(earlier) if !last.takes() && earlier.takes() => (earlier, Some(last)),
                earlier => (last, earlier),
            };
            if let Some(ended) = ended {
                ended.retire();
            }
            *self.before() = Some(kept);
        }
        if self.takes() {
            self.retire_before();
        }
        *latest = Arc::downgrade(self);
        drop(latest);
        self.place.changed.send_replace(());
    }

    /// Leaves its place to nobody.
    pub(super) fn leave(&self) {
        let mut latest = self.place.lock();
        *latest = Weak::new();
        self.retire_before();
        self.retire();
        drop(latest);
        self.place.changed.send_replace(());
    }

    /// The one before has no more to do.
    fn retire_before(&self) {
        if let Some(before) = self.before().take() {
            before.retire();
        }
    }

    /// Takes no more requests; those that it has taken it finishes.
    fn retire(&self) {
        self.upstream.send_replace(Upstream::Gone);
        self.gone.cancel();
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The one before and the latest one know each other, and environments hold what is nobody's business.
        formatter.debug_struct("Function").field("name", &self.spec.name).finish_non_exhaustive()
    }
}
