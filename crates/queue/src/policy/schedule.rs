//! Chooses the next call. Lanes take turns, and each has a limit of deliveries under way. A store adds the calls that it has in
//! memory, which may be all of them or the next few of each lane.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use crate::call::Call;

/// A call that is in memory.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    /// The number of the next attempt, from 1.
    pub(crate) attempt: u32,
    /// How many times in a row it was put off, which does not count as an attempt. A restart resets it.
    pub(crate) put_off: u32,
    /// When the next attempt is due, in milliseconds since the Unix epoch; 0 for at once.
    pub(crate) due_ms: u64,
    pub(crate) bytes: usize,
    pub(crate) lane: Arc<str>,
    pub(crate) function: Arc<str>,
    /// The call itself, if there was room to keep it in memory.
    pub(crate) call: Option<Arc<Call>>,
}

impl Entry {
    pub(crate) fn new(id: u64, call: Arc<Call>, attempt: u32, due_ms: u64) -> Entry {
        let lane: Arc<str> = call.lane().into();
        let function = if *lane == *call.function() { lane.clone() } else { call.function().into() };
        Entry { id, attempt, put_off: 0, due_ms, bytes: call.body.len(), lane, function, call: Some(call) }
    }
}

/// What the next worker should do.
#[derive(Debug)]
pub(crate) enum Next {
    Deliver(Box<Entry>),
    /// Wait until this time, in milliseconds since the Unix epoch, or until a call is added.
    Wait(Option<u64>),
}

#[derive(Debug, Default)]
struct Lane {
    ready: VecDeque<u64>,
    in_flight: usize,
}

#[derive(Debug)]
pub(crate) struct Schedule {
    lanes: HashMap<Arc<str>, Lane>,
    /// The lanes with something ready, in the order of their turns.
    turns: VecDeque<Arc<str>>,
    /// Calls that wait for their time, by that time.
    delayed: BTreeSet<(u64, u64)>,
    /// The calls in memory by id: ready, delayed, or in flight.
    entries: BTreeMap<u64, Entry>,
    in_flight: HashSet<u64>,
    kept_bytes: usize,
    /// How many bytes of bodies are kept in memory, at most.
    kept_bodies: usize,
}

impl Schedule {
    /// An empty schedule that keeps up to this many bytes of bodies in memory.
    pub(crate) fn new(kept_bodies: usize) -> Schedule {
        Schedule {
            lanes: HashMap::new(),
            turns: VecDeque::new(),
            delayed: BTreeSet::new(),
            entries: BTreeMap::new(),
            in_flight: HashSet::new(),
            kept_bytes: 0,
            kept_bodies,
        }
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    pub(crate) fn is_in_flight(&self, id: u64) -> bool {
        self.in_flight.contains(&id)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Adds a call at the end of its lane, or for later if it is not due.
    pub(crate) fn add(&mut self, mut entry: Entry, now_ms: u64) {
        if entry.call.is_some() {
            if self.kept_bytes + entry.bytes > self.kept_bodies {
                entry.call = None;
            } else {
                self.kept_bytes += entry.bytes;
            }
        }
        if entry.due_ms <= now_ms {
            self.ready(entry.lane.clone(), entry.id);
        } else {
            self.delayed.insert((entry.due_ms, entry.id));
        }
        self.entries.insert(entry.id, entry);
    }

    /// Ends a delivery. `again` is the call with its next time, if it stays in memory.
    pub(crate) fn finish(&mut self, id: u64, lane: &str, again: Option<Entry>, now_ms: u64) {
        if self.in_flight.remove(&id) {
            self.forget(id);
            if let Some(known) = self.lanes.get_mut(lane) {
                known.in_flight = known.in_flight.saturating_sub(1);
            }
        }
        if let Some(again) = again {
            self.add(again, now_ms);
        }
        if self.lanes.get(lane).is_some_and(|lane| lane.in_flight == 0 && lane.ready.is_empty()) {
            self.lanes.remove(lane);
        }
    }

    fn forget(&mut self, id: u64) {
        if let Some(entry) = self.entries.remove(&id)
            && entry.call.is_some()
        {
            self.kept_bytes -= entry.bytes;
        }
    }

    fn ready(&mut self, lane: Arc<str>, id: u64) {
        let known = self.lanes.entry(lane.clone()).or_default();
        if known.ready.is_empty() {
            self.turns.push_back(lane);
        }
        known.ready.push_back(id);
    }

    /// The next call to deliver. `most` returns how many calls of a lane may be delivered at once.
    pub(crate) fn next(&mut self, now_ms: u64, most: &dyn Fn(&str) -> usize) -> Next {
        while let Some(&(due, id)) = self.delayed.first() {
            if due > now_ms {
                break;
            }
            self.delayed.pop_first();
            if let Some(lane) = self.entries.get(&id).map(|entry| entry.lane.clone()) {
                self.ready(lane, id);
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
            if !lane.ready.is_empty() {
                self.turns.push_back(name);
            }
            if let Some(entry) = self.entries.get(&id) {
                lane.in_flight += 1;
                self.in_flight.insert(id);
                return Next::Deliver(Box::new(entry.clone()));
            }
        }
        Next::Wait(self.delayed.first().map(|&(due, _)| due))
    }
}

/// For stores that have only a part of their calls in memory.
#[cfg(feature = "redb")]
impl Schedule {
    pub(crate) fn entry(&self, id: u64) -> Option<&Entry> {
        self.entries.get(&id)
    }

    pub(crate) fn contains(&self, id: u64) -> bool {
        self.entries.contains_key(&id)
    }

    /// How many calls of a lane are ready.
    pub(crate) fn ready_in(&self, lane: &str) -> usize {
        self.lanes.get(lane).map_or(0, |lane| lane.ready.len())
    }

    /// Forgets a call that is delayed until this time, by its number; `false` if there is none.
    pub(crate) fn drop_delayed(&mut self, key: (u64, u64)) -> bool {
        let there = self.delayed.remove(&key);
        if there {
            self.forget(key.1);
        }
        there
    }
}
