use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::container::Containers;
use super::logs::Journal;
use crate::event::Events;

/// What all functions are made with.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    /// The address of this gateway, as functions reach it.
    pub(crate) gateway: String,
    /// The folder of the secrets.
    pub(crate) secrets: PathBuf,
    /// The memory that each process may count on, in bytes.
    pub(crate) memory: u64,
    pub(crate) containers: Containers,
    pub(crate) events: Events,
    pub(crate) journal: Journal,
    pub(crate) stop: CancellationToken,
}
