//! All functions of the gateway, by name.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::function::Function;
use crate::namespace::bare_name;
use crate::stack::Kind;

/// All functions, by name. The lock is never held while the gateway waits for something.
#[derive(Clone, Debug, Default)]
pub(crate) struct Functions(Arc<RwLock<BTreeMap<String, Arc<Function>>>>);

impl Functions {
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Arc<Function>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds a function by its name, with or without the namespace.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Function>> {
        self.read().get(bare_name(name)).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Function>> {
        self.read().values().cloned().collect()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.read().keys().cloned().collect()
    }

    /// Adds a function. Its predecessor goes on until this one takes requests. If the predecessor takes none, its own
    /// predecessor goes on instead.
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

    /// The functions that cargo builds, with their folders.
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

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, poll};

    use std::time::Duration;

    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    use faasflow_admin::Deployment;

    use super::*;
    use crate::functions::container::Containers;
    use crate::functions::deployment::{Runs, spec};
    use crate::functions::logs::Journal;
    use crate::functions::{FunctionContext, Route, Servers, Unavailable, Upstream};

    fn context() -> FunctionContext {
        let events = tokio::sync::mpsc::unbounded_channel().0;
        FunctionContext {
            gateway: String::new(),
            store: "http://127.0.0.1:8080".to_owned(),
            tokens: crate::tokens::Tokens::from(&[0; 32]),
            secrets: PathBuf::new(),
            memory: 1 << 30,
            containers: Containers::none(),
            events: events.clone(),
            journal: Journal::new(events),
            stop: CancellationToken::new(),
        }
    }

    /// Adds a function with a program that is never started.
    fn put(functions: &Functions, context: &FunctionContext) -> Arc<Function> {
        let variables = [("mode".to_owned(), "http".to_owned())].into();
        let deployment = Deployment {
            service: "f".to_owned(),
            env_process: Some("sleep 1000".to_owned()),
            env_vars: Some(variables),
            ..Deployment::default()
        };
        let spec = spec(&deployment, &PathBuf::new(), Runs::Here).unwrap();
        let function = Function::deployed(spec, deployment, 0, context, functions.find("f").as_deref());
        functions.put(&function);
        function
    }

    fn serves() -> Upstream {
        Upstream::Http(Servers::one(http::Uri::from_static("http://127.0.0.1:1/"), TaskTracker::new()))
    }

    fn pending() -> Upstream {
        Upstream::Pending(Unavailable::Starting)
    }

    #[tokio::test]
    async fn a_function_goes_on_while_its_successors_never_start() {
        let (functions, context) = (Functions::default(), context());
        let good = put(&functions, &context);
        good.set(serves());
        let mut bad: Vec<_> = (0..3).map(|_| put(&functions, &context)).collect();
        let last = bad.pop().unwrap();
        assert!(bad.iter().all(|function| function.gone.is_cancelled()));
        assert!(!good.gone.is_cancelled() && !last.gone.is_cancelled() && last.is_available());
        // It was replaced already, so this comes too late.
        bad[1].set(serves());
        assert!(!good.gone.is_cancelled());
        assert!(Arc::ptr_eq(&bad[1].route(Duration::ZERO).await.0, &good));

        // If none takes requests, the youngest goes on.
        good.set(pending());
        let next = put(&functions, &context);
        assert!(good.gone.is_cancelled() && !last.gone.is_cancelled() && !next.is_available());
        last.set(serves());
        assert!(next.is_available() && !last.gone.is_cancelled());
        next.set(serves());
        assert!(last.gone.is_cancelled());
        functions.remove("f");
        assert!(next.gone.is_cancelled());
        assert!(matches!(good.route(Duration::ZERO).await.1, Route::Gone));
    }

    #[tokio::test]
    async fn a_request_goes_to_whichever_function_starts_first() {
        let (functions, context) = (Functions::default(), context());
        let first = put(&functions, &context);
        let long = Duration::from_secs(3600);
        let found_first = first.clone();
        let mut early = Box::pin(found_first.route(long));
        assert!(poll!(&mut early).is_pending());
        let second = put(&functions, &context);
        let mut late = Box::pin(second.route(long));
        assert!(poll!(&mut early).is_pending() && poll!(&mut late).is_pending());
        first.set(serves());
        assert!(Arc::ptr_eq(&early.now_or_never().unwrap().0, &first));
        assert!(Arc::ptr_eq(&late.now_or_never().unwrap().0, &first));

        // A function that takes requests ends, and is started again.
        first.set(pending());
        let mut waiting = Box::pin(second.route(long));
        assert!(poll!(&mut waiting).is_pending());
        first.set(serves());
        assert!(Arc::ptr_eq(&waiting.now_or_never().unwrap().0, &first));

        first.set(pending());
        let mut waiting = Box::pin(first.route(long));
        assert!(poll!(&mut waiting).is_pending());
        second.set(serves());
        assert!(Arc::ptr_eq(&waiting.now_or_never().unwrap().0, &second));

        second.set(pending());
        let mut waiting = Box::pin(second.route(long));
        assert!(poll!(&mut waiting).is_pending());
        functions.remove("f");
        assert!(matches!(waiting.now_or_never().unwrap().1, Route::Gone));
    }

    #[tokio::test]
    async fn many_replacements_leave_nothing_behind() {
        let (functions, context) = (Functions::default(), context());
        let good = put(&functions, &context);
        good.set(serves());
        let second = Arc::downgrade(&put(&functions, &context));
        for _ in 0..100_000 {
            put(&functions, &context);
        }
        assert!(second.upgrade().is_none());
        functions.remove("f");
        assert!(good.gone.is_cancelled());
    }
}
