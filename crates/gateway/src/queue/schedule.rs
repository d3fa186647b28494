//! What is to be delivered next, in memory: the file is read at start and then only written.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

use crate::queue::QueueOptions;
use crate::queue::admin::Totals;
use crate::queue::record::{Call, now_ms};
use crate::queue::store::{Change, Held, HeldCall};

/// A call on its way.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    /// The attempt that comes next, from 1.
    pub(crate) attempt: u32,
    /// How many times in a row it was put off, which is no attempt. Forgotten at a restart.
    pub(crate) put_off: u32,
    pub(crate) call_id: String,
    pub(crate) function: String,
    pub(crate) callback: bool,
    pub(crate) accepted_ms: u64,
    pub(crate) due_ms: u64,
    pub(crate) bytes: usize,
    lane: String,
    /// The call itself, where there was room to keep it.
    pub(crate) call: Option<Arc<Call>>,
}

impl Entry {
    fn new(id: u64, call: Arc<Call>, attempt: u32, due_ms: u64) -> Entry {
        Entry {
            id,
            attempt,
            put_off: 0,
            call_id: call.call_id.clone(),
            function: call.function().to_owned(),
            callback: call.is_callback(),
            accepted_ms: call.accepted_ms,
            due_ms,
            bytes: call.body.len(),
            lane: call.lane(),
            call: Some(call),
        }
    }
}

/// When a call is delivered again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Again {
    pub(crate) attempt: u32,
    pub(crate) put_off: u32,
    pub(crate) due_ms: u64,
}

/// What the next worker is to do.
pub(crate) enum Next {
    Deliver(Box<Entry>),
    /// Nothing until then, or until something is added.
    Wait(Option<Instant>),
}

/// What to do with a call that asks to be accepted.
pub(crate) enum Admission {
    New {
        id: u64,
        changes: Vec<Change>,
    },
    Duplicate,
    /// One of the same id is being written.
    Wait,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Writing,
    At(u64),
}

/// The state of a queue that is shared between those who accept, deliver and look.
pub(crate) struct Shared {
    pub(crate) options: QueueOptions,
    schedule: Mutex<Schedule>,
    pub(crate) changed: Notify,
    /// Held by who moves or removes dead letters: two who moved the same would deliver it twice.
    pub(crate) letters: tokio::sync::Mutex<()>,
}

pub(crate) struct Schedule {
    next_id: u64,
    lanes: HashMap<String, Lane>,
    /// The lanes with something ready, in the order of their turns.
    turns: VecDeque<String>,
    /// Calls that wait for their time, by it.
    delayed: BinaryHeap<Reverse<(Instant, u64)>>,
    /// All calls in the queue, by id.
    pub(crate) entries: BTreeMap<u64, Entry>,
    pub(crate) in_flight: HashSet<u64>,
    kept_bytes: usize,
    /// How many bytes of bodies are kept in memory, at most.
    kept_bodies: usize,
    seen: HashMap<String, Seen>,
    seen_order: VecDeque<(u64, String)>,
    pub(crate) dead: VecDeque<(u64, u64)>,
    pub(crate) unreadable: Vec<(u64, String)>,
    pub(crate) totals: Totals,
}

#[derive(Default)]
struct Lane {
    ready: VecDeque<u64>,
    in_flight: usize,
}

impl Shared {
    /// `schedule` has the calls of the file already; `held` is what else is in it.
    pub(crate) fn new(options: QueueOptions, mut schedule: Schedule, held: Held) -> Shared {
        schedule.next_id = held.next_id.max(1);
        schedule.dead = held.dead.into();
        schedule.unreadable = held.unreadable;
        for (call_id, accepted) in held.seen {
            schedule.seen.insert(call_id.clone(), Seen::At(accepted));
            schedule.seen_order.push_back((accepted, call_id));
        }
        Shared {
            options,
            schedule: Mutex::new(schedule),
            changed: Notify::new(),
            letters: tokio::sync::Mutex::default(),
        }
    }

    /// Each operation leaves the schedule whole, so a panic elsewhere while it was held changes nothing.
    pub(crate) fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self, count: impl FnOnce(&mut Totals)) {
        count(&mut self.schedule().totals);
    }

    pub(crate) fn admit(&self, call: &Call) -> Admission {
        let mut schedule = self.schedule();
        let window = u64::try_from(self.options.duplicate_window.as_millis()).unwrap_or(u64::MAX);
        let mut changes = schedule.forget_seen(call.accepted_ms.saturating_sub(window));
        match schedule.seen.get(&call.duplicate_key()) {
            Some(Seen::At(_)) => return Admission::Duplicate,
            Some(Seen::Writing) => return Admission::Wait,
            None => schedule.seen.insert(call.duplicate_key(), Seen::Writing),
        };
        let id = schedule.new_id();
        drop(schedule);
        changes.push(Change::PutCall(id, call.encode()));
        changes.push(Change::PutSeen(call.duplicate_key(), call.accepted_ms));
        Admission::New { id, changes }
    }

    /// Ends what [`admit`](Shared::admit) began.
    pub(crate) fn settle(&self, id: u64, call: Arc<Call>, written: bool) {
        let mut schedule = self.schedule();
        if written {
            schedule.seen.insert(call.duplicate_key(), Seen::At(call.accepted_ms));
            schedule.seen_order.push_back((call.accepted_ms, call.duplicate_key()));
            schedule.totals.accepted += 1;
            schedule.add(Entry::new(id, call, 1, 0));
            drop(schedule);
            self.changed.notify_one();
        } else {
            schedule.seen.remove(&call.duplicate_key());
        }
    }

    /// Adds calls that are on disk already.
    pub(crate) fn add(&self, calls: impl IntoIterator<Item = (u64, Arc<Call>, u64)>) {
        let mut schedule = self.schedule();
        for (id, call, due_ms) in calls {
            schedule.add(Entry::new(id, call, 1, due_ms));
        }
        drop(schedule);
        self.changed.notify_one();
    }

    /// `at_once` tells how many calls of a lane may be delivered at once.
    pub(crate) fn next(&self, at_once: &dyn Fn(&str) -> usize) -> Next {
        let most = (self.options.workers / 2).max(1);
        self.schedule().next(&|lane| at_once(lane).clamp(1, most))
    }

    /// Takes a call out whose delivery is over, or puts it back.
    pub(crate) fn finish(&self, entry: &Entry, again: Option<Again>) {
        let mut schedule = self.schedule();
        schedule.in_flight.remove(&entry.id);
        if let Some(mut removed) = schedule.entries.remove(&entry.id) {
            schedule.release(&removed);
            if let Some(Again { attempt, put_off, due_ms }) = again {
                (removed.attempt, removed.put_off, removed.due_ms) = (attempt, put_off, due_ms);
                removed.call = removed.call.or_else(|| entry.call.clone());
                schedule.add(removed);
            }
        }
        schedule.leave(&entry.lane);
        drop(schedule);
        self.changed.notify_one();
    }
}

