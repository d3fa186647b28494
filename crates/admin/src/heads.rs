//! What a request was sent with besides its body, and what a function answered besides its body.

use serde::{Deserialize, Serialize};

/// The query and the headers that a request was sent with: the answer of [`INPUT_HEAD`](crate::paths::INPUT_HEAD).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RequestHead {
    /// The version of the answer: [`REQUESTS_VERSION`](crate::REQUESTS_VERSION).
    pub version: u32,
    /// The query, without the `?`, as it was sent; empty if there was none.
    pub query: String,
    /// How [`query`](RequestHead::query) differs from what was sent; absent if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_altered: Option<Altered>,
    /// The headers that the code of the flow can read. Those of the connection and of the gateway are not recorded.
    pub headers: Vec<ShownHeader>,
    /// How many other headers there are.
    pub headers_left_out: u64,
}

impl RequestHead {
    /// Whether a secret value is masked in it.
    #[must_use]
    pub fn is_masked(&self) -> bool {
        self.query_altered == Some(Altered::Masked) || has_masked(&self.headers)
    }
}

/// The status and the headers of the answer that made a place fail: the answer of [`ANSWER_HEAD`](crate::paths::ANSWER_HEAD).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct AnswerHead {
    /// The version of the answer: [`REQUESTS_VERSION`](crate::REQUESTS_VERSION).
    pub version: u32,
    /// The status.
    pub status: u16,
    /// The headers; absent if the answer was recorded by an older version of Faasflow, which did not keep them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<Vec<ShownHeader>>,
    /// How many other headers there were.
    pub headers_left_out: u64,
}

impl AnswerHead {
    /// Whether a secret value is masked in it.
    #[must_use]
    pub fn is_masked(&self) -> bool {
        self.headers.as_deref().is_some_and(has_masked)
    }
}

fn has_masked(headers: &[ShownHeader]) -> bool {
    headers.iter().any(|header| header.altered == Some(Altered::Masked))
}

/// A header as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ShownHeader {
    /// Its name, in lower case.
    pub name: String,
    /// Its value.
    pub value: String,
    /// How [`value`](ShownHeader::value) differs from that of the header; absent if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub altered: Option<Altered>,
}

/// How a text that is shown differs from the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Altered {
    /// `[secret]` stands for it, or for what is secret in it.
    Masked,
    /// It is not UTF-8, so `\u{fffd}` stands for some of its bytes.
    NotUtf8,
    /// In a way that only a later version knows.
    #[serde(other)]
    Unknown,
}
