//! What the driver has to do for a token of a request with branches, and what it answers.

use bytes::Bytes;

use crate::definition::MemberOutcome;
use crate::envelope::{Carried, List};
use crate::graph::{BodyIndex, CompositeIndex, Place};
use crate::machine::{OnOutage, Unfit};
use crate::outcome::Outcome;
use crate::state::Key;

use super::message::Message;
use super::record::Reason;
use super::tally::Verdict;

/// Something to do. Unless it is an answer to the delivery, the driver adds an [`Answer`] to the journal and asks again. If
/// it meets an outage instead, it answers the delivery with "come again" and forgets the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Read a key: [`Answer::Found`].
    Read(Key),
    /// Read keys, in any order: [`Answer::FoundAll`], with a value for each key.
    ReadAll(Vec<Key>),
    /// Write a value unless the key is there: [`Answer::Stands`], or [`Answer::Unknown`].
    Create(Key, Bytes),
    /// Get hold of the input, and execute the steps of the place on it: [`Answer::Ran`].
    Execute(Input),
    /// Ask the failure handler of this body about what has just failed: [`Answer::Resolved`].
    Ask(BodyIndex),
    /// Have a choice made on the output of the steps: [`Answer::Chosen`].
    Choose(CompositeIndex),
    /// Split the output of the steps, and write its chunks: [`Answer::Split`]. `fork` is what the keys of the chunks begin
    /// with, see [`chunk_key`](super::chunk_key).
    Split {
        /// The for-each.
        composite: CompositeIndex,
        /// The place that begins it.
        fork: Place,
    },
    /// Hand these on to the queue, each under the call id of its place: [`Answer::Done`].
    Post(Vec<Message>),
    /// Report the end to the URL that the caller asked for, if any: [`Answer::Done`].
    Report(Outcome, Ending),
    /// Run the finaliser, if there is one: [`Answer::Done`].
    Finally(Outcome, OnOutage),
    /// Remove what the store has of the request, except the keys that [outlive](Key::outlives_request) it:
    /// [`Answer::Done`].
    Forget,
    /// Answer the delivery. There is nothing else to do.
    Reply(Reply),
}

/// What a phase begins with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Input {
    /// This payload.
    Carried(Carried),
    /// The item at this index of the chunk that the key leads to.
    Item {
        /// The key of the chunk.
        chunk: Key,
        /// The item's index in it.
        index: u32,
    },
    /// The outputs of these branches as a JSON object by branch name. Each key leads to a
    /// [`MemberRecord`](super::MemberRecord).
    Branches(Vec<(usize, Key)>),
    /// What became of the members of a graph or for-each, which come together here. If they are complete, the join runs and
    /// then the steps. If they failed, the phase has failed. If the last one has replied, its reply is that of the phase.
    Join {
        /// The graph or for-each.
        composite: CompositeIndex,
        /// What was decided.
        verdict: Verdict,
        /// What became of each member, in order. The key leads to its [`MemberRecord`](super::MemberRecord), if it is done or
        /// failed.
        members: Vec<(MemberOutcome, Key)>,
        /// The member that decided it, if one did.
        decider: Option<u32>,
    },
}

/// What came of an effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Answer {
    /// The value that was read, if the key is there.
    Found(Option<Bytes>),
    /// The values that were read.
    FoundAll(Vec<Option<Bytes>>),
    /// The value that is there now: the one that was to be written, or the one that was there before.
    Stands(Bytes),
    /// The value may have been written or not.
    Unknown,
    /// How the steps ended.
    Ran(Ran),
    /// What the failure handler decided.
    Resolved(Resolved),
    /// The branch that was chosen.
    Chosen(Result<usize, Reason>),
    /// The list that was written, and how many items it has.
    Split(Result<(u32, List), Reason>),
    /// It is done.
    Done,
}

/// How the steps of a phase ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ran {
    /// All succeeded.
    Done(Carried),
    /// One failed and its own failure handler, if it has one, did not recover it. Or the input could not be had, for good.
    Failed(Reason),
    /// A handler of a step replied for the whole request.
    Replied(Carried),
}

/// What a request ends with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// A payload that it made, or that a handler replied.
    Payload(Carried),
    /// A failure that no handler resolved. The driver makes a payload of the reason.
    Failed(Reason),
}

/// What a failure handler decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Resolved {
    /// It goes on behind the body, with this payload.
    Recovered(Carried),
    /// The request ends with this payload.
    Replied(Carried),
    /// Nothing, or it failed itself.
    Declined,
}

/// How a delivery is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// What follows is in safe hands.
    Forwarded,
    /// The request has ended. The ending is `None` if it was removed since, so that the delivery is one too many.
    Ended(Outcome, Option<Ending>),
    /// The result of this branch or item is not needed.
    Dropped,
    /// Nothing is executed, now or later.
    Refused(Unfit),
    /// The request has ended, or was started again in a later generation. Nothing is executed.
    Late,
    /// It must come again: the store does not show yet what was written to it.
    ComeAgain,
}
