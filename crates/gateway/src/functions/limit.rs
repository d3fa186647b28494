//! Limits how many requests a function handles at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use faasflow_core::{counted, duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::stack::{MAX_INFLIGHT, max_inflight};

/// How many processes of one command run at once if `max_inflight` is not set.
const PROCESSES: usize = 64;
/// How long the queue waits for a place. It waits with at most as many calls as there are places, and waiting calls go before
/// callers that do not wait. So a call gets its turn as soon as a place is free.
pub(crate) const QUEUE_WAITS: Duration = Duration::from_secs(1);

/// The limits of one function.
#[derive(Debug)]
pub(crate) struct Limits {
    requests: Option<Places>,
    processes: Places,
    /// How long its program may take to begin an answer, if that is limited.
    pub(crate) exec_timeout: Option<Duration>,
}

/// A limit, and the places that are free.
#[derive(Debug)]
struct Places {
    most: usize,
    free: Arc<Semaphore>,
}

/// A place within a limit. Dropping it frees the place.
pub(crate) type Permit = OwnedSemaphorePermit;

/// A limit that keeps a function from taking a request.
#[derive(Debug)]
pub(crate) enum Busy {
    /// `max_inflight` requests are in flight.
    Requests(usize),
    /// This many processes run, and none of them ended within this time.
    Processes(usize, Duration),
}

impl Limits {
    /// Reads the limits from an environment. A value that cannot be parsed sets no limit.
    pub(crate) fn new(environment: &BTreeMap<String, String>) -> Limits {
        let most = max_inflight(environment).ok().flatten();
        let exec_timeout = environment.get("exec_timeout").and_then(|text| duration::parse(text).ok());
        Limits {
            requests: most.map(Places::new),
            processes: Places::new(most.unwrap_or(PROCESSES)),
            exec_timeout: exec_timeout.filter(|limit| !limit.is_zero()),
        }
    }

    /// How many requests may be in flight, if that is limited.
    pub(crate) fn requests(&self) -> Option<usize> {
        Some(self.requests.as_ref()?.most)
    }

    /// Takes a place for a request. Returns `None` if their number is not limited.
    ///
    /// # Errors
    ///
    /// If none is free within `patience`.
    pub(crate) async fn request(&self, patience: Duration) -> Result<Option<Permit>, Busy> {
        let Some(places) = &self.requests else { return Ok(None) };
        places.take(patience).await.map(Some).ok_or(Busy::Requests(places.most))
    }

    /// Takes a place for a process of a command.
    ///
    /// # Errors
    ///
    /// If none is free within `patience`.
    pub(crate) async fn process(&self, patience: Duration) -> Result<Permit, Busy> {
        let busy = Busy::Processes(self.processes.most, patience);
        self.processes.take(patience).await.ok_or(busy)
    }
}

impl Places {
    fn new(most: usize) -> Places {
        let most = most.min(Semaphore::MAX_PERMITS);
        Places { most, free: Arc::new(Semaphore::new(most)) }
    }

    async fn take(&self, patience: Duration) -> Option<Permit> {
        match self.free.clone().try_acquire_owned() {
            Ok(place) => Some(place),
            Err(_) if patience.is_zero() => None,
            Err(_) => tokio::time::timeout(patience, self.free.clone().acquire_owned()).await.ok()?.ok(),
        }
    }
}

impl Busy {
    /// The reason, for the log.
    pub(crate) fn reason(&self) -> String {
        match self {
            Busy::Requests(most) => {
                let requests = counted(*most as u64, "request");
                format!("it handles {requests}, as many as its `{MAX_INFLIGHT}` allows")
            }
            Busy::Processes(most, waited) => format!(
                "no more than {most} of its processes may run at once, and none ended within {waited:?}; \
                 `{MAX_INFLIGHT}` sets another limit"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn h8_waiting_requests_go_first() {
        let limits = Limits::new(&[("max_inflight".to_owned(), "1".to_owned())].into());
        let first = limits.request(Duration::ZERO).await.unwrap();
        assert!(matches!(limits.request(Duration::ZERO).await, Err(Busy::Requests(1))));
        let mut waiting = Box::pin(limits.request(QUEUE_WAITS));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(first);
        assert!(limits.request(Duration::ZERO).await.is_err(), "the place is for the one who waits");
        drop(waiting.await.unwrap());
        assert!(limits.request(Duration::ZERO).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn h7_each_command_has_separate_places() {
        let (one, other) = (Limits::new(&BTreeMap::new()), Limits::new(&BTreeMap::new()));
        let mut places = Vec::new();
        for _ in 0..PROCESSES {
            places.push(one.process(Duration::ZERO).await.unwrap());
        }
        let busy = one.process(Duration::from_secs(3)).await.unwrap_err().reason();
        assert!(
            busy.contains("64 of its processes") && busy.contains("3s") && busy.contains("`max_inflight`"),
            "{busy}"
        );
        assert!(other.process(Duration::ZERO).await.is_ok());
        assert!(one.request(Duration::ZERO).await.unwrap().is_none(), "requests that wait are not refused");
    }
}
