//! The list of a flow's requests.

use serde::{Deserialize, Serialize};

use crate::requests::{PlaceStatus, RequestReason, RequestStatus};

/// Requests of a flow, newest first: the answer of [`REQUESTS`](crate::paths::REQUESTS).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RequestList {
    /// The version of the answer: [`REQUESTS_VERSION`](crate::REQUESTS_VERSION).
    pub version: u32,
    /// The requests of this page. In the answer to a search, a page may have few requests or none although others follow.
    pub requests: Vec<RequestSummary>,
    /// Where the next page begins: the parameter `cursor`. Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A request in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RequestSummary {
    /// The id of the request.
    pub id: String,
    /// Whether it runs, and how it ended.
    pub status: RequestStatus,
    /// When it began, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// What of it matches a search; absent in a list that is not the result of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<Found>,
    /// When anything was last recorded about it, in milliseconds since the Unix epoch. This and the following fields are only in a list
    /// with details. There, it is absent if the record could not be read in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_ms: Option<u64>,
    /// Where it is now; absent if it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<RequestAt>,
    /// Why it failed, was recovered or is parked. Long texts are cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<RequestReason>,
}

/// Where a request is: one of its open places, and how many more there are. Long texts are cut.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RequestAt {
    /// The place. If several are open, one that matches the filter of the list comes first, and then one that is being retried. If the
    /// members of a graph or for-each were not looked at, it is the place that began them, and [`members`](RequestAt::members) is there.
    pub place: String,
    /// The id of its invocation, as in [`Place::call_id`](crate::Place::call_id).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// The branches and items that it is in, as in [`Place::path`](crate::Place::path).
    pub path: Vec<String>,
    /// The label of the item that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The names of its first steps.
    pub steps: Vec<String>,
    /// How far it is.
    pub status: PlaceStatus,
    /// Why its last delivery was given up, if it is being retried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<RequestReason>,
    /// How many other places are open.
    pub more: u64,
    /// How many items or branches the request has after this place, if there are too many to look at each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<u64>,
    /// Whether the request has so many places that only some were looked at. There may be more open places than `more` then.
    pub partial: bool,
}

/// What of a request matches a search.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Found {
    /// Whether it is the id, a search key, a label or a call id.
    pub by: FoundBy,
    /// The whole id, search key, label or call id.
    pub text: String,
    /// The place that the call id belongs to; absent if something else was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

/// What a request can be found by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FoundBy {
    /// Its id.
    #[default]
    Id,
    /// A search key.
    Key,
    /// The label of an item.
    Label,
    /// The call id of a place.
    Call,
    /// Something that only a later version knows.
    #[serde(other)]
    Unknown,
}

impl FoundBy {
    /// The word for it in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            FoundBy::Id => "id",
            FoundBy::Key => "key",
            FoundBy::Label => "label",
            FoundBy::Call => "call",
            FoundBy::Unknown => "unknown",
        }
    }
}
