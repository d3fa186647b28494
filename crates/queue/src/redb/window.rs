//! The part of the queue that is in memory: the next calls of each lane, the calls that are due next, and the calls in flight. The
//! rest is only on disk, and is read when there is room.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use faasflow_http::now_ms;

use crate::call::Call;
use crate::policy::schedule::{Entry, Next, Schedule};
use crate::redb::ids::Ids;
use crate::redb::read::{Due, DueCall, FileContents, OfLane};
use crate::stats::Totals;

/// The most ready calls of a lane in memory, besides those that come back to it.
pub(crate) const WINDOW: usize = 1024;
/// If a lane has fewer calls in memory, more are read.
const LOW: usize = WINDOW / 4;
/// How many calls of a lane that come when they are due are in memory, at most.
const DUE: usize = 1024;
/// How many of them are read at once.
pub(crate) const DUE_AT_ONCE: usize = 512;
/// How long before their time they are read.
const AHEAD_MS: u64 = 2_000;

/// The position in a lane that has more calls than are in memory.
#[derive(Debug)]
struct Position {
    /// All calls up to this number are in memory, or were.
    read_to: u64,
    /// The last number of the lane.
    last: u64,
}

/// The calls of a lane that come when they are due.
#[derive(Debug, Default)]
struct DueCalls {
    /// The due times and numbers of those in memory that are not in flight.
    waiting: BTreeSet<(u64, u64)>,
    /// Calls from this time and number on are only on disk. All earlier ones are in memory.
    horizon: Option<(u64, u64)>,
}

/// What happened while calls that are due were read.
#[derive(Debug)]
struct Reading {
    lane: Arc<str>,
    /// The first call that was left on disk. The read may have missed it.
    missed: Option<(u64, u64)>,
    finished: HashSet<u64>,
}

/// What to read next.
#[derive(Debug)]
pub(crate) enum NextRead {
    Lane { lane: Arc<str>, after: u64, most: usize },
    Due { lane: Arc<str>, from: (u64, u64) },
}

#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) schedule: Schedule,
    /// The lanes with calls that are only on disk. All other lanes are completely in memory.
    behind: HashMap<Arc<str>, Position>,
    /// Those of them with few calls in memory.
    hungry: HashSet<Arc<str>>,
    due: HashMap<Arc<str>, DueCalls>,
    reading: Option<Reading>,
    pub(crate) ids: Ids,
    /// Numbers of dead letters and when they died, oldest first.
    pub(crate) dead: VecDeque<(u64, u64)>,
    pub(crate) unreadable: Vec<(u64, String)>,
    pub(crate) depth: usize,
    pub(crate) functions: BTreeMap<String, usize>,
    pub(crate) totals: Totals,
    pub(crate) closed: bool,
}

impl Window {
    pub(crate) fn new(kept_bodies: usize, ids: Ids, contents: FileContents) -> Window {
        let mut window = Window {
            schedule: Schedule::new(kept_bodies),
            behind: HashMap::new(),
            hungry: HashSet::new(),
            due: HashMap::new(),
            reading: None,
            ids,
            dead: contents.dead.into(),
            unreadable: contents.unreadable,
            depth: contents.depth,
            functions: contents.functions,
            totals: Totals::default(),
            closed: false,
        };
        for (lane, last) in contents.lanes {
            let lane: Arc<str> = lane.into();
            window.hungry.insert(lane.clone());
            window.behind.insert(lane, Position { read_to: 0, last });
        }
        for (lane, first) in contents.first_due {
            window.due.entry(lane.into()).or_default().horizon = Some(first);
        }
        window
    }

    pub(crate) fn count(&mut self, function: &str) {
        self.depth += 1;
        match self.functions.get_mut(function) {
            Some(count) => *count += 1,
            None => drop(self.functions.insert(function.to_owned(), 1)),
        }
    }

