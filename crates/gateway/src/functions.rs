//! The functions of a stack, each at hand under its name.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use faasflow_runtime::config::SINGLE_PROCESS;
use http::Uri;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::event::Events;
use crate::functions::logs::Logs;
use crate::stack::{FunctionSpec, Kind, Stack};

pub(crate) mod build;
pub(crate) mod command;
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
}

/// Where one request goes.
pub(crate) enum Taken {
    Pending(String),
    Http(Uri, TaskTrackerToken),
    Command(Vec<String>),
    Broken(String),
}

/// A function of the stack.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) spec: FunctionSpec,
    pub(crate) upstream: watch::Sender<Upstream>,
    pub(crate) logs: Logs,
    /// The environment that its processes get.
    pub(crate) environment: Vec<(String, String)>,
}

impl Function {
    /// Where it takes requests, waiting for that a while if it is being started.
    pub(crate) async fn upstream(&self, patience: Duration) -> Taken {
        let settled = |upstream: &Upstream| !matches!(upstream, Upstream::Pending(_));
        let mut watching = self.upstream.subscribe();
        let _ = tokio::time::timeout(patience, watching.wait_for(settled)).await;
        // The token is taken while the value is held: whoever replaces it afterwards counts this request.
        match &*self.upstream.borrow() {
            Upstream::Http(url, users) => Taken::Http(url.clone(), users.token()),
            Upstream::Command(words) => Taken::Command(words.clone()),
            Upstream::Pending(why) => Taken::Pending(why.clone()),
            Upstream::Broken(why) => Taken::Broken(why.clone()),
        }
    }

    pub(crate) fn set(&self, upstream: Upstream) {
        self.upstream.send_replace(upstream);
    }
}

/// All functions, by name.
#[derive(Clone, Debug)]
pub(crate) struct Functions(Arc<BTreeMap<String, Arc<Function>>>);

impl Functions {
    pub(crate) fn of(stack: &Stack, gateway: &str, secrets: &std::path::Path, events: &Events) -> Functions {
        let functions = stack.functions.values().map(|spec| {
            let upstream = match &spec.kind {
                Kind::Cargo(_) => Upstream::Pending("it is being built".to_owned()),
                Kind::Command(words) => Upstream::Command(words.clone()),
                Kind::Url(url) => Upstream::Http(url.clone(), TaskTracker::new()),
            };
            let function = Function {
                spec: spec.clone(),
                upstream: watch::Sender::new(upstream),
                logs: Logs::new(spec.name.clone(), events.clone()),
                environment: environment(spec, gateway, secrets),
            };
            (spec.name.clone(), Arc::new(function))
        });
        Functions(Arc::new(functions.collect()))
    }

    /// The function of this name, with or without its namespace.
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Function>> {
        let bare = match name.rsplit_once('.') {
            Some((bare, NAMESPACE)) => bare,
            _ => name,
        };
        self.0.get(bare)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Function>> {
        self.0.values()
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// Those that cargo builds, with their folders.
    pub(crate) fn cargo_projects(&self) -> Vec<(Arc<Function>, PathBuf)> {
        let project = |function: &Arc<Function>| match &function.spec.kind {
            Kind::Cargo(folder) => Some((function.clone(), folder.clone())),
            _ => None,
        };
        self.iter().filter_map(project).collect()
    }
}

/// What a function's processes see: a few variables of ours, what OpenFaaS gives, then what the stack says.
fn environment(spec: &FunctionSpec, gateway: &str, secrets: &std::path::Path) -> Vec<(String, String)> {
    let given = [
        ("host", "127.0.0.1"),
        ("gateway", gateway),
        ("OPENFAAS_NAME", &spec.name),
        ("OPENFAAS_NAMESPACE", NAMESPACE),
        (SINGLE_PROCESS, "true"),
        ("secret_mount_path", &secrets.to_string_lossy()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let inherited = crate::environment::inherited().map(|(name, value)| (name.to_owned(), value));
    // The address of this gateway is known here better than in a file that is written for a cluster.
    let own = spec.environment.iter().filter(|(name, _)| !matches!(name.as_str(), "gateway" | "host" | "port"));
    let own = own.map(|(name, value)| (name.clone(), value.clone()));
    inherited.chain(given).chain(own).collect()
}
