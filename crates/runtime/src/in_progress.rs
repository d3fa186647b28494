//! Deliveries of the same token, one after the other.
//!
//! A queue that delivers at least once may deliver a token again while the process still executes it. The second delivery
//! waits here, and then finds what the first one has recorded. Otherwise, both would execute the steps and post what follows.
//! This only saves work: processes know nothing of each other's deliveries, and may do the same at the same time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use faasflow_core::graph::Place;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

type Token = (String, Place);
type Turn = tokio::sync::Mutex<()>;

/// The tokens of requests with branches that this process executes, by request and place.
#[derive(Debug, Default)]
pub(crate) struct InProgress(Mutex<HashMap<Token, Arc<Turn>>>);

impl InProgress {
    /// Waits until no other delivery of the token is in progress. `None` if that takes too long.
    pub(crate) async fn alone(&self, request: &str, place: &Place, until: Instant) -> Option<Alone<'_>> {
        let token = (request.to_owned(), place.clone());
        let turn = self.tokens().entry(token.clone()).or_default().clone();
        // It is dropped last, also if waiting takes too long or is cancelled.
        let mut alone = Alone { all: self, token, held: turn.clone().try_lock_owned().ok(), has_waited: false };
        if alone.held.is_none() {
            alone.has_waited = true;
            alone.held = Some(tokio::time::timeout_at(until, turn.lock_owned()).await.ok()?);
        }
        Some(alone)
    }

    fn tokens(&self) -> std::sync::MutexGuard<'_, HashMap<Token, Arc<Turn>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A delivery that is the only one of its token in this process.
#[derive(Debug)]
pub(crate) struct Alone<'a> {
    all: &'a InProgress,
    token: Token,
    held: Option<OwnedMutexGuard<()>>,
    /// Whether another delivery was in progress, which took some of the time that this one has.
    pub(crate) has_waited: bool,
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.held = None;
        let mut tokens = self.all.tokens();
        if tokens.get(&self.token).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            tokens.remove(&self.token);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_delivery_waits_for_the_first() {
        let (all, place) = (InProgress::default(), Place::from(2));
        let first = all.alone("id", &place, soon()).await.unwrap();
        let mut second = std::pin::pin!(all.alone("id", &place, soon()));
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(all.alone("other", &place, soon()).await.is_some());
        assert!(all.alone("id", &Place::from(3), soon()).await.is_some());
        assert!(!first.has_waited);
        drop(first);
        assert!(second.await.unwrap().has_waited);
        assert!(all.tokens().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_delivery_does_not_wait_for_ever() {
        let (all, place) = (InProgress::default(), Place::from(2));
        let first = all.alone("id", &place, soon()).await;
        assert!(all.alone("id", &place, soon()).await.is_none());
        drop(first);
        assert!(all.tokens().is_empty());
    }
}
