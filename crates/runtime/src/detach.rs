//! Work that continues even if nobody waits for it.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// Work that becomes a task of its own when this future is dropped. As long as it is awaited, it is part of the waiting task
/// and costs nothing extra. If you have to wait for the task, let the work itself hold a token.
pub(crate) struct Detachable<F: Future<Output: Send> + Send + 'static> {
    /// Boxed, so that it need not move when it becomes a task. `None` while it is polled, after it is done, and after it has
    /// panicked.
    work: Option<Pin<Box<F>>>,
}

impl<F: Future<Output: Send> + Send + 'static> Detachable<F> {
    pub(crate) fn new(work: F) -> Detachable<F> {
        Detachable { work: Some(Box::pin(work)) }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for Detachable<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut work = self.work.take().expect("it is not polled after it is done");
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Detachable<F> {
    fn drop(&mut self) {
        // Without a runtime, there is nothing to run the work on.
        if let (Some(work), Ok(runtime)) = (self.work.take(), Handle::try_current()) {
            drop(runtime.spawn(work));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn dropped_work_is_finished() {
        let (go, going) = oneshot::channel::<()>();
        let (done, finished) = oneshot::channel();
        let work = async move {
            going.await.unwrap();
            done.send("finished").unwrap();
        };
        tokio::select! {
            biased;
            () = Detachable::new(work) => panic!("the work should be waiting"),
            () = ready(()) => {}
        }
        go.send(()).unwrap();
        assert_eq!(finished.await, Ok("finished"));
    }

    #[tokio::test]
    async fn work_that_is_done_or_has_panicked_spawns_no_task() {
        let tasks = || Handle::current().metrics().num_alive_tasks();
        let before = tasks();
        assert_eq!(Detachable::new(async { 7 }).await, 7);
        let panics = Detachable::new(async { panic!("on purpose") });
        assert!(std::panic::AssertUnwindSafe(panics).catch_unwind().await.is_err());
        assert_eq!(tasks(), before);
    }

    #[test]
    fn without_a_runtime_the_work_ends() {
        drop(Detachable::new(pending::<()>()));
    }
}
