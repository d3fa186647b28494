//! The functions, each at hand under its name.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::time::Duration;

use faasflow_runtime::config::{MEMORY, SINGLE_PROCESS};
use http::Uri;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::event::Events;
use crate::functions::container::Containers;
use crate::functions::deployment::Deployment;
use crate::functions::limit::Limits;
use crate::functions::logs::{Journal, Logs};
use crate::functions::scale::Scale;
use crate::namespace::{NAMESPACE, bare_name};
use crate::queue::now_ms;
use crate::stack::{FunctionSpec, Kind};

pub(crate) mod build;
pub(crate) mod command;
pub(crate) mod container;
pub(crate) mod deployment;
pub(crate) mod endings;
pub(crate) mod follow;
pub(crate) mod kept;
pub(crate) mod limit;
pub(crate) mod logs;
mod orphan;
pub(crate) mod process;
pub(crate) mod scale;
pub(crate) mod upstream;
pub(crate) mod watch_sources;

pub(crate) use upstream::{Servers, Taken, Upstream};

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

/// What all functions are made with.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    /// The address of this gateway, as functions reach it.
    pub(crate) gateway: String,
    /// The folder of the secrets.
    pub(crate) secrets: PathBuf,
    /// The memory that each process may count on, in bytes.
    pub(crate) memory: u64,
    pub(crate) containers: Containers,
    pub(crate) events: Events,
    pub(crate) journal: Journal,
    pub(crate) stop: CancellationToken,
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
                container::environment(&spec, around.memory)
            } else {
                environment(&spec, around)
            },
            // The labels were checked when it was read.
            scale: if is_image { Scale::read(&spec.labels).ok() } else { None },
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
    fn is_available(&self) -> bool {
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
    fn enter(self: &Arc<Self>, last: Option<Arc<Function>>) {
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
    fn leave(&self) {
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

/// All functions, by name. The lock is held for a look or a change, never while anything is waited for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Functions(Arc<RwLock<BTreeMap<String, Arc<Function>>>>);

impl Functions {
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Arc<Function>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The function of this name, with or without its namespace.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Function>> {
        self.read().get(bare_name(name)).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Function>> {
        self.read().values().cloned().collect()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.read().keys().cloned().collect()
    }

    /// Adds a function. The one of its name before goes on until this one takes requests, or if that one takes none, the
    /// one before that does.
    pub(crate) fn put(&self, function: &Arc<Function>) {
        let mut functions = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let last = functions.insert(function.spec.name.clone(), function.clone());
        function.enter(last);
    }

    pub(crate) fn remove(&self, name: &str) {
        let mut functions = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(removed) = functions.remove(name) {
            removed.leave();
        }
    }

    /// Those that cargo builds, with their folders.
    pub(crate) fn cargo_projects(&self) -> Vec<(Arc<Function>, PathBuf)> {
        let project = |function: Arc<Function>| match &function.spec.kind {
            Kind::Cargo(folder) => {
                let folder = folder.clone();
                Some((function, folder))
            }
            _ => None,
        };
        self.all().into_iter().filter_map(project).collect()
    }
}

/// What is known here better than in a file that is written for a cluster: where this gateway is, and where it looks for
/// the function.
const OURS: [&str; 8] =
    ["gateway", "host", "port", "PORT", "flow_port", "metrics_port", "flow_metrics_port", "metrics_host"];

/// What a function's processes see: a few variables of ours, what OpenFaaS gives, then what was said for it.
fn environment(spec: &FunctionSpec, around: &Surroundings) -> Vec<(String, String)> {
    let given = [
        ("host", "127.0.0.1"),
        ("gateway", &around.gateway),
        ("OPENFAAS_NAME", &spec.name),
        ("OPENFAAS_NAMESPACE", NAMESPACE),
        (SINGLE_PROCESS, "true"),
        (MEMORY, &around.memory.to_string()),
        ("secret_mount_path", &around.secrets.to_string_lossy()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let inherited = crate::environment::inherited().map(|(name, value)| (name.to_owned(), value));
    let own = spec.environment.iter().filter(|(name, _)| !OURS.contains(&name.as_str()));
    let own = own.map(|(name, value)| (name.clone(), value.clone()));
    inherited.chain(given).chain(own).collect()
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, poll};

    use super::*;

    fn around() -> Surroundings {
        let events = tokio::sync::mpsc::unbounded_channel().0;
        Surroundings {
            gateway: String::new(),
            secrets: PathBuf::new(),
            memory: 1 << 30,
            containers: Containers::none(),
            events: events.clone(),
            journal: Journal::new(events),
            stop: CancellationToken::new(),
        }
    }

    /// A program that nobody starts.
    fn put(functions: &Functions, around: &Surroundings) -> Arc<Function> {
        let variables = [("mode".to_owned(), "http".to_owned())].into();
        let deployment = Deployment {
            service: "f".to_owned(),
            env_process: Some("sleep 1000".to_owned()),
            env_vars: Some(variables),
            ..Deployment::default()
        };
        let spec = deployment.spec(&PathBuf::new(), deployment::Runs::Here).unwrap();
        let function = Function::deployed(spec, deployment, 0, around, functions.find("f").as_deref());
        functions.put(&function);
        function
    }

    fn serves() -> Upstream {
        Upstream::Http(Servers::one(http::Uri::from_static("http://127.0.0.1:1/"), TaskTracker::new()))
    }

    fn pending() -> Upstream {
        Upstream::Pending("it ended".to_owned())
    }

    #[tokio::test]
    async fn one_goes_on_before_those_that_never_come_up() {
        let (functions, around) = (Functions::default(), around());
        let good = put(&functions, &around);
        good.set(serves());
        let mut bad: Vec<_> = (0..3).map(|_| put(&functions, &around)).collect();
        let last = bad.pop().unwrap();
        assert!(bad.iter().all(|function| function.gone.is_cancelled()));
        assert!(!good.gone.is_cancelled() && !last.gone.is_cancelled() && last.is_available());
        // It is of no use any more, and comes too late.
        bad[1].set(serves());
        assert!(!good.gone.is_cancelled());
        assert!(Arc::ptr_eq(&bad[1].take(Duration::ZERO).await.0, &good));

        // Where none serves, the youngest goes on.
        good.set(pending());
        let next = put(&functions, &around);
        assert!(good.gone.is_cancelled() && !last.gone.is_cancelled() && !next.is_available());
        last.set(serves());
        assert!(next.is_available() && !last.gone.is_cancelled());
        next.set(serves());
        assert!(last.gone.is_cancelled());
        functions.remove("f");
        assert!(next.gone.is_cancelled());
        assert!(matches!(good.take(Duration::ZERO).await.1, Taken::Gone));
    }

    #[tokio::test]
    async fn a_request_is_taken_by_whichever_serves_first() {
        let (functions, around) = (Functions::default(), around());
        let first = put(&functions, &around);
        let long = Duration::from_secs(3600);
        let found_first = first.clone();
        let mut early = Box::pin(found_first.take(long));
        assert!(poll!(&mut early).is_pending());
        let second = put(&functions, &around);
        let mut late = Box::pin(second.take(long));
        assert!(poll!(&mut early).is_pending() && poll!(&mut late).is_pending());
        first.set(serves());
        assert!(Arc::ptr_eq(&early.now_or_never().unwrap().0, &first));
        assert!(Arc::ptr_eq(&late.now_or_never().unwrap().0, &first));

        // One that serves ends, and is started again.
        first.set(pending());
        let mut waiting = Box::pin(second.take(long));
        assert!(poll!(&mut waiting).is_pending());
        first.set(serves());
        assert!(Arc::ptr_eq(&waiting.now_or_never().unwrap().0, &first));

        first.set(pending());
        let mut waiting = Box::pin(first.take(long));
        assert!(poll!(&mut waiting).is_pending());
        second.set(serves());
        assert!(Arc::ptr_eq(&waiting.now_or_never().unwrap().0, &second));

        second.set(pending());
        let mut waiting = Box::pin(second.take(long));
        assert!(poll!(&mut waiting).is_pending());
        functions.remove("f");
        assert!(matches!(waiting.now_or_never().unwrap().1, Taken::Gone));
    }

    #[tokio::test]
    async fn many_replacements_leave_nothing_behind() {
        let (functions, around) = (Functions::default(), around());
        let good = put(&functions, &around);
        good.set(serves());
        let second = Arc::downgrade(&put(&functions, &around));
        for _ in 0..100_000 {
            put(&functions, &around);
        }
        assert!(second.upgrade().is_none());
        functions.remove("f");
        assert!(good.gone.is_cancelled());
    }
}
