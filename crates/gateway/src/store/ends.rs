//! Tells which requests have ended.

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender, channel};

use super::tables::Scope;

/// How many ends are kept for a reader that is slow.
const MOST: usize = 1_000;

/// What readers are told.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// This request has ended.
    Of(Scope),
    /// The ends of some requests were lost, because the reader was too slow.
    Missed,
}

/// Tells all readers.
pub(super) struct Ended(Sender<Scope>);

/// The ends of requests since this was created.
pub(crate) struct Ends(Receiver<Scope>);

impl Default for Ended {
    fn default() -> Ended {
        Ended(channel(MOST).0)
    }
}

impl Ended {
    pub(super) fn tell(&self, scope: Scope) {
        // It is not an error if nobody reads.
        let _ = self.0.send(scope);
    }

    pub(super) fn read(&self) -> Ends {
        Ends(self.0.subscribe())
    }
}

impl Ends {
    /// The next end; `None` if the store is closed.
    pub(crate) async fn next(&mut self) -> Option<End> {
        match self.0.recv().await {
            Ok(scope) => Some(End::Of(scope)),
            Err(RecvError::Lagged(_)) => Some(End::Missed),
            Err(RecvError::Closed) => None,
        }
    }
}
