//! Work that outlives who waits for it.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// Work that goes on when nobody waits for it any more: as a task of its own from then on. While somebody waits, it is part
/// of the waiting task, and costs none of what a task does.
pub(crate) struct Detaching<'a, F: Future<Output: Send> + Send + 'static> {
    /// In a box, so that it stays where it is when it becomes a task.
    work: Option<Pin<Box<F>>>,
    /// Where the task is counted.
    tasks: &'a TaskTracker,
}

impl<'a, F: Future<Output: Send> + Send + 'static> Detaching<'a, F> {
    pub(crate) fn new(work: F, tasks: &'a TaskTracker) -> Detaching<'a, F> {
        Detaching { work: Some(Box::pin(work)), tasks }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for Detaching<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let work = self.work.as_mut().expect("what is done is not waited for again");
        let done = std::task::ready!(work.as_mut().poll(context));
        self.work = None;
        Poll::Ready(done)
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Detaching<'_, F> {
    fn drop(&mut self) {
        // Without a runtime, all work ends with who does it.
        if let (Some(work), Ok(runtime)) = (self.work.take(), Handle::try_current()) {
            self.tasks.spawn_on(work, &runtime);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_that_nobody_waits_for_any_more_is_finished() {
        let tasks = TaskTracker::new();
        let (go, going) = oneshot::channel::<()>();
        let (done, finished) = oneshot::channel();
        let work = async move {
            going.await.unwrap();
            done.send("finished").unwrap();
        };
        tokio::select! {
            biased;
            () = Detaching::new(work, &tasks) => panic!("it has something to wait for"),
            () = ready(()) => {}
        }
        assert_eq!(tasks.len(), 1);
        go.send(()).unwrap();
        assert_eq!(finished.await, Ok("finished"));
        tasks.close();
        tasks.wait().await;
    }

    #[tokio::test]
    async fn work_that_is_done_is_no_task() {
        let tasks = TaskTracker::new();
        assert_eq!(Detaching::new(async { 7 }, &tasks).await, 7);
        assert!(tasks.is_empty());
    }

    #[test]
    fn without_a_runtime_it_ends() {
        let tasks = TaskTracker::new();
        drop(Detaching::new(pending::<()>(), &tasks));
        assert!(tasks.is_empty());
    }
}