    pub(crate) fn uncount(&mut self, function: &str) {
        self.depth = self.depth.saturating_sub(1);
        if let Some(count) = self.functions.get_mut(function) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.functions.remove(function);
            }
        }
    }

    /// Adds a call that was accepted. Numbers rise within a lane.
    pub(crate) fn accepted(&mut self, id: u64, call: Arc<Call>) {
        self.count(call.function());
        let entry = Entry::new(id, call, 1, 0);
        if let Some(position) = self.behind.get_mut(&entry.lane) {
            position.last = id;
        } else if self.schedule.ready_in(&entry.lane) < WINDOW {
            self.schedule.add(entry, now_ms());
        } else {
            self.behind.insert(entry.lane, Position { read_to: id - 1, last: id });
        }
    }

    /// Whether another call of a lane fits into memory, in its order.
    pub(crate) fn has_room(&self, lane: &str) -> bool {
        !self.behind.contains_key(lane) && self.schedule.ready_in(lane) < WINDOW
    }

    /// Adds a call from disk that comes when it is due.
    pub(crate) fn due(&mut self, entry: Entry) {
        let key = (entry.due_ms, entry.id);
        let due = self.due.entry(entry.lane.clone()).or_default();
        let is_full = due.waiting.len() >= DUE;
        if is_full && due.horizon.is_none() && due.waiting.last().is_some_and(|last| key > *last) {
            due.horizon = Some(key);
        }
        if due.horizon.is_some_and(|horizon| key >= horizon) {
            if let Some(reading) = self.reading.as_mut().filter(|reading| reading.lane == entry.lane) {
                reading.missed = reading.missed.into_iter().chain([key]).min();
            }
            return;
        }
        // The last one makes room, unless it is ready already.
        if is_full
            && let Some(&last) = due.waiting.last()
            && self.schedule.drop_delayed(last)
        {
            due.waiting.remove(&last);
            due.horizon = Some(last);
        }
        due.waiting.insert(key);
        self.schedule.add(entry, now_ms());
    }

    /// Ends a delivery. `again` is the call with its next time, if it comes again.
    pub(crate) fn finish(&mut self, id: u64, lane: &str, again: Option<Entry>) {
        self.schedule.finish(id, lane, None, now_ms());
        if let Some(reading) = &mut self.reading {
            reading.finished.insert(id);
        }
        if let Some(again) = again {
            self.due(again);
        }
    }

    /// The next call to deliver, or when there may be one.
    pub(crate) fn next(&mut self, most: &dyn Fn(&str) -> usize) -> Next {
        let next = self.schedule.next(now_ms(), most);
        match next {
            Next::Deliver(entry) => {
                if let Some(due) = self.due.get_mut(&entry.lane) {
                    due.waiting.remove(&(entry.due_ms, entry.id));
                    if due.waiting.is_empty() && due.horizon.is_none() {
                        self.due.remove(&entry.lane);
                    }
                }
                if self.behind.contains_key(&entry.lane) && self.schedule.ready_in(&entry.lane) < LOW {
                    self.hungry.insert(entry.lane.clone());
                }
                Next::Deliver(entry)
            }
            Next::Wait(due_ms) => {
                let horizons = self.due.values().filter(|due| due.waiting.len() < DUE / 2);
                let read_ms = horizons.filter_map(|due| Some(due.horizon?.0.saturating_sub(AHEAD_MS)));
                Next::Wait(due_ms.into_iter().chain(read_ms).min())
            }
        }
    }

    /// The lanes that have few calls in memory and more on disk.
    pub(crate) fn hungry(&self) -> Vec<Arc<str>> {
        self.hungry.iter().cloned().collect()
    }

    /// What to read before anything else.
    pub(crate) fn wanted(&self) -> Option<NextRead> {
        if let Some(lane) = self.hungry.iter().next() {
            let after = self.behind.get(lane)?.read_to;
            let most = WINDOW.saturating_sub(self.schedule.ready_in(lane)).max(1);
            return Some(NextRead::Lane { lane: lane.clone(), after, most });
        }
        let soon = now_ms().saturating_add(AHEAD_MS);
        self.due.iter().find_map(|(lane, due)| {
            let from = due.horizon.filter(|horizon| horizon.0 <= soon && due.waiting.len() < DUE / 2)?;
            Some(NextRead::Due { lane: lane.clone(), from })
        })
    }

    /// Adds the calls of a lane that were read. Returns the numbers of records that cannot be read.
    pub(crate) fn take_lane(&mut self, lane: &Arc<str>, after: u64, read: OfLane) -> Vec<u64> {
        let mut aside = Vec::new();
        let Some(position) = self.behind.get_mut(lane).filter(|position| position.read_to == after) else {
            return aside;
        };
        position.read_to = read.last.unwrap_or(position.last);
        let caught_up = position.read_to >= position.last;
        for (id, call) in read.calls {
            match call {
                Ok(call) => self.schedule.add(Entry::new(id, Arc::new(call), 1, 0), now_ms()),
                Err(fault) => {
                    self.put_aside(id, lane, fault);
                    aside.push(id);
                }
            }
        }
        if caught_up {
            self.behind.remove(lane);
        }
        if caught_up || self.schedule.ready_in(lane) >= LOW {
            self.hungry.remove(lane);
        }
        aside
    }

    /// Call this before due calls are read from disk. Changes until [`take_due`](Window::take_due) are recorded.
    pub(crate) fn begin_due(&mut self, lane: &Arc<str>) {
        self.reading = Some(Reading { lane: lane.clone(), missed: None, finished: HashSet::new() });
    }

    /// Adds the calls of a lane that are due from `from` on. Returns the numbers of records that cannot be read.
    pub(crate) fn take_due(&mut self, lane: &Arc<str>, from: (u64, u64), (read, rest): Due) -> Vec<u64> {
        let mut aside = Vec::new();
        let Some(reading) = self.reading.take().filter(|reading| reading.lane == *lane) else { return Vec::new() };
        let Some(due) = self.due.get_mut(lane).filter(|due| due.horizon == Some(from)) else { return Vec::new() };
        let rest = rest.into_iter().chain(reading.missed).min();
        due.horizon = rest;
        for DueCall { key, attempts, call } in read {
            let beyond = rest.is_some_and(|rest| key >= rest);
            if beyond || reading.finished.contains(&key.1) || self.schedule.contains(key.1) {
                continue;
            }
            match call {
                Ok(call) => {
                    due.waiting.insert(key);
                    let entry = Entry::new(key.1, Arc::new(call), attempts.saturating_add(1), key.0);
                    self.schedule.add(entry, now_ms());
                }
                Err(fault) => aside.push((key.1, fault)),
            }
        }
        if due.waiting.is_empty() && rest.is_none() {
            self.due.remove(lane);
        }
        aside
            .into_iter()
            .map(|(id, fault)| {
                self.put_aside(id, lane, fault);
                id
            })
            .collect()
    }

    fn put_aside(&mut self, id: u64, lane: &str, fault: String) {
        tracing::error!("record {id} of the queue cannot be read and is put aside in its file: {fault}");
        self.unreadable.push((id, fault));
        self.uncount(lane);
    }
}
