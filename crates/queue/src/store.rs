//! The trait of stores, which keep calls.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use faasflow_core::handler::BoxFuture;

use crate::call::{Accepted, Call};
use crate::error::QueueError;
use crate::letter::Letter;
use crate::policy::schedule::Entry;
use crate::stats::{QueueStats, QueuedCall};

/// Keeps calls until they are delivered.
///
/// Several processes may share a store, each with its own [`Queue`](crate::Queue). If one of them has claimed a call, no other one
/// gets it until the claim is concluded, or until its lease has passed without [`extend`](Store::extend). So a call is delivered at
/// least once.
///
/// The queue decides what an answer means, how long to wait, and what a callback contains. It passes the decision to
/// [`conclude`](Store::conclude), which carries out all of it or nothing. `conformance::check` (feature `conformance`) tests that a
/// store follows these rules.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Accepts a call. After this returns, the call survives everything that the store is meant to survive. If the future is dropped,
    /// the call is in the store or it is not, but it is never there in part.
    ///
    /// A call is a duplicate if one with the same [`duplicate_key`](Call::duplicate_key) was accepted within the window, or is
    /// being written.
    ///
    /// # Errors
    ///
    /// If the call is not in the store, and will not be.
    fn accept(&self, call: Arc<Call>) -> BoxFuture<'_, Result<Accepted, QueueError>>;

    /// Waits for the next call that is due and may be delivered, and claims it.
    ///
    /// Lanes ([`Call::lane`]) take turns. Within a lane, calls come in the order of acceptance; calls that are tried again come
    /// when they are due. A lane with `most` claims of this process is skipped. If the future is dropped, nothing is claimed.
    ///
    /// # Errors
    ///
    /// If the store is closed. It waits while an error is temporary.
    fn claim<'a>(&'a self, most: &'a (dyn Fn(&str) -> usize + Send + Sync))
    -> BoxFuture<'a, Result<Claim, QueueError>>;

    /// The call of a claim; `None` if it is gone, which cannot happen if all programs use the store through this trait.
    ///
    /// # Errors
    ///
    /// If it cannot be read now.
    fn fetch<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<Option<Arc<Call>>, QueueError>>;

    /// Extends a claim by another lease. The queue calls this until the delivery has ended.
    ///
    /// # Errors
    ///
    /// If the claim is lost, or the store cannot be reached.
    fn extend<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<(), QueueError>> {
        let _ = claim;
        Box::pin(std::future::ready(Ok(())))
    }

    /// Ends a claim. If a crash loses the conclusion, the call is only delivered once more. So the conclusion need not be on disk
    /// when this returns, but the order must be kept, and a conclusion is never carried out in part.
    ///
    /// # Errors
    ///
    /// If nothing is known to be carried out. The claim then ends with its lease.
    fn conclude(&self, claim: Claim, conclusion: Conclusion) -> BoxFuture<'_, Result<(), QueueError>>;

    /// The state of the store, as this process sees it.
    ///
    /// # Errors
    ///
    /// If that cannot be found out now.
    fn stats(&self) -> BoxFuture<'_, Result<QueueStats, QueueError>>;

    /// The first `limit` calls and callbacks, in the order of acceptance.
    ///
    /// # Errors
    ///
    /// If they cannot be read now.
    fn list(&self, limit: usize) -> BoxFuture<'_, Result<Vec<QueuedCall>, QueueError>>;

    /// The records that cannot be read, with their numbers and what is wrong with them. They stay in the store.
    ///
    /// # Errors
    ///
    /// If that cannot be found out now.
    fn unreadable(&self) -> BoxFuture<'_, Result<Vec<(u64, String)>, QueueError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// The numbers of the dead letters, oldest first. All earlier conclusions are taken into account.
    ///
    /// # Errors
    ///
    /// If they cannot be read now.
    fn letters(&self) -> BoxFuture<'_, Result<Vec<u64>, QueueError>>;

    /// One dead letter; `None` if there is none with this number.
    ///
    /// # Errors
    ///
    /// If it cannot be read now.
    fn letter(&self, id: u64) -> BoxFuture<'_, Result<Option<Letter>, QueueError>>;

    /// Turns a dead letter back into a call with the same number and no attempts, due at `due_ms` (milliseconds since the Unix
    /// epoch). At every moment it is exactly one of the two. Returns `false` if there is no such letter. If two programs do this at
    /// once, one of them gets `true`.
    ///
    /// # Errors
    ///
    /// If it stays a dead letter.
    fn revive(&self, id: u64, due_ms: u64) -> BoxFuture<'_, Result<bool, QueueError>>;

    /// Removes dead letters for good. Returns how many were removed.
    ///
    /// # Errors
    ///
    /// If none was removed.
    fn discard(&self, ids: Vec<u64>) -> BoxFuture<'_, Result<u64, QueueError>>;

    /// Writes what is pending and closes the store. Later operations fail with [`QueueError::Closed`].
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// The right to deliver a call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Claim {
    /// The call's number in the store.
    pub id: u64,
    /// Its lane.
    pub lane: Arc<str>,
    /// The number of the next attempt, from 1.
    pub attempt: u32,
    /// How many times in a row the call was put off, as far as this process knows.
    pub put_off: u32,
    /// The size of its body, in bytes.
    pub bytes: usize,
    /// The call, if the store has it in memory.
    pub call: Option<Arc<Call>>,
    /// How long the claim holds without [`extend`](Store::extend); forever if `None`.
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

/// What happens to a call after an attempt.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Conclusion {
    /// It was delivered, and is removed.
    Delivered {
        /// The callback that it asked for. It is accepted in the same step, and is never a duplicate.
        callback: Option<Arc<Call>>,
    },
    /// It is tried again.
    Again {
        /// When, in milliseconds since the Unix epoch.
        due_ms: u64,
        /// Whether the attempt counts. It does not if the call was put off.
        counts: bool,
    },
    /// It is given up. A dead letter takes its place, and a call with its id may be accepted again. The store removes the oldest
    /// letters when they are too old or too many.
    Dead {
        /// The letter.
        letter: Box<Letter>,
        /// The callback that it asked for.
        callback: Option<Arc<Call>>,
    },
    /// There was no attempt, because there was too little memory or the call could not be read. The call comes again, and nothing is
    /// counted.
    Untried {
        /// When, in milliseconds since the Unix epoch.
        due_ms: u64,
    },
    /// The call is gone from the store, although no program should have removed it.
    Gone,
}
