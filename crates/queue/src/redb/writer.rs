//! The writer thread: group commit.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use faasflow_core::chain;
use tokio::sync::oneshot;

use crate::error::QueueError;
use crate::redb::change::Change;
use crate::redb::disk::Disk;
use crate::redb::read;

/// The longest time that acknowledgements wait for an urgent batch to join.
const COMPANY: Duration = Duration::from_millis(5);
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// With more acknowledgements than this, they are written in their own batch.
const MANY: usize = 4096;

/// Called with the assigned number, or 0, if the changes were written.
type Settle = Box<dyn FnOnce(Option<u64>) + Send>;

/// Changes, and those that undo them if the disk fails after they reached it.
pub(crate) type Changes = (Vec<Change>, Vec<Change>);

/// A request to write changes.
pub(crate) enum Work {
    Fixed(Changes),
    /// It takes the next number. Numbers are given here, so they rise in the order in which calls reach the disk.
    Numbered(Box<dyn FnOnce(u64) -> Changes + Send>),
}

/// Changes that a task waits for.
struct PendingChanges {
    work: Option<Work>,
    number: u64,
    changes: Vec<Change>,
    undo: Vec<Change>,
    settle: Option<Settle>,
    done: Option<oneshot::Sender<Result<(), QueueError>>>,
}

impl PendingChanges {
    /// Makes the changes to write.
    fn prepare(&mut self, next_id: &AtomicU64) {
        match self.work.take() {
            Some(Work::Fixed(changes)) => (self.changes, self.undo) = changes,
            Some(Work::Numbered(make)) => {
                self.number = next_id.fetch_add(1, Ordering::Relaxed);
                (self.changes, self.undo) = make(self.number);
            }
            None => {}
        }
    }

    /// Reports the result of the changes.
    fn settle(mut self, written: &Result<(), QueueError>) {
        if let Some(settle) = self.settle.take() {
            settle(written.is_ok().then_some(self.number));
        }
        let outcome = written.clone();
        if let Some(done) = self.done.take() {
            let _ = done.send(outcome);
        }
    }
}

impl Drop for PendingChanges {
    /// Drops requests that come when the writer ends. The dropped sender tells the waiting tasks.
    fn drop(&mut self) {
        if let Some(settle) = self.settle.take() {
            settle(None);
        }
    }
}

enum Message {
    /// Somebody waits: the changes are written at once.
    Urgent(PendingChanges),
    /// There are lazy changes, and the writer sleeps or has let many come together.
    Wake,
    /// Somebody waits until all that was sent before is on disk.
    Barrier(oneshot::Sender<Result<(), QueueError>>),
    Close(oneshot::Sender<()>),
}

/// Changes that no task waits for. They stay here until the writer takes them. A message for each would wake the writer for nothing,
/// because it would only set them aside.
#[derive(Debug, Default)]
struct Lazy {
    changes: Vec<Change>,
    /// The writer sleeps until there is a message, and does not look here before.
    asleep: bool,
    /// The writer has ended.
    closed: bool,
}

type SharedLazy = Arc<Mutex<Lazy>>;

fn lock(lazy: &Mutex<Lazy>) -> MutexGuard<'_, Lazy> {
    lazy.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The handle to the writer thread.
#[derive(Debug)]
pub(crate) struct Writer {
    messages: Sender<Message>,
    lazy: SharedLazy,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(crate) fn start(disk: Arc<Disk>, next_id: Arc<AtomicU64>) -> Result<Writer, QueueError> {
        let (messages, receiver) = channel();
        let shared = SharedLazy::default();
        let writing = Loop { disk, next_id, shared: shared.clone(), lazy: Vec::new(), company: COMPANY };
        let thread = std::thread::Builder::new()
            .name("faasflow-queue".to_owned())
            .spawn(move || writing.run(&receiver))
            .map_err(|error| QueueError::storage(format!("the writer thread cannot be started: {error}")))?;
        Ok(Writer { messages, lazy: shared, thread: Mutex::new(Some(thread)) })
    }

    /// Writes changes and returns when they are on disk. Before that, `settle` runs on the writer thread, in the order of numbers, and
    /// gets the number if they were written. It also runs if the waiting future was dropped.
    pub(crate) async fn urgent(
        &self,
        work: Work,
        settle: impl FnOnce(Option<u64>) + Send + 'static,
    ) -> Result<(), QueueError> {
        let (done, written) = oneshot::channel();
        let settle: Settle = Box::new(settle);
        let waiting = PendingChanges {
            work: Some(work),
            number: 0,
            changes: Vec::new(),
            undo: Vec::new(),
            settle: Some(settle),
            done: Some(done),
        };
        // A request that cannot be sent is dropped together with its sender, which ends the wait below.
        let _ = self.messages.send(Message::Urgent(waiting));
        written.await.unwrap_or(Err(QueueError::Closed))
    }

    /// Returns when everything that was sent earlier is on disk.
    pub(crate) async fn barrier(&self) -> Result<(), QueueError> {
        let (done, written) = oneshot::channel();
        let _ = self.messages.send(Message::Barrier(done));
        written.await.unwrap_or(Err(QueueError::Closed))
    }

