//! The functions, each at hand under its name.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use faasflow_runtime::config::SINGLE_PROCESS;
use http::Uri;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::event::Events;
use crate::functions::deployment::Deployment;
use crate::functions::logs::Logs;
use crate::queue::now_ms;
use crate::stack::{FunctionSpec, Kind};

pub(crate) mod build;
pub(crate) mod command;
pub(crate) mod deployment;
pub(crate) mod kept;
pub(crate) mod logs;
mod orphan;
pub(crate) mod process;
pub(crate) mod watch_sources;

/// The namespace of all functions here.
pub(crate) const NAMESPACE: &str = "openfaas-fn";

/// Where a function stands.
#[derive(Clone, Debug)]
pub(crate) enum Upstream {
    /// Not there yet, or not at the moment; the text says why.
    Pending(String),
    /// It takes requests here. Each holds a token until it is answered, so that a process that is replaced can
    /// finish.
    Http(Uri, TaskTracker),
    /// It is a command, a process for each request.
    Command(Vec<String>),
    /// It will not be there until its sources change.
    Broken(String),
    /// It was replaced or removed.
    Gone,
}

/// Where one request goes.
pub(crate) enum Taken {
    Pending(String),
    Http(Uri, TaskTrackerToken),
    Command(Vec<String>),
    Broken(String),
    Gone,
}

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
    /// The environment that its processes get.
    pub(crate) environment: Vec<(String, String)>,
    /// Cancelled when it is replaced or removed, or the gateway stops.
    pub(crate) gone: CancellationToken,
    /// The process that serves; 0 where there is none.
    pub(crate) process: AtomicU32,
    /// The one that it is to replace, which goes on until this one takes requests.
    before: Mutex<Option<Arc<Function>>>,
    /// The one that was deployed in its place.
    next: OnceLock<Arc<Function>>,
}

/// What all functions are made with.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    /// The address of this gateway, as functions reach it.
    pub(crate) gateway: String,
    /// The folder of the secrets.
    pub(crate) secrets: PathBuf,
    pub(crate) events: Events,
    pub(crate) stop: CancellationToken,
}

impl Function {
    /// One of the stack.
    pub(crate) fn of_stack(spec: FunctionSpec, around: &Surroundings) -> Arc<Function> {
        Function::new(spec, None, now_ms(), around, None)
    }

    /// One that was deployed, in place of `before` if there is such a one.
    pub(crate) fn deployed(
        spec: FunctionSpec,
        deployment: Deployment,
        created_ms: u64,
        around: &Surroundings,
        before: Option<Arc<Function>>,
    ) -> Arc<Function> {
        Function::new(spec, Some(deployment), created_ms, around, before)
    }

    fn new(
        spec: FunctionSpec,
        deployment: Option<Deployment>,
        created_ms: u64,
        around: &Surroundings,
        before: Option<Arc<Function>>,
    ) -> Arc<Function> {
        let upstream = match &spec.kind {
            Kind::Cargo(_) => Upstream::Pending("it is being built".to_owned()),
            Kind::Program(_) => Upstream::Pending("it is being started".to_owned()),
            Kind::Command(words) => Upstream::Command(words.clone()),
            Kind::Url(url) => Upstream::Http(url.clone(), TaskTracker::new()),
        };
        let logs = match &before {
            Some(before) => before.logs.clone(),
            None => Arc::new(Logs::new(spec.name.clone(), around.events.clone())),
        };
        Arc::new(Function {
            environment: environment(&spec, around),
            deployment,
            created_ms,
            upstream: watch::Sender::new(upstream),
            logs,
            gone: around.stop.child_token(),
            process: AtomicU32::new(0),
            before: Mutex::new(before),
            next: OnceLock::new(),
            spec,
        })
    }

    /// Where a request goes, waiting a while for one that is being started: to this function, to the one before as
    /// long as this one takes none, or to the one that replaced it since the request found it.
    pub(crate) async fn take(self: &Arc<Self>, patience: Duration) -> (Arc<Function>, Taken) {
        let mut function = self.clone();
        loop {
            if let Some(taken) = function.stand_in() {
                return taken;
            }
            let settled = |upstream: &Upstream| !matches!(upstream, Upstream::Pending(_));
            let mut watching = function.upstream.subscribe();
            let _ = tokio::time::timeout(patience, watching.wait_for(settled)).await;
            let taken = function.now();
            let next = function.next.get().cloned();
            match (&taken, next) {
                (Taken::Gone, Some(next)) => function = next,
                _ => return (function, taken),
            }
        }
    }