impl Schedule {
    /// An empty one that keeps so many bytes of bodies in memory.
    pub(crate) fn new(kept_bodies: usize) -> Schedule {
        Schedule {
            next_id: 0,
            lanes: HashMap::new(),
            turns: VecDeque::new(),
            delayed: BinaryHeap::new(),
            entries: BTreeMap::new(),
            in_flight: HashSet::new(),
            kept_bytes: 0,
            kept_bodies,
            seen: HashMap::new(),
            seen_order: VecDeque::new(),
            dead: VecDeque::new(),
            unreadable: Vec::new(),
            totals: Totals::default(),
        }
    }

    /// Takes up a call that lay in the file.
    pub(crate) fn take_up(&mut self, held: HeldCall) {
        self.add(Entry::new(held.id, Arc::new(held.call), held.attempts.saturating_add(1), held.due_ms));
    }

    pub(crate) fn new_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// Forgets the ids of calls accepted before `oldest`.
    fn forget_seen(&mut self, oldest: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        while self.seen_order.front().is_some_and(|&(accepted, _)| accepted < oldest) {
            if let Some((accepted, call_id)) = self.seen_order.pop_front() {
                // It may have been released and accepted anew meanwhile.
                if self.seen.get(&call_id) == Some(&Seen::At(accepted)) {
                    self.seen.remove(&call_id);
                    changes.push(Change::RemoveSeen(call_id));
                }
            }
        }
        changes
    }

    /// A call that was given up may be sent again under its id.
    pub(crate) fn release_id(&mut self, call_id: &str) -> Change {
        self.seen.remove(call_id);
        Change::RemoveSeen(call_id.to_owned())
    }

    fn add(&mut self, mut entry: Entry) {
        if entry.call.is_some() && self.kept_bytes + entry.bytes > self.kept_bodies {
            entry.call = None;
        }
        if entry.call.is_some() {
            self.kept_bytes += entry.bytes;
        }
        let wait = entry.due_ms.saturating_sub(now_ms());
        if wait == 0 {
            self.ready(&entry.lane, entry.id);
        } else {
            self.delayed.push(Reverse((Instant::now() + Duration::from_millis(wait), entry.id)));
        }
        self.entries.insert(entry.id, entry);
    }

    fn release(&mut self, entry: &Entry) {
        if entry.call.is_some() {
            self.kept_bytes -= entry.bytes;
        }
    }

    fn ready(&mut self, lane: &str, id: u64) {
        let known = self.lanes.entry(lane.to_owned()).or_default();
        if known.ready.is_empty() {
            self.turns.push_back(lane.to_owned());
        }
        known.ready.push_back(id);
    }

    fn leave(&mut self, lane: &str) {
        if let Some(known) = self.lanes.get_mut(lane) {
            known.in_flight = known.in_flight.saturating_sub(1);
            if known.in_flight == 0 && known.ready.is_empty() {
                self.lanes.remove(lane);
            }
        }
    }

    fn next(&mut self, most: &dyn Fn(&str) -> usize) -> Next {
        let now = Instant::now();
        while let Some(&Reverse((due, id))) = self.delayed.peek() {
            if due > now {
                break;
            }
            self.delayed.pop();
            if let Some(lane) = self.entries.get(&id).map(|entry| entry.lane.clone()) {
                self.ready(&lane, id);
            }
        }
        for _ in 0..self.turns.len() {
            let Some(name) = self.turns.pop_front() else { break };
            let Some(lane) = self.lanes.get_mut(&name) else { continue };
            if lane.in_flight >= most(&name) {
                self.turns.push_back(name);
                continue;
            }
            let Some(id) = lane.ready.pop_front() else { continue };
            lane.in_flight += 1;
            if !lane.ready.is_empty() {
                self.turns.push_back(name.clone());
            }
            match self.entries.get(&id) {
                Some(entry) => {
                    self.in_flight.insert(id);
                    return Next::Deliver(Box::new(entry.clone()));
                }
                None => self.leave(&name),
            }
        }
        Next::Wait(self.delayed.peek().map(|&Reverse((due, _))| due))
    }
}
