//! The queue behind asynchronous calls.
//!
//! [`Queue`] has the policy: how often a call is tried and with which waits, what an answer means, what becomes a dead
//! letter, and what a callback carries. A [`Store`] keeps the calls and says which is next. There is one in a file
//! ([`RedbStore`], for one machine) and one in memory ([`MemoryStore`], for tests); `conformance` (a feature) holds
//! every store to the same rules.

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

#[cfg(test)]
mod tests;

pub use call::{Accepted, Call, NAMESPACE, NewCall, Target, bare_name};
pub use deliver::{Answer, Deliver, Delivery, Unreachable};
pub use error::{QueueError, is_full};
pub use faasflow_http::now_ms;
pub use letter::{DeadLetter, DeadLetterSummary, Letter, Selection};
pub use memory::MemoryStore;
pub use policy::options::QueueOptions;
pub use queue::Queue;
pub use queue::run::READ_COPIES;
#[cfg(feature = "redb")]
pub use redb::RedbStore;
pub use stats::{QueueStats, QueuedCall, Totals};
pub use store::{Claim, Conclusion, Store};
