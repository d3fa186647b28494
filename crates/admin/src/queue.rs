//! The queue and its dead letters.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of the answers in this module. Each answer that is an object names its version, and later versions only add fields, also
/// to the elements of lists.
pub const QUEUE_VERSION: u32 = 1;

/// The state of the queue: the answer of [`QUEUE`](crate::paths::QUEUE).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct QueueStats {
    /// The version of the answer: [`QUEUE_VERSION`].
    pub version: u32,
    /// Calls and callbacks in the queue, in flight or waiting.
    pub depth: u64,
    /// Calls and callbacks in the queue, by function.
    pub functions: BTreeMap<String, u64>,
    /// Deliveries under way.
    pub in_flight: u64,
    /// How long the oldest has been in the queue, in seconds.
    pub oldest_seconds: f64,
    /// Dead letters kept.
    pub dead_letters: u64,
    /// Records in the file that this version cannot read. They stay there.
    pub unreadable: u64,
    /// Calls accepted since the gateway started.
    pub accepted: u64,
    /// Calls dropped since then, because one with the same id was accepted before.
    pub duplicates: u64,
    /// Calls and callbacks answered with 2xx since then.
    pub delivered: u64,
    /// Attempts since then that failed and were scheduled again.
    pub retried: u64,
    /// Calls and callbacks given up since then.
    pub dead: u64,
    /// Dead letters removed since then, because they were too many or too old.
    pub dead_letters_removed: u64,
}

/// A call or callback in the queue: the answer of [`CALLS`](crate::paths::CALLS) is a list of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct QueuedCall {
    /// Its number in the queue.
    pub id: u64,
    /// The id of the invocation.
    pub call_id: String,
    /// The function that it goes to; for a callback, the function whose answer it carries.
    pub function: String,
    /// Whether it is a callback.
    pub callback: bool,
    /// The attempt under way, or the next one, from 1.
    pub attempt: u32,
    /// Whether it is being delivered now.
    pub in_flight: bool,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub accepted_ms: u64,
    /// When the next attempt is due, in milliseconds since the Unix epoch; 0 for at once.
    pub due_ms: u64,
    /// The size of its body, in bytes.
    pub bytes: u64,
}

/// A call or callback that was given up: the answer of [`DEAD_LETTERS`](crate::paths::DEAD_LETTERS) is a list of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct DeadLetterSummary {
    /// Its number, which selects it for redrive and discard.
    pub id: u64,
    /// The id of the invocation.
    pub call_id: String,
    /// The function that it was sent to; for a callback, the function whose answer it carries.
    pub function: String,
    /// Whether it is a callback.
    pub callback: bool,
    /// The id of the request that it belongs to, if the function is a flow: the one that the call names, and otherwise the call id.
    /// Absent if neither is a valid request id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Why it was given up.
    pub reason: String,
    /// The status of the last answer, if there was one.
    pub status: Option<u16>,
    /// How many attempts were made.
    pub attempts: u32,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub accepted_ms: u64,
    /// When it was given up, in milliseconds since the Unix epoch.
    pub died_ms: u64,
    /// The size of its body, in bytes.
    pub bytes: u64,
}

/// A dead letter with its body and the last answer that it got: the answer of [`DEAD_LETTER`](crate::paths::DEAD_LETTER). In
/// JSON, the fields of the summary are on the same level as the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The version of the answer: [`QUEUE_VERSION`].
    pub version: u32,
    /// The summary.
    #[serde(flatten)]
    pub summary: DeadLetterSummary,
    /// Where it was sent: path and query of the function, or the callback URL.
    pub target: String,
    /// Its headers, as pairs of name and value.
    pub headers: Vec<(String, String)>,
    /// Its body. Bytes that are not UTF-8 are replaced.
    pub body: String,
    /// The headers of the last answer.
    pub answer_headers: Vec<(String, String)>,
    /// The body of the last answer, up to 64 KiB. Bytes that are not UTF-8 are replaced.
    pub answer_body: Option<String>,
    /// Whether anything was replaced by `[secret]`.
    pub masked: bool,
}

/// Which dead letters to discard: the body of `DELETE` of [`DEAD_LETTERS`](crate::paths::DEAD_LETTERS).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
// With a misspelt key, an empty selection would remain, which selects all dead letters.
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// Selects these numbers; all if absent.
    #[serde(default)]
    pub ids: Option<Vec<u64>>,
    /// Selects the dead letters of this function; of every function if absent.
    #[serde(default)]
    pub function: Option<String>,
}

/// Which dead letters to put back, and how fast: the body of [`REDRIVE`](crate::paths::REDRIVE).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redrive {
    /// Selects these numbers; all if absent.
    #[serde(default)]
    pub ids: Option<Vec<u64>>,
    /// Selects the dead letters of this function; of every function if absent.
    #[serde(default)]
    pub function: Option<String>,
    /// How many to put back each second; all at once if absent.
    #[serde(default)]
    pub per_second: Option<u32>,
}

/// The answer of [`REDRIVE`](crate::paths::REDRIVE).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Redriven {
    /// The version of the answer: [`QUEUE_VERSION`].
    pub version: u32,
    /// How many dead letters were put back into the queue.
    pub redriven: u64,
}

/// The answer of `DELETE` of [`DEAD_LETTERS`](crate::paths::DEAD_LETTERS).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Discarded {
    /// The version of the answer: [`QUEUE_VERSION`].
    pub version: u32,
    /// How many dead letters were removed.
    pub discarded: u64,
}
