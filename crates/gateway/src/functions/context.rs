use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::container::Containers;
use super::logs::Journal;
use crate::event::Events;
use crate::tokens::Tokens;

/// What all functions of a gateway share.
#[derive(Clone, Debug)]
pub(crate) struct FunctionContext {
    /// The address by which processes reach this gateway.
    pub(crate) gateway: String,
    /// The URL by which processes reach the store of this gateway.
    pub(crate) store: String,
    /// Makes the tokens by which functions use the store.
    pub(crate) tokens: Tokens,
    /// The folder of the secrets.
    pub(crate) secrets: PathBuf,
    /// The memory that each process can expect, in bytes.
    pub(crate) memory: u64,
    pub(crate) containers: Containers,
    pub(crate) events: Events,
    pub(crate) journal: Journal,
    pub(crate) stop: CancellationToken,
}
