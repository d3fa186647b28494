//! Decides what to do next for a token of a request with branches. Such a request has several tokens at once, which share a
//! store.
//!
//! ```text
//! arrived ─▶ over? decided? recorded? ─▶ execute ─▶ record ─┬─▶ post the next phase
//!                                                          ├─▶ post the first members       (fork)
//!                                                          ├─▶ enter the join ─┬─▶ post the next member
//!                                                          │                   └─▶ post the join
//!                                                          └─▶ report, finally, forget       (end)
//! ```
//!
//! The machine uses only two operations of the store: reading a key, and creating a key that does not exist. Values that it has
//! written never change. So any delivery may be repeated at any time, even by several processes at once: it finds the existing
//! values and continues from there. `state/layout.rs` lists the keys.
//!
//! The driver calls [`proceed`] repeatedly with a growing [`Journal`]. Code that runs from the beginning each time is harder to
//! get wrong than a state machine with a state for each point at which a delivery can be interrupted.

mod ahead;
mod begun;
mod control;
mod effect;
mod ended;
mod entry;
mod failed_answer;
mod find;
mod flaw;
mod generations;
mod join;
mod journal;
mod labels;
mod member_list;
mod message;
mod one_place;
mod parked;
mod proceed;
mod progress;
mod record;
mod steps;
mod stop;
mod survey;
mod tally;
mod times;
mod tried;

pub use ahead::{Ahead, WaitsFor, ahead};
pub use begun::Begun;
pub use control::{Control, Redrive, Unposted};
pub use effect::{Answer, Effect, Ending, Input, Ran, Reply, Resolved};
pub use ended::Ended;
pub use entry::Entrant;
#[doc(hidden)]
pub use entry::members_of_entry;
pub use failed_answer::{AnswerSummary, FailedAnswer};
pub use find::{Find, find};
#[doc(hidden)]
pub use flaw::Flaw;
pub use generations::{EarlierPlace, earlier_places};
pub use journal::Journal;
pub use labels::{LABELS_PER_CHUNK, decode_labels, encode_labels};
pub use member_list::{MemberList, MemberPage, MemberProgress, MemberQuery, MemberStatus, list_members};
pub use message::Message;
pub use one_place::{OnePlace, one_place};
pub use parked::Parked;
pub use proceed::proceed;
#[doc(hidden)]
pub use proceed::proceed_with;
pub use progress::{End, FAILED, Output, PlaceProgress, Progress, Standing};
pub use record::{MemberRecord, Reason};
pub use steps::{CallTimes, StepTimes, Steps};
pub use stop::{begun_anew, stop};
pub use survey::{Survey, survey, survey_so_far, survey_within};
pub use tally::{Members, Verdict};
pub use times::Times;
pub use tried::{Attempt, Tried};

use bytes::Bytes;

use crate::graph::Place;
use crate::outcome::Outcome;
use crate::state::{Key, layout};

/// How a generation of a request ended: its outcome, and the key of the [`MemberRecord`] that it ended with, if there is one. The
/// argument is the value of [`over_key`]; `None` if the machine did not write it, or if the generation has no end because the request
/// [began anew](begun_anew).
#[must_use]
pub fn end_of(over: &Bytes) -> Option<(Outcome, Option<String>)> {
    let over = record::decode(over).filter(|over: &record::Over| over.by != stop::ANEW)?;
    Some((over.outcome(), over.record))
}

/// When a generation of a request ended, in milliseconds since the Unix epoch. The argument is the value of [`over_key`]; `None` if the
/// machine did not write it, or if the time is not recorded.
#[must_use]
pub fn ended_ms(over: &Bytes) -> Option<u64> {
    record::decode::<record::Over>(over).map(|over| over.at_ms).filter(|at_ms| *at_ms > 0)
}

/// The key of the record of the phase at a place that is not the last phase of a branch or item.
#[must_use]
pub fn result_key(place: &Place) -> Key {
    layout::result(place)
}

/// The key that exists when what follows the phase at a place was posted.
#[must_use]
pub fn posted_key(place: &Place) -> Key {
    layout::posted(place)
}

/// The key that exists when a generation of a request is over.
#[must_use]
pub fn over_key(generation: u32) -> Key {
    layout::over(generation)
}

/// The key of a chunk of a list that a for-each has split. Chunks are counted from 0. `fork` is the place that begins the
/// for-each, and `sha256` the hash of all chunks.
#[must_use]
pub fn chunk_key(fork: &Place, sha256: &str, chunk: u32) -> Key {
    layout::chunk(fork, sha256, chunk)
}

/// The key of a value with labels of the items of such a list. The values are counted from 0.
#[must_use]
pub fn labels_key(fork: &Place, sha256: &str, chunk: u32) -> Key {
    layout::labels(fork, sha256, chunk)
}