    fn now(&self) -> Taken {
        // The token is taken while the value is held: whoever replaces it afterwards counts this request.
        match &*self.upstream.borrow() {
            Upstream::Http(url, users) => Taken::Http(url.clone(), users.token()),
            Upstream::Command(words) => Taken::Command(words.clone()),
            Upstream::Pending(why) => Taken::Pending(why.clone()),
            Upstream::Broken(why) => Taken::Broken(why.clone()),
            Upstream::Gone => Taken::Gone,
        }
    }

    /// The one before that takes requests while this one takes none yet. There may be several before: each that
    /// never came up waits for its own.
    fn stand_in(&self) -> Option<(Arc<Function>, Taken)> {
        if !matches!(self.now(), Taken::Pending(_)) {
            return None;
        }
        let before = |function: &Function| function.before.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut earlier = before(self);
        while let Some(function) = earlier {
            match function.now() {
                taken @ (Taken::Http(..) | Taken::Command(_)) => return Some((function, taken)),
                _ => earlier = before(&function),
            }
        }
        None
    }

    /// Whether a request would be taken at once.
    pub(crate) fn is_available(&self) -> bool {
        matches!(self.now(), Taken::Http(..) | Taken::Command(_)) || self.stand_in().is_some()
    }

    /// The process that serves, if one does.
    pub(crate) fn process(&self) -> Option<u32> {
        Some(self.process.load(Ordering::Relaxed)).filter(|&process| process != 0)
    }

    pub(crate) fn set(&self, upstream: Upstream) {
        let takes = matches!(upstream, Upstream::Http(..) | Upstream::Command(_));
        self.upstream.send_replace(upstream);
        if takes {
            self.retire_before();
        }
    }

    /// The one before has no more to do.
    fn retire_before(&self) {
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(before) = before {
            before.retire();
        }
    }

    /// Takes no more requests; those that it has taken it finishes.
    fn retire(&self) {
        self.retire_before();
        self.upstream.send_replace(Upstream::Gone);
        self.gone.cancel();
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The one before and the next one know each other, and environments hold what is nobody's business.
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
        let bare = match name.rsplit_once('.') {
            Some((bare, NAMESPACE)) => bare,
            _ => name,
        };
        self.read().get(bare).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Function>> {
        self.read().values().cloned().collect()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.read().keys().cloned().collect()
    }

    /// Adds a function. The one of its name before goes on until this one takes requests.
    pub(crate) fn put(&self, function: &Arc<Function>) {
        let mut functions = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = functions.insert(function.spec.name.clone(), function.clone()) {
            let _ = before.next.set(function.clone());
        }
        drop(functions);
        if !matches!(&*function.upstream.borrow(), Upstream::Pending(_)) {
            function.retire_before();
        }
    }

    pub(crate) fn remove(&self, name: &str) {
        let removed = self.0.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        if let Some(removed) = removed {
            removed.retire();
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

/// What a function's processes see: a few variables of ours, what OpenFaaS gives, then what was said for it.
fn environment(spec: &FunctionSpec, around: &Surroundings) -> Vec<(String, String)> {
    let given = [
        ("host", "127.0.0.1"),
        ("gateway", &around.gateway),
        ("OPENFAAS_NAME", &spec.name),
        ("OPENFAAS_NAMESPACE", NAMESPACE),
        (SINGLE_PROCESS, "true"),
        ("secret_mount_path", &around.secrets.to_string_lossy()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let inherited = crate::environment::inherited().map(|(name, value)| (name.to_owned(), value));
    // The address of this gateway is known here better than in a file that is written for a cluster.
    let own = spec.environment.iter().filter(|(name, _)| !matches!(name.as_str(), "gateway" | "host" | "port"));
    let own = own.map(|(name, value)| (name.clone(), value.clone()));
    inherited.chain(given).chain(own).collect()
}
