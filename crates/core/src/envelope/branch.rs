//! The additional contents of an envelope of version 2: where its payload comes from, and the joins ahead of it.

use serde::{Deserialize, Serialize};

use crate::definition::Policy;
use crate::unset::is_unset;

/// The part of a token that only requests with branches have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Branching {
    /// Where its input comes from.
    pub origin: Origin,
    /// The joins ahead of it, one for each element of its place's path, from the outermost to the innermost.
    pub joins: Vec<Terms>,
}

impl Branching {
    /// The labels of the items that the token is in, from the outermost to the innermost.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.joins.iter().filter_map(|terms| terms.label.as_deref())
    }
}

/// Where the input of a token comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The token carries it.
    #[default]
    Token,
    /// It is an item of the for-each's list.
    Item,
    /// It consists of the outputs of the branches that this branch comes after.
    Branches,
    /// It consists of the results of the members of a graph or for-each, which are joined.
    Join {
        /// The terms of the join.
        terms: Terms,
        /// The entry that decided it; `None` if it was decided before any member ended, for example for an empty list.
        entry: Option<u32>,
    },
}

/// The properties of a graph or for-each that were fixed before its first member began. A later deployment may change them, but
/// not for requests that are already inside the graph or for-each.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Terms {
    /// How many branches or items it has.
    pub members: u32,
    /// When it is complete.
    pub policy: Policy,
    /// How many members may be in flight at once. For a graph, this is the number of branches.
    pub at_most: u32,
    /// Where the items are; `None` for a graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<List>,
    /// The number of members that are known to have ended. The search for the last entry of the join begins there.
    #[serde(default)]
    pub seen: u32,
    /// The deadline of the member that carries these terms, in milliseconds since the Unix epoch; `None` if its time is not
    /// limited. Drivers set it when they post the first token of a member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_ms: Option<u64>,
    /// The label of the item that carries these terms, if it has one. Drivers set it when they post the first token of an item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// A list of items in the state manager, in chunks. A member reads only the chunk that contains its item.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct List {
    /// The hash of all chunks, as hexadecimal digits. It is part of the chunks' keys. So if the list is split again with
    /// another result, the new chunks do not replace these.
    pub sha256: String,
    /// The number of items in each chunk except the last.
    pub per_chunk: u32,
    /// The generation of the request in which the list was split.
    #[serde(default, skip_serializing_if = "is_unset")]
    pub generation: u32,
    /// How many labels are in each chunk of labels except the last; 0 if the items have no labels.
    #[serde(default, skip_serializing_if = "is_unset")]
    pub labels_per_chunk: u32,
}
