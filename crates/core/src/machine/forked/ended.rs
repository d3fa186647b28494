use serde::{Deserialize, Serialize};

/// How a phase or a member ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// It succeeded.
    Done,
    /// It failed.
    Failed,
    /// A handler replied for the whole request.
    Replied,
}
