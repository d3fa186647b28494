//! Callers that wait for requests to end.
//!
//! A request that ends in this process wakes its callers at once. For those that end elsewhere, one task listens to the store, however
//! many callers wait, and asks it about all of their requests together: rarely while the store tells which requests have ended, because
//! it may lose a message, and often otherwise.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use faasflow_core::machine::forked::over_key;
use faasflow_core::state::{Scope, StateManager};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::listening::{Heard, Listener};

/// How many callers may wait at once.
const MOST: usize = 10_000;
/// The time between two questions about all requests: at first, and after a while.
const FIRST: Duration = Duration::from_millis(100);
const LAST: Duration = Duration::from_secs(1);
/// The same while the store tells which requests have ended.
const FIRST_WATCHING: Duration = Duration::from_secs(1);
const LAST_WATCHING: Duration = Duration::from_secs(5);
/// How often, and for how long, it is asked again after it has told of a request that it does not show as ended yet.
const SOON: Duration = Duration::from_millis(200);
const SOON_FOR: Duration = Duration::from_secs(1);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many requests are asked about at once.
const AT_ONCE: usize = 500;

/// A request in one of its generations.
type Awaited = (Scope, u32);

/// The callers that wait. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Waiting {
    awaited: Arc<Mutex<Awaiting>>,
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
}

#[derive(Default)]
struct Awaiting {
    requests: HashMap<Awaited, watch::Sender<bool>>,
    /// Whether the task that asks the store is running.
    asks: bool,
    /// When somebody began to wait most recently.
    newest: Option<Instant>,
}

/// One caller that waits. Others are told when it is dropped.
pub(crate) struct Wait {
    ended: watch::Receiver<bool>,
    waiting: Waiting,
    awaited: Awaited,
    _permit: OwnedSemaphorePermit,
}

impl Waiting {
    /// The task that asks the store is one of these.
    pub(crate) fn new(tasks: TaskTracker) -> Waiting {
        Waiting { awaited: Arc::default(), permits: Arc::new(Semaphore::new(MOST)), tasks }
    }

    fn lock(&self) -> MutexGuard<'_, Awaiting> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to wait for the end of a request; `None` if too many callers wait. The caller must look whether the request has
    /// ended already after this, and not before.
    pub(crate) fn begin(&self, manager: &Arc<dyn StateManager>, scope: Scope, generation: u32) -> Option<Wait> {
        let permit = self.permits.clone().try_acquire_owned().ok()?;
        let flow = scope.flow.clone();
        let awaited = (scope, generation);
        let mut all = self.lock();
        let ended = all.requests.entry(awaited.clone()).or_insert_with(|| watch::channel(false).0).subscribe();
        all.newest = Some(Instant::now());
        if !all.asks {
            all.asks = true;
            self.tasks.spawn(self.clone().ask(manager.clone(), flow));
        }
        drop(all);
        Some(Wait { ended, waiting: self.clone(), awaited, _permit: permit })
    }

    /// Wakes those who wait for this request.
    pub(crate) fn ended(&self, scope: &Scope, generation: u32) {
        if let Some(ended) = self.lock().requests.get(&(scope.clone(), generation)) {
            ended.send_replace(true);
        }
    }

    /// Listens to the store and asks it, for as long as somebody waits.
    async fn ask(self, manager: Arc<dyn StateManager>, flow: String) {
        let mut listener = Listener::new(manager.clone(), flow);
        let mut soon_until = Instant::now();
        while let Some(waited) = self.waited() {
            self.look(&manager, |_| true).await;
            let (first, last) = if listener.hears() { (FIRST_WATCHING, LAST_WATCHING) } else { (FIRST, LAST) };
            let pause = if Instant::now() < soon_until { SOON } else { (waited / 4).clamp(first, last) };
            let mut until = Instant::now() + pause;
            while Instant::now() < until
                && let Heard::Requests(ended) = listener.listen(until).await
            {
                if !self.look(&manager, |request| ended.contains(request)).await {
                    let now = Instant::now();
                    (until, soon_until) = (until.min(now + SOON), now + SOON_FOR);
                }
            }
            // Not before the first pause: for callers that are answered at once, it would not be worth a connection.
            listener.open().await;
        }
    }

    /// For how long the newest caller has waited. If nobody waits, the task that asks the store must end.
    fn waited(&self) -> Option<Duration> {
        let mut all = self.lock();
        all.asks = !all.requests.is_empty();
        all.asks.then(|| all.newest.map(|newest| newest.elapsed()).unwrap_or_default())
    }

    /// Asks the store about those of the requests that somebody waits for. Returns whether all of them have ended.
    async fn look(&self, manager: &Arc<dyn StateManager>, wanted: impl Fn(&str) -> bool) -> bool {
        let mut by_generation: HashMap<u32, Vec<Scope>> = HashMap::new();
        for ((scope, generation), ended) in &self.lock().requests {
            if wanted(&scope.request) && !*ended.borrow() {
                by_generation.entry(*generation).or_default().push(scope.clone());
            }
        }
        let mut all_ended = true;
        for (generation, scopes) in by_generation {
            let key = over_key(generation);
            for scopes in scopes.chunks(AT_ONCE) {
                // A store that does not answer is asked again.
                let found = tokio::time::timeout(PATIENCE, manager.get_across(scopes, key.as_str())).await;
                let found = found.ok().and_then(Result::ok).unwrap_or_default();
                all_ended &= found.len() == scopes.len() && found.iter().all(Option::is_some);
                for (scope, _) in scopes.iter().zip(found).filter(|(_, over)| over.is_some()) {
                    self.ended(scope, generation);
                }
            }
        }
        all_ended
    }

    /// The number of requests that somebody waits for.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.lock().requests.len()
    }
}

impl Wait {
    /// Waits until the request has ended, but not longer than this. Returns whether it is known to have ended.
    pub(crate) async fn until(&mut self, until: Instant) -> bool {
        tokio::time::timeout_at(until, self.ended.wait_for(|ended| *ended)).await.is_ok_and(|waited| waited.is_ok())
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut all = self.waiting.lock();
        // This receiver still counts.
        if all.requests.get(&self.awaited).is_some_and(|ended| ended.receiver_count() <= 1) {
            all.requests.remove(&self.awaited);
        }
    }
}

#[cfg(test)]
mod tests;
