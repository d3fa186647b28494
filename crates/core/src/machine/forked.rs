//! Decides about requests with branches, which have several tokens at once, and share a store.
//!
//! ```text
//! arrived ─▶ over? decided? recorded? ─▶ execute ─▶ record ─┬─▶ post the next phase
//!                                                          ├─▶ post the first members       (fork)
//!                                                          ├─▶ become an entry of the join ─┬─▶ post the next member
//!                                                          │                                └─▶ post the join
//!                                                          └─▶ report, finally, forget      (end)
//! ```
//!
//! The store is asked for two things only: to read a key, and to create one that is not there. Nothing that the machine has
//! written ever changes, so any delivery may be repeated at any time, by any number of processes at once: it finds what was
//! written and goes on from there. `state/layout.rs` lists the keys.
//!
//! [`proceed`] is asked again and again with a growing [`Journal`]. Code that comes back to where it was is harder to get wrong
//! than a state for each point at which it can be interrupted.

mod effect;
mod ended;
mod flaw;
mod join;
mod journal;
mod message;
mod proceed;
mod record;
mod tally;

pub use effect::{Answer, Effect, Ending, Input, Ran, Reply, Resolved};
pub use ended::Ended;
#[doc(hidden)]
pub use flaw::Flaw;
pub use journal::Journal;
pub use message::Message;
pub use proceed::proceed;
#[doc(hidden)]
pub use proceed::proceed_with;
pub use record::{MemberRecord, Reason};
pub use tally::Verdict;

use crate::graph::Place;
use crate::state::{Key, layout};

/// The key of a chunk of a list that a for-each has split, counted from 0. `fork` is the place that begins the for-each, and
/// `sha256` the hash of all chunks.
#[must_use]
pub fn chunk_key(fork: &Place, sha256: &str, chunk: u32) -> Key {
    layout::chunk(fork, sha256, chunk)
}
