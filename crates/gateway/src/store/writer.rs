//! The writer thread: group commit.
//!
//! All changes that wait while a transaction is flushed to the disk share the next one. So many writers at once cost one flush, not
//! one each, and a change is answered when it is on disk.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use faasflow_core::chain;
use tokio::sync::oneshot;

use super::change::{Change, Changes, Outcome};
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
        ttl_ms: u64,
    ) -> Result<Writer, StoreError> {
        let (messages, receiver) = channel();
        let writing = Loop { disk, files, numbers, ttl_ms };
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
        let written = self.disk.commit(|write| {
            let next = || self.numbers.next();
            let mut changes = Changes::new(write, self.ttl_ms, &next)?;
            let outcomes: Result<Vec<Outcome>, StoreError> =
                waiting.iter().map(|waiting| changes.apply(&waiting.change)).collect();
            Ok(((outcomes?, changes.unused), changes.changed))
        });
        match written {
            Ok((outcomes, unused)) => {
                for (waiting, outcome) in waiting.into_iter().zip(outcomes) {
                    let _ = waiting.done.send(Ok(outcome));
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
