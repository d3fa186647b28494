//! The trait that keeps calls, and what is asked of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use faasflow_core::handler::BoxFuture;

use crate::call::{Accepted, Call};
use crate::error::QueueError;
use crate::letter::Letter;
use crate::policy::schedule::Entry;
use crate::stats::{QueueStats, QueuedCall};

/// Where calls are kept until they are delivered.
///
/// A store may be shared by several processes, each with a [`Queue`](crate::Queue) of its own over it: a call that one of
/// them has claimed is not given to another one until it is concluded, or until its lease has passed without
/// [`extend`](Store::extend). So a call is delivered at least once.
///
/// What an answer means, how long to wait, and what a callback holds is decided by the queue. The store is told by
/// [`conclude`](Store::conclude), and makes all of a conclusion true or nothing of it. `conformance::check` (feature
/// `conformance`) holds a store to what is written here.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Accepts a call. When this returns, it survives whatever the store is meant to survive. The future may be dropped; the
    /// call is then in the store or not, but never in part.
    ///
    /// A call with the [`duplicate_key`](Call::duplicate_key) of one that was accepted within the window is a duplicate, also
    /// while the first is being written.
    ///
    /// # Errors
    ///
    /// If the call is not in the store, and will not be.
    fn accept(&self, call: Arc<Call>) -> BoxFuture<'_, Result<Accepted, QueueError>>;

    /// Waits for the next call that is due and may be delivered, and claims it.
    ///
    /// Lanes ([`Call::lane`]) take turns. Within a lane, calls come in the order of acceptance; those that are tried again come
    /// when they are due. A lane of which `most` are claimed here is passed over. Dropped before it returns, it has claimed
    /// nothing.
    ///
    /// # Errors
    ///
    /// If the store is closed. Errors that pass are waited out.
    fn claim<'a>(&'a self, most: &'a (dyn Fn(&str) -> usize + Send + Sync))
    -> BoxFuture<'a, Result<Claim, QueueError>>;

    /// The call that was claimed; `None` if it is gone, which no program that keeps to this trait brings about.
    ///
    /// # Errors
    ///
    /// If it cannot be read now.
    fn fetch<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<Option<Arc<Call>>, QueueError>>;

    /// Keeps a claim for another lease. The queue does so as long as it delivers.
    ///
    /// # Errors
    ///
    /// If the claim is lost, or the store cannot be reached.
    fn extend<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<(), QueueError>> {
        let _ = claim;
        Box::pin(std::future::ready(Ok(())))
    }

    /// Ends a claim. A conclusion that is lost in a crash means another delivery, so a store need not have it on disk when
    /// this returns; but it keeps the order, and never has it in part.
    ///
    /// # Errors
    ///
    /// If nothing of it is known to be done: the claim then ends with its lease.
    fn conclude(&self, claim: Claim, conclusion: Conclusion) -> BoxFuture<'_, Result<(), QueueError>>;

    /// How it stands, as seen from this process.
    ///
    /// # Errors
    ///
    /// If that cannot be found out now.
    fn stats(&self) -> BoxFuture<'_, Result<QueueStats, QueueError>>;

    /// The first `limit` calls and callbacks in it, in the order of acceptance.
    ///
    /// # Errors
    ///
    /// If they cannot be read now.
    fn list(&self, limit: usize) -> BoxFuture<'_, Result<Vec<QueuedCall>, QueueError>>;

    /// Records that cannot be read: their numbers and what is wrong. They stay where they are.
    ///
    /// # Errors
    ///
    /// If that cannot be found out now.
    fn unreadable(&self) -> BoxFuture<'_, Result<Vec<(u64, String)>, QueueError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// The numbers of dead letters, in the order in which they died. All conclusions before are seen.
    ///
    /// # Errors
    ///
    /// If they cannot be read now.
    fn letters(&self) -> BoxFuture<'_, Result<Vec<u64>, QueueError>>;

    /// One dead letter; `None` if there is none of this number.
    ///
    /// # Errors
    ///
    /// If it cannot be read now.
    fn letter(&self, id: u64) -> BoxFuture<'_, Result<Option<Letter>, QueueError>>;

    /// Makes a call of a dead letter again, under the same number, its attempts forgotten, and due at `due_ms` (milliseconds
    /// since the Unix epoch). It is the one or the other at every moment. `false` if there is no such letter: of two who
    /// do this at once, one gets `true`.
    ///
    /// # Errors
    ///
    /// If the letter stays one.
    fn revive(&self, id: u64, due_ms: u64) -> BoxFuture<'_, Result<bool, QueueError>>;

    /// Removes dead letters for good. Returns how many there were of them.
    ///
    /// # Errors
    ///
    /// If none was removed.
    fn discard(&self, ids: Vec<u64>) -> BoxFuture<'_, Result<u64, QueueError>>;

    /// Puts away what is pending and ends. What is asked later fails with [`QueueError::Closed`].
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// A call that is to be delivered by whoever holds this.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Claim {
    /// The call's number in the store.
    pub id: u64,
    /// Its lane.
    pub lane: Arc<str>,
    /// The attempt to be made, from 1.
    pub attempt: u32,
    /// How many times in a row it was put off before, as far as this process knows.
    pub put_off: u32,
    /// The size of its body, in bytes.
    pub bytes: usize,
    /// The call, where the store has it in memory.
    pub call: Option<Arc<Call>>,
    /// How long the claim holds without [`extend`](Store::extend); for ever, where there is none.
    pub lease: Option<Duration>,
}

impl Claim {
    /// A claim without a lease.
    pub fn new(id: u64, lane: Arc<str>, attempt: u32, bytes: usize) -> Claim {
        Claim { id, lane, attempt, put_off: 0, bytes, call: None, lease: None }
    }
}

impl From<Entry> for Claim {
    fn from(entry: Entry) -> Claim {
        let Entry { id, attempt, put_off, bytes, lane, call, .. } = entry;
        Claim { id, lane, attempt, put_off, bytes, call, lease: None }
    }
}

/// What becomes of a call after an attempt.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Conclusion {
    /// It was delivered, and is removed.
    Delivered {
        /// The callback that it asked for, which is accepted in the same moment, without regard to duplicates.
        callback: Option<Arc<Call>>,
    },
    /// It is tried again.
    Again {
        /// When, in milliseconds since the Unix epoch.
        due_ms: u64,
        /// Whether the attempt counts. One that was put off does not.
        counts: bool,
    },
    /// It is given up: a dead letter takes its place, and its id may be accepted anew. The store forgets the
    /// oldest letters when they are too old or too many.
    Dead {
        /// The letter.
        letter: Box<Letter>,
        /// The callback that it asked for.
        callback: Option<Arc<Call>>,
    },
    /// Nothing was tried, for want of memory or because the call could not be read. It comes again at this time,
    /// and nothing is counted.
    Untried {
        /// When, in milliseconds since the Unix epoch.
        due_ms: u64,
    },
    /// It is gone from the store, which is nobody's doing.
    Gone,
}
