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
/// The keys of a request: `GET` answers with [`StateListing`].
pub const KEYS: &str = "/state/keys";
/// All values of a request: `DELETE` removes them.
pub const REQUEST: &str = "/state/request";

/// The parameter of the query with the name of the flow.
pub const FLOW_PARAMETER: &str = "flow";
/// The parameter with the request id.
pub const REQUEST_PARAMETER: &str = "request";
/// The parameter with the key of a value.
pub const KEY_PARAMETER: &str = "key";
/// The parameter of [`REQUEST`] that says for how many milliseconds the values that outlive the request stay.
pub const KEEP_PARAMETER: &str = "keep_ms";

/// The most keys in one [`StateKeys`].
pub const MOST_KEYS: usize = 1_000;
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