    /// Writes changes soon, after everything that was sent earlier.
    pub(crate) fn lazy(&self, changes: Vec<Change>) {
        let mut lazy = lock(&self.lazy);
        // If the queue is closed, the change is lost, and the call is only delivered again.
        if lazy.closed {
            return;
        }
        lazy.changes.extend(changes);
        let wake = std::mem::take(&mut lazy.asleep) || lazy.changes.len() >= MANY;
        drop(lazy);
        if wake {
            let _ = self.messages.send(Message::Wake);
        }
    }

    pub(crate) async fn close(&self) {
        let (closed, done) = oneshot::channel();
        if self.messages.send(Message::Close(closed)).is_ok() {
            let _ = done.await;
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

struct Loop {
    disk: Arc<Disk>,
    next_id: Arc<AtomicU64>,
    shared: SharedLazy,
    /// Lazy changes that were taken but not written yet.
    lazy: Vec<Change>,
    /// How long lazy changes wait. The time is longer after an error, so that a full disk is not tried constantly.
    company: Duration,
}

impl Drop for Loop {
    fn drop(&mut self) {
        *lock(&self.shared) = Lazy { closed: true, ..Lazy::default() };
        self.disk.close();
    }
}

impl Loop {
    fn run(mut self, messages: &Receiver<Message>) {
        let mut idle = true;
        loop {
            let mut urgent = Vec::new();
            let mut barriers = Vec::new();
            let mut close = None;
            let first = self.next(messages, idle);
            let gone = matches!(first, Err(RecvTimeoutError::Disconnected));
            idle = first.is_err();
            // Everything that is pending shares one flush.
            for message in first.ok().into_iter().chain(messages.try_iter()) {
                match message {
                    Message::Urgent(waiting) => urgent.push(waiting),
                    Message::Wake => {}
                    Message::Close(closed) => close = Some(closed),
                    Message::Barrier(done) => barriers.push(done),
                }
            }
            // Includes lazy changes.
            let due = idle || close.is_some() || !barriers.is_empty() || lock(&self.shared).changes.len() >= MANY;
            if due || !urgent.is_empty() {
                self.write(urgent);
            }
            for done in barriers {
                // Changes that remain after a write mean that the disk has failed.
                let trouble = || QueueError::storage("changes wait for the disk".to_owned());
                let _ = done.send(if self.lazy.is_empty() { Ok(()) } else { Err(trouble()) });
            }
            if let Some(closed) = close {
                // Set before the answer, so that no changes are accepted afterwards that would never be written.
                drop(self);
                let _ = closed.send(());
                return;
            }
            if gone {
                return;
            }
        }
    }

    /// The next message, or `None` when lazy changes have waited long enough. The writer sleeps without a limit only after it was idle for
    /// that long, so that acknowledgements need not wake it while calls keep coming.
    fn next(&self, messages: &Receiver<Message>, idle: bool) -> Result<Message, RecvTimeoutError> {
        if idle && self.lazy.is_empty() {
            let mut shared = lock(&self.shared);
            shared.asleep = shared.changes.is_empty();
            if shared.asleep {
                drop(shared);
                let message = messages.recv().map_err(|_| RecvTimeoutError::Disconnected);
                lock(&self.shared).asleep = false;
                return message;
            }
        }
        messages.recv_timeout(self.company)
    }

    fn write(&mut self, mut urgent: Vec<PendingChanges>) {
        urgent.iter_mut().for_each(|waiting| waiting.prepare(&self.next_id));
        self.lazy.append(&mut lock(&self.shared).changes);
        let nothing = self.lazy.is_empty() && urgent.iter().all(|waiting| waiting.changes.is_empty());
        let mut written = Ok(());
        if !nothing {
            let changes = || self.lazy.iter().chain(urgent.iter().flat_map(|waiting| &waiting.changes));
            written = self.disk.commit(changes());
            if let Err(error) = &written {
                tracing::error!(error = %chain(error), code = %error.code(), "the queue cannot be written");
                // The lazy changes stay for the next batch; waiting tasks get the error.
                let attempted = self.disk.is_open();
                if let Err(error) = self.disk.reopen() {
                    tracing::error!(error = %chain(&error), code = %error.code(), "the queue file cannot be opened again");
                }
                if attempted && urgent.iter().any(|waiting| read::may_hold(&self.disk, &waiting.changes)) {
                    self.lazy.extend(urgent.iter().flat_map(|waiting| waiting.undo.clone()));
                }
            }
        }
        if written.is_ok() {
            self.lazy.clear();
            self.company = COMPANY;
        } else {
            self.company = AFTER_ERROR;
        }
        for waiting in urgent {
            waiting.settle(&written);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn changes_are_refused_when_the_writer_has_ended() {
        let (messages, receiver) = channel();
        let writer = Writer { messages, lazy: SharedLazy::default(), thread: Mutex::new(None) };
        let settled = Arc::new(Mutex::new(Vec::new()));
        let urgent = |name: &'static str| {
            let settled = settled.clone();
            writer.urgent(Work::Fixed((Vec::new(), Vec::new())), move |id| settled.lock().unwrap().push((name, id)))
        };
        // One message is sent before the writer has ended, and never read; one is sent afterwards.
        let (before, ()) = tokio::join!(urgent("before"), async { drop(receiver) });
        let after = urgent("after").await;
        assert!(matches!((before, after), (Err(QueueError::Closed), Err(QueueError::Closed))));
        assert_eq!(*settled.lock().unwrap(), [("before", None), ("after", None)]);
    }
}
