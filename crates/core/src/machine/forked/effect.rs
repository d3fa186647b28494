//! The effects that the driver performs for a token of a request with branches, and their answers.

use bytes::Bytes;

use crate::definition::MemberOutcome;
use crate::envelope::{Carried, List};
use crate::graph::{BodyIndex, CompositeIndex, Place};
use crate::machine::{OnOutage, Unfit};
use crate::outcome::Outcome;
use crate::state::Key;

use super::entry::Entrant;
use super::message::Message;
use super::record::Reason;
use super::tally::Verdict;
use super::times::Times;

/// An effect that the driver performs. After each effect except [`Reply`](Effect::Reply), the driver adds an [`Answer`] to the
/// journal and asks again. If an outage prevents the effect, the driver discards the journal and has the delivery come again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Read a key: [`Answer::Found`].
    Read(Key),
    /// Read several keys: [`Answer::FoundAll`], with a value for each key.
    ReadAll(Vec<Key>),
    /// Write a value unless the key exists: [`Answer::Stands`] or [`Answer::Unknown`].
    Create(Key, Bytes),
    /// How many entries the join of this fork has at least, as far as the driver knows without asking the store: [`Answer::Entries`].
    /// If the driver says that there are none, the member tries to create the first one without a look. A member asks this shortly
    /// before it [enters](Effect::Enter), so the driver can have it wait for others.
    CountEntries(Place),
    /// Create this [entry](Entrant::entry) unless its key exists: [`Answer::Stands`] or [`Answer::Unknown`]. Members of the same
    /// join that enter at the same moment can share one.
    Enter(Box<Entrant>),
    /// Fetch the input, and execute the steps of the phase on it: [`Answer::Ran`].
    Execute(Input),
    /// Ask the failure handler of this body about the latest failure: [`Answer::Resolved`].
    Ask(BodyIndex),
    /// Choose a branch for the output of the steps: [`Answer::Chosen`].
    Choose(CompositeIndex),
    /// Split the output of the steps, and write the chunks under their [keys](super::chunk_key): [`Answer::Split`].
    Split {
        /// The for-each.
        composite: CompositeIndex,
        /// The place that begins it.
        fork: Place,
    },
    /// Post these tokens to the queue, each with the call id of its place: [`Answer::Done`].
    Post(Vec<Message>),
    /// Report the end to the caller's callback URL, if there is one: [`Answer::Done`].
    Report(Outcome, Ending),
    /// Run the finaliser, if there is one: [`Answer::Done`].
    Finally(Outcome, OnOutage),
    /// Remove the request's keys from the store, except those that [outlive](Key::outlives_request) it: [`Answer::Done`].
    Forget,
    /// Keep the request's keys for as long as it is remembered, and list it with this outcome: [`Answer::Done`].
    Retire(Outcome),
    /// Answer the delivery. No effect follows.
    Reply(Reply),
}

/// The input of a phase.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Input {
    /// This payload.
    Carried(Carried),
    /// An item of a list.
    Item {
        /// The key of the chunk that contains it.
        chunk: Key,
        /// Its index in the chunk.
        index: u32,
    },
    /// The outputs of these branches, as a JSON object with their names as keys. The value of each store key is a
    /// [`MemberRecord`](super::MemberRecord).
    Branches(Vec<(usize, Key)>),
    /// The outcomes of the members of a graph or for-each that is joined here. The verdict determines how the phase continues:
    /// if the composite is complete, the join runs and then the steps. If it failed, so does the phase. If a member replied,
    /// the phase replies the same.
    Join {
        /// The graph or for-each.
        composite: CompositeIndex,
        /// The verdict on it.
        verdict: Verdict,
        /// The outcome of each member, in order. If the member is done or failed, the key's value is its
        /// [`MemberRecord`](super::MemberRecord).
        members: Vec<(MemberOutcome, Key)>,
        /// The values of those keys, in the same order, as far as they were read when the token arrived. Others have to be read.
        known: Vec<Option<Bytes>>,
        /// The member that decided the join; `None` if it was decided before any member began.
        decider: Option<u32>,
    },
}

/// The result of an effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Answer {
    /// The value of the key; `None` if the key does not exist.
    Found(Option<Bytes>),
    /// The values of the keys, in their order.
    FoundAll(Vec<Option<Bytes>>),
    /// The value that the key has now: the new one, or the one that existed before.
    Stands(Bytes),
    /// It is not known whether the value was written.
    Unknown,
    /// The number of entries that are known to exist. There may be more. `None` if the member has to look.
    Entries(Option<u32>),
    /// How the steps ended.
    Ran(Ran, Times),
    /// What the failure handler decided.
    Resolved(Resolved),
    /// The branch that was chosen.
    Chosen(Result<usize, Reason>),
    /// The number of items, and the list that was written. The machine adds its generation.
    Split(Result<(u32, List), Reason>),
    /// The effect was performed.
    Done,
}

/// How the steps of a phase ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ran {
    /// All succeeded.
    Done(Carried),
    /// A step failed, and its own failure handler, if it has one, did not recover it. Or the input is permanently unavailable.
    Failed(Reason),
    /// A handler of a step or of a member replied for the whole request, to a failure with this reason, if it is known.
    Replied(Carried, Option<Reason>),
}

/// The result of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The output of its last phase, or the reply of a handler.
    Payload(Carried),
    /// A failure that no handler resolved. The driver converts the reason into a payload.
    Failed(Reason),
}

/// What a failure handler decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Resolved {
    /// The request continues after the body, with this payload.
    Recovered(Carried),
    /// The request ends with this payload.
    Replied(Carried),
    /// The handler decided nothing, or failed itself.
    Declined,
}

/// How a delivery is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// Everything that follows has been posted.
    Forwarded,
    /// The request has ended. The ending is `None` if a previous delivery ended the request and removed its data.
    Ended(Outcome, Option<Ending>),
    /// The result of this branch or item is not needed.
    Dropped,
    /// The request is paused, so the phase does not begin. When the request is resumed, the token is posted again.
    Paused,
    /// The token does not fit the flow. It is never executed.
    Refused(Unfit),
    /// The request has ended, or was started again in a later generation. Nothing is executed.
    Late,
    /// It must come again: the store does not show a value yet that must be there, or shows one that the machine cannot have
    /// written.
    ComeAgain,
}
