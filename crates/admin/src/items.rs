//! The items of a for-each, and single places of a request.

use serde::{Deserialize, Serialize};

use crate::requests::{Members, Place, PlaceStatus};

/// Items or branches of a request, failed ones first: the answer of [`ITEMS`](crate::paths::ITEMS).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RequestItems {
    /// The version of the answer: [`REQUESTS_VERSION`](crate::REQUESTS_VERSION).
    pub version: u32,
    /// The place that began them.
    pub place: String,
    /// How many there are, also of those that are not asked for.
    pub members: Members,
    /// The items or branches of this page: first those that have failed, then those that are retried, in progress, not begun, done,
    /// and stopped.
    pub items: Vec<RequestItem>,
    /// Where the next page begins: the parameter `cursor`. Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// An item of a for-each, or a branch of a graph.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RequestItem {
    /// Its number, from 1.
    pub number: u64,
    /// The name of the branch; absent for an item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The label of the item, if its author has given it one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// How far it is.
    pub status: PlaceStatus,
    /// The place where it is or has ended; if it has not begun, the place where it begins.
    pub place: String,
    /// When its first phase began, in milliseconds since the Unix epoch; absent if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began_ms: Option<u64>,
    /// When it ended, in milliseconds since the Unix epoch; absent before its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done_ms: Option<u64>,
    /// How often the place where it is was delivered.
    pub attempts: u32,
    /// Why it failed, or why its last delivery was given up: the first 200 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The code of that reason, such as `FF0310`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// One place of a request: the answer of [`PLACE`](crate::paths::PLACE).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RequestPlace {
    /// The version of the answer: [`REQUESTS_VERSION`](crate::REQUESTS_VERSION).
    pub version: u32,
    /// The place.
    pub place: Place,
}
