//! The durable queue behind `/async-function/`: what is accepted is on disk, and is delivered at least once.
//!
//! One writer thread commits whatever is pending in one transaction with one flush (group commit), and only
//! then are the callers told. Acknowledgements wait for company, since a lost one costs a redelivery and no
//! more. The order of acceptance is the order of first delivery, function by function.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faasflow_runtime::http::Budget;
use http::{HeaderMap, StatusCode, Uri};

mod admin;
mod dispatch;
mod error;
mod file;
mod record;
mod schedule;
mod store;
mod verdict;
mod writer;

#[cfg(test)]
mod tests;

pub use admin::{DeadLetter, DeadLetterSummary, QueueStats, QueuedCall, Selection};
pub use dispatch::{Answer, Deliver, Delivery, Unreachable};
pub use error::QueueError;
pub(crate) use record::now_ms;
pub use record::{Call, Target};

use crate::queue::schedule::Shared;
use crate::queue::store::Change;
use crate::queue::writer::Writer;

/// How a queue behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QueueOptions {
    /// How many deliveries are under way at once, at most. One function gets half of them at most, so that a
    /// slow one does not starve the others.
    pub workers: usize,
    /// The largest body accepted, in bytes. The default is what OpenFaaS's community edition takes.
    pub max_body: usize,
    /// How many times a call is delivered, at most, before it becomes a dead letter.
    pub max_attempts: u32,
    /// About how long to wait before the second attempt; it doubles from there.
    pub initial_delay: Duration,
    /// The longest wait between two attempts.
    pub max_delay: Duration,
    /// How long the id of an accepted call is remembered, so that a second one is dropped.
    pub duplicate_window: Duration,
    /// How long a dead letter is kept.
    pub dead_letter_age: Duration,
    /// How many dead letters are kept; the oldest go first.
    pub dead_letter_count: usize,
    /// How many bytes of waiting bodies are kept in memory, at most; what is over that is read again when it is its turn.
    pub kept_bodies: usize,
    /// What bodies of deliveries take their room from; without it, they are not counted.
    pub budget: Option<Budget>,
}

impl Default for QueueOptions {
    fn default() -> QueueOptions {
        QueueOptions {
            workers: 64,
            max_body: 256_000,
            max_attempts: 10,
            initial_delay: Duration::from_millis(200),
            max_delay: Duration::from_secs(30),
            duplicate_window: Duration::from_secs(600),
            dead_letter_age: Duration::from_secs(7 * 24 * 3600),
            dead_letter_count: 10_000,
            kept_bodies: 64 << 20,
            budget: None,
        }
    }
}

/// A call to be accepted.
#[derive(Clone, Debug)]
pub struct NewCall {
    /// The id of the invocation: one that was accepted before, within the window, is a duplicate.
    pub call_id: String,
    /// The name of the function as it was invoked.
    pub function: String,
    /// The path behind the name, empty or beginning with `/`.
    pub path: String,
    /// The query, without the `?`.
    pub query: Option<String>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Where the function's answer is to be sent.
    pub callback_url: Option<Uri>,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is on disk and will be delivered.
    New,
    /// One of this id was accepted before, and is on disk.
    Duplicate,
}

/// A durable queue. Cloning is cheap and yields the same queue.
#[derive(Clone)]
pub struct Queue {
    shared: Arc<Shared>,
    writer: Arc<Writer>,
    path: Arc<PathBuf>,
}

impl Queue {
    /// Opens the queue in the file at `path`, creating it if it is not there, and takes up what it holds.
    ///
    /// # Errors
    ///
    /// If the file is damaged, of another program or of a newer version, is held by another process, or cannot be
    /// written. Nothing is deleted or replaced in any of these cases.
    pub fn open(path: &Path, options: QueueOptions) -> Result<Queue, QueueError> {
        let mut schedule = schedule::Schedule::new(options.kept_bodies);
        let (store, held) = store::Store::open(path, &mut |call| schedule.take_up(call))?;
        let shared = Arc::new(Shared::new(options, schedule, held));
        let writer = Writer::start(store)?;
        Ok(Queue { shared, writer: Arc::new(writer), path: Arc::new(path.to_owned()) })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Accepts a call. When this returns, it is on disk.
    ///
    /// # Errors
    ///
    /// If the body is too large, or the call cannot be written. It is then not in the queue, in part or whole.
    pub async fn enqueue(&self, call: NewCall) -> Result<Accepted, QueueError> {
        let limit = self.shared.options.max_body;
        if call.body.len() > limit {
            return Err(QueueError::TooLarge { size: call.body.len(), limit });
        }
        let call = Arc::new(Call::of_function(call));
        loop {
            match self.shared.admit(&call) {
                schedule::Admission::Duplicate => {
                    self.shared.count(|totals| totals.duplicates += 1);
                    return Ok(Accepted::Duplicate);
                }
                // The first of this id is on its way to the disk: wait for it, then look again.
                schedule::Admission::Wait => self.writer.barrier().await?,
                schedule::Admission::New { id, changes } => {
                    let shared = self.shared.clone();
                    let accepted = call.clone();
                    // Not done by whoever waits here: a client that goes away must not lose what it was promised.
                    let settle = move |written: bool| shared.settle(id, accepted, written);
                    let undo = vec![Change::RemoveCall(id), Change::RemoveSeen(call.duplicate_key())];
                    self.writer.urgent(changes, undo, settle).await?;
                    return Ok(Accepted::New);
                }
            }
        }
    }

    /// Commits what is pending and ends the writer. Calls that arrive later are refused.
    pub async fn close(self) {
        self.writer.close().await;
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The status that a callback reports for a function that gave no answer, as the OpenFaaS worker does.
const NO_ANSWER: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
