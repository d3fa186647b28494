//! A store in memory, for tests. Its calls are lost when the process ends.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use faasflow_core::handler::BoxFuture;
use faasflow_http::now_ms;
use tokio::sync::Notify;

use crate::call::{Accepted, Call};
use crate::error::QueueError;
use crate::letter::Letter;
use crate::policy::options::QueueOptions;
use crate::policy::schedule::{Entry, Next, Schedule};
use crate::stats::{QueueStats, QueuedCall, Totals};
use crate::store::{Claim, Conclusion, Store};

/// A store in memory. Cloning is cheap and yields the same store.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: QueueOptions,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    schedule: Schedule,
    next_id: u64,
    /// The keys of accepted calls, as a set and in the order of acceptance.
    seen: HashMap<String, u64>,
    seen_order: VecDeque<(u64, String)>,
    letters: BTreeMap<u64, Letter>,
    /// In the order in which they died.
    died: VecDeque<u64>,
    totals: Totals,
    is_claimed: bool,
    closed: bool,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(options: QueueOptions) -> MemoryStore {
        let state = State {
            schedule: Schedule::new(usize::MAX),
            next_id: 1,
            seen: HashMap::new(),
            seen_order: VecDeque::new(),
            letters: BTreeMap::new(),
            died: VecDeque::new(),
            totals: Totals::default(),
            is_claimed: false,
            closed: false,
        };
        MemoryStore { shared: Arc::new(Shared { options, state: Mutex::new(state), changed: Notify::new() }) }
    }

    /// The waiting calls, in the order of acceptance, without those in flight.
    #[must_use]
    pub fn waiting(&self) -> Vec<Arc<Call>> {
        let state = self.state();
        let waiting = state.schedule.entries().filter(|entry| !state.schedule.is_in_flight(entry.id));
        waiting.filter_map(|entry| entry.call.clone()).collect()
    }

    /// Whether no call is waiting or in flight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state().schedule.entries().next().is_none()
    }

    /// Accepts calls from now on, but gives none out.
    pub fn hold(&self) {
        self.state().is_claimed = true;
    }

    /// Loses all calls that wait, as a broker does that keeps them in memory and ends. No call may be in flight.
    pub fn lose(&self) {
        self.state().schedule = Schedule::new(usize::MAX);
    }

    /// Gives calls out again, including those that were held back.
    pub fn release(&self) {
        self.state().is_claimed = false;
        self.shared.changed.notify_one();
    }

    /// Every operation leaves the state consistent, so a poisoned lock can be ignored.
    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<MutexGuard<'_, State>, QueueError> {
        let state = self.state();
        if state.closed { Err(QueueError::Closed) } else { Ok(state) }
    }
}

impl State {
    fn new_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    fn add(&mut self, call: Arc<Call>) {
        let id = self.new_id();
        self.schedule.add(Entry::new(id, call, 1, 0), now_ms());
    }

    fn forget_seen(&mut self, oldest: u64) {
        while self.seen_order.front().is_some_and(|&(accepted, _)| accepted < oldest) {
            if let Some((accepted, key)) = self.seen_order.pop_front() {
                // It may have been released and accepted again in the meantime.
                if self.seen.get(&key) == Some(&accepted) {
                    self.seen.remove(&key);
                }
            }
        }
    }

    fn forget_letters(&mut self, options: &QueueOptions) {
        let oldest = now_ms().saturating_sub(options.dead_letter_age_ms());
        while let Some(id) = self.died.front() {
            let young = self.letters.get(id).is_some_and(|letter| letter.died_ms >= oldest);
            if young && self.died.len() <= options.dead_letter_count {
                break;
            }
            if let Some(id) = self.died.pop_front() {
                self.letters.remove(&id);
                self.totals.letters_removed += 1;
            }
        }
    }

    fn accept(&mut self, call: Arc<Call>, window_ms: u64) -> Accepted {
        self.forget_seen(call.accepted_ms.saturating_sub(window_ms));
        let key = call.duplicate_key();
        if self.seen.contains_key(&key) {
            self.totals.duplicates += 1;
            return Accepted::Duplicate;
        }
        self.seen.insert(key.clone(), call.accepted_ms);
        self.seen_order.push_back((call.accepted_ms, key));
        self.totals.accepted += 1;
        self.add(call);
        Accepted::New
    }

    fn conclude(&mut self, claim: &Claim, conclusion: Conclusion, options: &QueueOptions) {
        let mut again = None;
        let mut added = None;
        let comes = |attempt, put_off, due_ms| {
            claim.call.clone().map(|call| Entry { put_off, ..Entry::new(claim.id, call, attempt, due_ms) })
        };
        match conclusion {
            Conclusion::Delivered { callback } => {
                self.totals.delivered += 1;
                added = callback;
            }
            Conclusion::Again { due_ms, counts } => {
                self.totals.retried += 1;
                let (attempt, put_off) =
                    if counts { (claim.attempt + 1, 0) } else { (claim.attempt, claim.put_off.saturating_add(1)) };
                again = comes(attempt, put_off, due_ms);
            }
            Conclusion::Untried { due_ms } => again = comes(claim.attempt, claim.put_off, due_ms),
            Conclusion::Dead { letter, callback } => {
                self.totals.dead += 1;
                if !letter.call.is_callback() {
                    self.seen.remove(&letter.call.duplicate_key());
                }
                self.letters.insert(claim.id, *letter);
                self.died.push_back(claim.id);
                self.forget_letters(options);
                added = callback;
            }
            Conclusion::Gone => {}
        }
        self.schedule.finish(claim.id, &claim.lane, again, now_ms());
        if let Some(callback) = added {
            self.add(callback);
        }
    }

