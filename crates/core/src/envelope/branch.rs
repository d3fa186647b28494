//! What an envelope of version 2 says besides: where its payload comes from, and the joins ahead of it.

use serde::{Deserialize, Serialize};

use crate::definition::Policy;

/// What a token of a request with branches carries besides its place and payload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Branching {
    /// Where its input comes from.
    pub origin: Origin,
    /// The joins ahead of it: one for each element of the path of its place, from the outermost to the innermost.
    pub joins: Vec<Terms>,
}

/// Where the input of a token comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The token carries it.
    #[default]
    Token,
    /// It is an item of the list that the for-each has split.
    Item,
    /// It is made of the outputs of the branches that this branch comes after.
    Branches,
    /// Members of a graph or for-each come together.
    Join {
        /// The terms of the join.
        terms: Terms,
        /// The entry that decided it; `None` if it was decided before any member ended, as that of an empty list is.
        entry: Option<u32>,
    },
}

/// What was fixed about a graph or for-each before its first member began. A later deployment may say otherwise, but not for
/// requests that are in the middle of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Terms {
    /// How many branches or items it has.
    pub members: u32,
    /// When it is complete.
    pub policy: Policy,
    /// How many items are in flight at once; of a graph, all of its branches.
    pub at_most: u32,
    /// Where the items are; `None` for a graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<List>,
    /// How many members are known to have ended. It tells where to look for the end of the join's entries.
    #[serde(default)]
    pub seen: u32,
    /// When the member that carries these terms has to have ended, in milliseconds since the Unix epoch; `None` if its time
    /// is not limited. Drivers set it when they post the first token of a member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_ms: Option<u64>,
}

/// A list of items in the state manager, in chunks. A member reads the chunk that its item is in, and no other.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct List {
    /// The hash of all chunks, as hexadecimal digits. The keys of the chunks have it, so that a list which is split again, and
    /// in another way, does not replace this one.
    pub sha256: String,
    /// How many items a chunk has, except the last.
    pub per_chunk: u32,
}
