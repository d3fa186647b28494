//! What many ask for at once, and one tries.

use tokio::sync::Mutex;
use tokio::time::Instant;

/// An attempt that one makes while others wait for its outcome.
#[derive(Debug, Default)]
pub(super) struct Attempt(Mutex<Option<(Instant, String)>>);

impl Attempt {
    /// Does the work, unless somebody failed to while this one waited, which is then told the same reason. Otherwise as many
    /// as wait would each fail in turn, and the last after as many times as long. The work begins by seeing whether it has
    /// been done meanwhile.
    pub(super) async fn share<T>(&self, work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
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
    async fn those_who_wait_share_the_failure_and_later_ones_try_again() {
        let (attempt, tries) = (Attempt::default(), AtomicUsize::new(0));
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
        assert_eq!(attempt.share(async { Ok::<_, String>(2) }).await, Ok(2), "a success is not kept");
    }
}
