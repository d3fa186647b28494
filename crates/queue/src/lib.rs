//! The queue behind asynchronous calls.
//!
//! [`Queue`] is the policy: how often a call is tried and after which delays, what an answer means, when a call becomes a dead
//! letter, and what a callback contains. A [`Store`] keeps the calls and says which one is next. [`RedbStore`] keeps them in a file,
//! for one machine. [`MemoryStore`] keeps them in memory, for tests. The feature `conformance` has tests that every store must pass.

mod call;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod deliver;
mod error;
mod letter;
mod memory;
mod policy;
mod queue;
#[cfg(feature = "redb")]
mod redb;
mod stats;
mod store;

/// Opens the file of a redb database safely, for the local gateway's store.
#[cfg(feature = "redb")]
pub mod database {
    pub use crate::redb::{DatabaseFileError, LockedDatabase, META, reopen};
}

#[cfg(test)]
mod tests;

pub use call::{Accepted, Call, NAMESPACE, NewCall, Target, bare_name};
pub use deliver::{Answer, Deliver, Delivery, Unreachable};
pub use error::{QueueError, QueueFileError, is_full};
pub use letter::{DeadLetter, DeadLetterSummary, Letter, LetterFilter, Selection};
pub use memory::MemoryStore;
pub use policy::options::QueueOptions;
pub use queue::Queue;
pub use queue::run::READ_COPIES;
#[cfg(feature = "redb")]
pub use redb::RedbStore;
pub use stats::{QueueStats, QueuedCall, Totals};
pub use store::{Claim, Conclusion, Store};
