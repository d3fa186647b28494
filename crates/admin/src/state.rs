//! The API of the gateway's store, which keeps the state of requests for flows with `state_manager: gateway`.
//!
//! It is for functions, not for people: a request needs the token that the gateway gives to each function, as
//! `Authorization: Bearer TOKEN`, and a function sees only its own values. The page `docs/reference/state-api.md` describes each
//! route.

use serde::{Deserialize, Serialize};

/// The store itself: `GET` answers with [`StateStore`].
pub const STORE: &str = "/state";
/// A value. `GET` reads it, `PUT` writes it, `POST` writes it under a condition, and `DELETE` removes it.
pub const VALUE: &str = "/state/value";
/// Several values: `POST` takes [`StateKeys`]. The answer is binary, see [`ABSENT`].
pub const VALUES: &str = "/state/values";
/// Several new values of a request: `POST` takes keys and values, each after its length like those in the answer of [`VALUES`], and
/// answers with [`StateCreated`].
pub const NEW_VALUES: &str = "/state/values/new";
/// The keys of a request: `GET` answers with [`StateListing`].
pub const KEYS: &str = "/state/keys";
/// A request: `DELETE` removes all of its values, `POST` begins it with a value, and `PUT` changes its status on the list of its flow.
pub const REQUEST: &str = "/state/request";
/// The list of a flow's requests: `GET` answers with [`StateRequests`].
pub const REQUESTS: &str = "/state/requests";
/// One key in several requests: `POST` takes [`StateScopes`]. The answer is binary, see [`ABSENT`].
pub const ACROSS: &str = "/state/across";
/// The ends of a flow's requests: the answer to `GET` goes on, and has a line of JSON for each request that ends: its id as a string, or
/// `null` if the ends of some requests were lost.
pub const WATCH: &str = "/state/watch";

/// The parameter of the query with the name of the flow.
pub const FLOW_PARAMETER: &str = "flow";
/// The parameter with the request id.
pub const REQUEST_PARAMETER: &str = "request";
/// The parameter with the key of a value.
pub const KEY_PARAMETER: &str = "key";
/// The parameter of [`REQUEST`] that says for how many milliseconds values stay: with `DELETE`, those that outlive the request; with `PUT`,
/// all of them and the line on the list.
pub const KEEP_PARAMETER: &str = "keep_ms";
/// The parameter of [`REQUEST`] that says for how many milliseconds more the values that outlive the request stay.
pub const KNOWN_PARAMETER: &str = "known_ms";
/// The parameter with the time at which the request started, in milliseconds since the Unix epoch.
pub const STARTED_PARAMETER: &str = "started_ms";
/// The parameter with the status of a request, such as `running`.
pub const STATUS_PARAMETER: &str = "status";
/// The parameter of [`REQUESTS`] with the earliest time at which a listed request started, in milliseconds since the Unix epoch.
pub const SINCE_PARAMETER: &str = "since_ms";
/// The parameters of [`REQUESTS`] with the last line of the page before: when the request started, and its id.
pub const AFTER_PARAMETERS: [&str; 2] = ["after_ms", "after"];
/// The parameter with the largest number of lines or keys.
pub const LIMIT_PARAMETER: &str = "limit";

/// The most keys in one [`StateKeys`].
pub const MOST_KEYS: usize = 1_000;
/// The most lines in one [`StateRequests`].
pub const MOST_LINES: usize = 1_000;
/// The largest body of [`NEW_VALUES`], in bytes.
pub const LARGEST_NEW_VALUES: usize = 256 << 10;
/// The largest value in a body of [`NEW_VALUES`], in bytes.
pub const LARGEST_NEW_VALUE: usize = 64 << 10;
/// The most answers of [`WATCH`] that one function may read at once.
pub const MOST_WATCHES: usize = 64;
/// The longest key, flow or request id, in bytes.
pub const LONGEST_KEY: usize = 4_096;

/// In the answer of [`VALUES`], each value is preceded by its length in bytes, as 8 bytes with the most significant byte first.
/// This number stands for a key without a value; nothing follows it.
pub const ABSENT: u64 = u64::MAX;

/// The store of a gateway: the answer of [`STORE`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StateStore {
    /// The largest value, in bytes.
    pub max_value: u64,
    /// The longest key, in bytes.
    pub max_key: u64,
    /// The most keys that are read at once.
    pub max_keys: u64,
    /// How long the values of a request are kept after its last write, in milliseconds.
    pub time_to_live_ms: u64,
}

/// The keys of the values to read: the body of [`VALUES`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateKeys {
    /// The keys, in the order in which the values are answered.
    pub keys: Vec<String>,
}

/// How many of several values were created: the answer of [`NEW_VALUES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StateCreated {
    /// The number of values before the first one whose key existed.
    pub created: u64,
}

/// Keys of a request: the answer of [`KEYS`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StateListing {
    /// The keys in their order, those that outlive the request last.
    pub keys: Vec<StateKey>,
    /// Whether there are more. They follow `after=` the last key.
    pub more: bool,
}

/// A key of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StateKey {
    /// The key.
    pub key: String,
    /// The version of its value.
    pub version: String,
    /// The size of its value in bytes.
    pub bytes: u64,
}

/// The requests whose values to read: the body of [`ACROSS`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateScopes {
    /// The requests, in the order in which the values are answered.
    pub requests: Vec<StateScope>,
}

/// A request of a flow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateScope {
    /// The name of the flow.
    pub flow: String,
    /// The request id.
    pub request: String,
}

/// Requests of a flow: the answer of [`REQUESTS`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StateRequests {
    /// The requests, from the newest to the oldest.
    pub requests: Vec<StateRequest>,
    /// Whether there are more. They follow [`AFTER_PARAMETERS`] of the last one.
    pub more: bool,
}

/// A line of the list of requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StateRequest {
    /// The request id.
    pub request: String,
    /// When it started, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// What it is doing, or how it ended, such as `running` or `success`.
    pub status: String,
}
