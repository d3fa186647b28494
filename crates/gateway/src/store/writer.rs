//! The writer thread: group commit.
//!
//! All changes that wait while a transaction is flushed to the disk share the next one, so many writers at once cost one flush and
//! not one each. A change is answered when it is on disk.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use faasflow_core::chain;
use tokio::sync::oneshot;

use super::change::{Change, Changes, Outcome};
use super::counts::Counts;
use super::disk::Disk;
use super::error::StoreError;
use super::files::Files;
use super::numbers::Numbers;

/// The most changes in one transaction, so that the first is not answered much later than it could be.
const MOST: usize = 1024;

/// A change that a task waits for.
struct Waiting {
    change: Change,
    done: oneshot::Sender<Result<Outcome, StoreError>>,
}

enum Message {
    Change(Waiting),
    Close(oneshot::Sender<()>),
}

/// The handle to the writer thread.
pub(super) struct Writer {
    messages: Sender<Message>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(
        disk: Arc<Disk>,
        files: Files,
        numbers: Arc<Numbers>,
        counts: Arc<Counts>,
        ttl_ms: u64,
    ) -> Result<Writer, StoreError> {
        let (messages, receiver) = channel();
        let writing = Loop { disk, files, numbers, counts, ttl_ms };
        let thread = std::thread::Builder::new()
            .name("faasflow-store".to_owned())
            .spawn(move || writing.run(&receiver))
            .map_err(StoreError::io)?;
        Ok(Writer { messages, thread: Mutex::new(Some(thread)) })
    }

    /// Makes a change, and returns when it is on disk. It is made even if the returned future is dropped.
    pub(super) async fn change(&self, change: Change) -> Result<Outcome, StoreError> {
        let (done, changed) = oneshot::channel();
        // One that cannot be sent is dropped, and with it the sender that is waited for.
        let _ = self.messages.send(Message::Change(Waiting { change, done }));
        changed.await.unwrap_or(Err(StoreError::Closed))
    }

    pub(super) async fn close(&self) {
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
    files: Files,
    numbers: Arc<Numbers>,
    counts: Arc<Counts>,
    ttl_ms: u64,
}

impl Loop {
    fn run(self, messages: &Receiver<Message>) {
        while let Ok(first) = messages.recv() {
            let mut waiting = Vec::new();
            let mut close = None;
            for message in std::iter::once(first).chain(messages.try_iter().take(MOST - 1)) {
                match message {
                    Message::Change(change) => waiting.push(change),
                    Message::Close(closed) => close = Some(closed),
                }
            }
            if !waiting.is_empty() {
                self.write(waiting);
            }
            if let Some(closed) = close {
                self.disk.close();
                let _ = closed.send(());
                return;
            }
        }
        self.disk.close();
    }

    fn write(&self, waiting: Vec<Waiting>) {
        let begun = Instant::now();
        let written = self.disk.commit(|write| {
            let next = || self.numbers.next();
            let mut changes = Changes::new(write, self.ttl_ms, &next)?;
            let outcomes: Result<Vec<_>, StoreError> =
                waiting.iter().map(|waiting| changes.apply(&waiting.change)).collect();
            Ok(((outcomes?, changes.unused, changes.changed), changes.changed))
        });
        match written {
            Ok((outcomes, unused, changed)) => {
                if changed {
                    self.counts.flushed(begun.elapsed());
                }
                for (waiting, outcome) in waiting.into_iter().zip(outcomes) {
                    let _ = waiting.done.send(outcome);
                }
                self.files.remove(unused);
            }
            Err(error) => {
                tracing::error!(error = %chain(&error), code = %error.code(), "the gateway's store cannot be written");
                if let Err(error) = self.disk.reopen() {
                    tracing::error!(
                        error = %chain(&error), code = %error.code(), "the gateway's store cannot be opened again"
                    );
                }
                // Whether the changes are on disk is not known. Files of values stay until the next start, because a value that was
                // written after all would be lost with its file.
                for waiting in waiting {
                    let _ = waiting.done.send(Err(error.clone()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::change::Condition;
    use super::super::tables::{Content, Scope, VALUES};
    use super::*;

    impl Loop {
        /// Makes changes in one transaction. Returns their outcomes.
        fn make<const N: usize>(&self, changes: [Change; N]) -> [Result<Outcome, StoreError>; N] {
            let (dones, mut outcomes): (Vec<_>, Vec<_>) = std::iter::repeat_with(oneshot::channel).take(N).unzip();
            self.write(changes.into_iter().zip(dones).map(|(change, done)| Waiting { change, done }).collect());
            std::array::from_fn(|index| outcomes[index].try_recv().unwrap())
        }
    }

    fn scope() -> Scope {
        Scope { function: "f".to_owned(), flow: "flow".to_owned(), request: "r".to_owned() }
    }

    #[test]
    fn a_damaged_record_fails_its_own_write_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let (disk, first) = Disk::open(&folder.path().join("state.redb")).unwrap();
        let files = Files::open(&folder.path().join("state-values")).unwrap();
        let numbers = Arc::new(Numbers::from(first));
        let writing =
            Loop { disk: Arc::new(disk), files, numbers: numbers.clone(), counts: Arc::default(), ttl_ms: 1000 };
        let write = |key: &str, condition| {
            let (key, version, content) = (key.to_owned(), numbers.next(), Content::Inline(Bytes::from("x")));
            Change::Write { scope: scope(), key, version, content, condition, started_ms: None }
        };
        assert!(writing.make([write("damaged", Condition::Absent)])[0].is_ok());
        let damage = |write: &redb::WriteTransaction| {
            let mut values = write.open_table(VALUES)?;
            let first = values.pop_first()?.map(|(key, _)| (key.value().0, key.value().1.to_owned()));
            let (group, key) = first.unwrap();
            values.insert((group, key.as_str()), b"cut".as_slice())?;
            Ok(((), true))
        };
        writing.disk.commit(damage).unwrap();

        let batch = [
            write("before", Condition::Absent),
            write("damaged", Condition::Always),
            write("after", Condition::Absent),
        ];
        let [before, damaged, after] = writing.make(batch);
        assert_eq!((before.unwrap(), after.unwrap()), (Outcome::Done, Outcome::Done));
        assert_eq!(damaged.unwrap_err().code(), faasflow_core::code::STORE_STORAGE);
        // It was written although another change of its batch failed.
        let [again] = writing.make([write("before", Condition::Absent)]);
        assert_eq!(again.unwrap(), Outcome::NotWritten);
        // The damaged record can be removed, and then its key is free.
        let remove = Change::Remove { scope: scope(), key: "damaged".to_owned() };
        let [removed, written] = writing.make([remove, write("damaged", Condition::Absent)]);
        assert_eq!((removed.unwrap(), written.unwrap()), (Outcome::Done, Outcome::Done));
    }
}
