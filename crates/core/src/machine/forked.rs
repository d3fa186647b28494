//! Decides what to do next for a token of a request with branches. Such a request has several tokens at once, which share a
//! store.
//!
//! ```text
//! arrived ─▶ over? decided? recorded? ─▶ execute ─▶ record ─┬─▶ post the next phase
//!                                                          ├─▶ post the first members       (fork)
//!                                                          ├─▶ create an entry of the join ─┬─▶ post the next member
//!                                                          │                                └─▶ post the join
//!                                                          └─▶ report, finally, forget       (end)
//! ```
//!
//! The machine uses only two operations of the store: reading a key, and creating a key that does not exist. Values that it has
//! written never change. So any delivery may be repeated at any time, even by several processes at once: it finds the existing
//! values and continues from there. `state/layout.rs` lists the keys.
//!
//! The driver calls [`proceed`] repeatedly with a growing [`Journal`]. Code that runs from the beginning each time is harder to
//! get wrong than a state machine with a state for each point at which a delivery can be interrupted.

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

/// The key of a chunk of a list that a for-each has split. Chunks are counted from 0. `fork` is the place that begins the
/// for-each, and `sha256` the hash of all chunks.
#[must_use]
pub fn chunk_key(fork: &Place, sha256: &str, chunk: u32) -> Key {
    layout::chunk(fork, sha256, chunk)
}
