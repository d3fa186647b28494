//! Cycles of a durable enqueue, a read, and a durable acknowledgement.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::queue_store::stores::{Change, Store};

/// The size of a call's body in bytes.
pub(crate) const BODY: usize = 1000;

/// When a run ends.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    Time(Duration),
    Cycles(u64),
}

/// The results of a run.
#[derive(Default)]
pub(crate) struct RunResults {
    pub(crate) per_second: f64,
    /// The duration of each enqueue in microseconds.
    pub(crate) enqueue_us: Vec<f64>,
}

/// Hands out ids until the end of the run.
pub(crate) struct Ids<'a> {
    next: &'a AtomicU64,
    end: u64,
    start: Instant,
    time: Option<Duration>,
}

impl<'a> Ids<'a> {
    pub(crate) fn new(next: &'a AtomicU64, until: Until) -> Ids<'a> {
        let (end, time) = match until {
            Until::Time(time) => (u64::MAX, Some(time)),
            Until::Cycles(cycles) => (next.load(Ordering::Relaxed) + cycles, None),
        };
        Ids { next, end, start: Instant::now(), time }
    }

    pub(crate) fn take(&self) -> Option<u64> {
        if self.time.is_some_and(|time| self.start.elapsed() >= time) {
            return None;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        (id < self.end).then_some(id)
    }

    pub(crate) fn done(&self, enqueue_us: Vec<f64>) -> RunResults {
        RunResults { per_second: enqueue_us.len() as f64 / self.start.elapsed().as_secs_f64(), enqueue_us }
    }
}

pub(crate) fn body(id: u64) -> Vec<u8> {
    let mut body = vec![id.to_le_bytes()[0]; BODY];
    body[..8].copy_from_slice(&id.to_le_bytes());
    body
}

fn check(id: u64, found: Option<Vec<u8>>) -> Result<(), Failure> {
    if found.as_deref() == Some(&body(id)) { Ok(()) } else { Err(format!("call {id} was not read back").into()) }
}

/// One producer that writes by itself, with one flush per commit.
pub(crate) fn alone(store: &mut dyn Store, ids: &Ids<'_>) -> Result<RunResults, Failure> {
    let mut took = Vec::new();
    while let Some(id) = ids.take() {
        let put = [Change::Put(id, body(id))];
        let start = Instant::now();
        store.commit(&put)?;
        took.push(start.elapsed().as_secs_f64() * 1e6);
        check(id, store.read(id)?)?;
        store.commit(&[Change::Remove(id)])?;
    }
    Ok(ids.done(took))
}

enum Ask {
    Write(Change),
    Read(u64),
}

enum FloorAnswer {
    Written,
    Found(Option<Vec<u8>>),
}

/// Producers, and one writer that commits everything pending with one flush.
pub(crate) fn grouped(store: &mut dyn Store, producers: usize, ids: &Ids<'_>) -> Result<RunResults, Failure> {
    let (asks, asked) = channel::<(Ask, Sender<FloorAnswer>)>();
    let took = std::thread::scope(|scope| -> Result<Vec<f64>, Failure> {
        let threads: Vec<_> = (0..producers)
            .map(|_| {
                let asks = asks.clone();
                scope.spawn(move || produce(&asks, ids))
            })
            .collect();
        drop(asks);
        // If this fails, the requests of the producers fail, and they end too.
        let written = write(store, asked);
        let mut took = Vec::new();
        for thread in threads {
            let one = thread.join().map_err(|_| "a producer panicked")?;
            if written.is_ok() {
                took.extend(one?);
            }
        }
        written.map(|()| took)
    })?;
    Ok(ids.done(took))
}

fn produce(asks: &Sender<(Ask, Sender<FloorAnswer>)>, ids: &Ids<'_>) -> Result<Vec<f64>, Failure> {
    let (tell, answers) = channel();
    let ask = |ask| -> Result<FloorAnswer, Failure> {
        asks.send((ask, tell.clone())).map_err(|_| "the writer is gone")?;
        // If the writer is gone, it drops the request. But this end also holds a sender, so use a timeout.
        Ok(answers.recv_timeout(Duration::from_secs(30))?)
    };
    let mut took = Vec::new();
    while let Some(id) = ids.take() {
        let put = Change::Put(id, body(id));
        let start = Instant::now();
        ask(Ask::Write(put))?;
        took.push(start.elapsed().as_secs_f64() * 1e6);
        let FloorAnswer::Found(found) = ask(Ask::Read(id))? else { return Err("a read was not answered".into()) };
        check(id, found)?;
        ask(Ask::Write(Change::Remove(id)))?;
    }
    Ok(took)
}

fn write(store: &mut dyn Store, asked: Receiver<(Ask, Sender<FloorAnswer>)>) -> Result<(), Failure> {
    while let Ok(first) = asked.recv() {
        let (mut changes, mut waiting, mut reads) = (Vec::new(), Vec::new(), Vec::new());
        for (ask, tell) in std::iter::once(first).chain(asked.try_iter()) {
            match ask {
                Ask::Write(change) => {
                    changes.push(change);
                    waiting.push(tell);
                }
                Ask::Read(id) => reads.push((id, tell)),
            }
        }
        // Reads come first, because a producer writes after reading and can then join the next flush.
        for (id, tell) in reads {
            let _ = tell.send(FloorAnswer::Found(store.read(id)?));
        }
        if !changes.is_empty() {
            store.commit(&changes)?;
        }
        for tell in waiting {
            let _ = tell.send(FloorAnswer::Written);
        }
    }
    Ok(())
}