    fn stats(&self) -> QueueStats {
        let mut functions = BTreeMap::new();
        let mut oldest = None;
        for entry in self.schedule.entries() {
            *functions.entry(entry.function.to_string()).or_default() += 1;
            let accepted = entry.call.as_ref().map_or(u64::MAX, |call| call.accepted_ms);
            oldest = Some(oldest.map_or(accepted, |oldest: u64| oldest.min(accepted)));
        }
        let age = oldest.map_or(0, |oldest| now_ms().saturating_sub(oldest));
        QueueStats {
            depth: self.schedule.entries().count(),
            functions,
            in_flight: self.schedule.in_flight(),
            oldest_seconds: Duration::from_millis(age).as_secs_f64(),
            dead_letters: self.died.len(),
            unreadable: 0,
            totals: self.totals,
        }
    }
}

impl Store for MemoryStore {
    fn accept(&self, call: Arc<Call>) -> BoxFuture<'_, Result<Accepted, QueueError>> {
        Box::pin(async move {
            let accepted = self.open()?.accept(call, self.shared.options.duplicate_window_ms());
            self.shared.changed.notify_one();
            Ok(accepted)
        })
    }

    fn claim<'a>(
        &'a self,
        most: &'a (dyn Fn(&str) -> usize + Send + Sync),
    ) -> BoxFuture<'a, Result<Claim, QueueError>> {
        Box::pin(async move {
            loop {
                let changed = self.shared.changed.notified();
                let next = {
                    let mut state = self.open()?;
                    if state.is_claimed { Next::Wait(None) } else { state.schedule.next(now_ms(), most) }
                };
                match next {
                    Next::Deliver(entry) => return Ok((*entry).into()),
                    Next::Wait(due_ms) => wait(changed, due_ms).await,
                }
            }
        })
    }

    fn fetch<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<Option<Arc<Call>>, QueueError>> {
        Box::pin(std::future::ready(Ok(claim.call.clone())))
    }

    fn conclude(&self, claim: Claim, conclusion: Conclusion) -> BoxFuture<'_, Result<(), QueueError>> {
        Box::pin(async move {
            self.state().conclude(&claim, conclusion, &self.shared.options);
            self.shared.changed.notify_one();
            Ok(())
        })
    }

    fn stats(&self) -> BoxFuture<'_, Result<QueueStats, QueueError>> {
        Box::pin(async move { Ok(self.state().stats()) })
    }

    fn list(&self, limit: usize) -> BoxFuture<'_, Result<Vec<QueuedCall>, QueueError>> {
        Box::pin(async move {
            let state = self.state();
            let shown = state.schedule.entries().take(limit).filter_map(|entry| {
                let call = entry.call.as_ref()?;
                Some(QueuedCall::new(
                    entry.id,
                    call,
                    entry.attempt,
                    entry.due_ms,
                    state.schedule.is_in_flight(entry.id),
                ))
            });
            Ok(shown.collect())
        })
    }

    fn letters(&self) -> BoxFuture<'_, Result<Vec<u64>, QueueError>> {
        Box::pin(async move { Ok(self.state().died.iter().copied().collect()) })
    }

    fn letter(&self, id: u64) -> BoxFuture<'_, Result<Option<Letter>, QueueError>> {
        Box::pin(async move { Ok(self.state().letters.get(&id).cloned()) })
    }

    fn revive(&self, id: u64, due_ms: u64) -> BoxFuture<'_, Result<bool, QueueError>> {
        Box::pin(async move {
            let mut state = self.open()?;
            let Some(letter) = state.letters.remove(&id) else { return Ok(false) };
            state.died.retain(|&died| died != id);
            state.schedule.add(Entry::new(id, Arc::new(letter.call), 1, due_ms), now_ms());
            drop(state);
            self.shared.changed.notify_one();
            Ok(true)
        })
    }

    fn discard(&self, ids: Vec<u64>) -> BoxFuture<'_, Result<u64, QueueError>> {
        Box::pin(async move {
            let mut state = self.open()?;
            let discarded = ids.iter().filter(|id| state.letters.remove(id).is_some()).count();
            state.died.retain(|died| !ids.contains(died));
            Ok(discarded as u64)
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.state().closed = true;
            self.shared.changed.notify_waiters();
            // Also wakes a task that has just looked and is about to wait.
            self.shared.changed.notify_one();
        })
    }
}

/// Waits for a change or until the given time.
pub(crate) async fn wait(changed: impl Future<Output = ()>, due_ms: Option<u64>) {
    let due = async {
        match due_ms {
            Some(due_ms) => tokio::time::sleep(Duration::from_millis(due_ms.saturating_sub(now_ms()))).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = changed => {}
        () = due => {}
    }
}
