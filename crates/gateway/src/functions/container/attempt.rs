//! An attempt that several tasks need at once, and one of them makes.

use tokio::sync::Mutex;
use tokio::time::Instant;

/// An attempt that one task makes while others wait for its outcome.
#[derive(Debug)]
pub(super) struct Attempt<E>(Mutex<Option<(Instant, E)>>);

impl<E> Default for Attempt<E> {
    fn default() -> Attempt<E> {
        Attempt(Mutex::new(None))
    }
}

impl<E: Clone> Attempt<E> {
    /// Does the work, unless another task failed at it while this one waited. Then this one returns the same error.
    ///
    /// Without this, the waiting tasks would fail one after the other, and the last one only after a long time. The work
    /// should begin with a check whether it has been done in the meantime.
    pub(super) async fn share<T>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let came = Instant::now();
        let mut failed = self.0.lock().await;
        if let Some((when, why)) = &*failed
            && *when >= came
        {
            return Err(why.clone());
        }
        let outcome = work.await;
        *failed = outcome.as_ref().err().map(|why| (Instant::now(), why.clone()));
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_tasks_share_the_failure_and_later_ones_try_again() {
        let (attempt, tries) = (Attempt::<String>::default(), AtomicUsize::new(0));
        let work = async || {
            tries.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(5)).await;
            Err::<(), _>("no engine".to_owned())
        };
        let begun = Instant::now();
        let outcomes = join_all((0..10).map(|_| attempt.share(work()))).await;
        assert!(outcomes.iter().all(|outcome| outcome.as_ref().unwrap_err() == "no engine"));
        assert_eq!((tries.load(Ordering::Relaxed), begun.elapsed()), (1, Duration::from_secs(5)));
        tokio::time::sleep(Duration::from_millis(1)).await;
        attempt.share(work()).await.unwrap_err();
        assert_eq!(tries.load(Ordering::Relaxed), 2);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(attempt.share(async { Ok::<_, String>(1) }).await, Ok(1));
        assert_eq!(attempt.share(async { Ok::<_, String>(2) }).await, Ok(2), "a success is not remembered");
    }
}
