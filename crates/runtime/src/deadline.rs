//! The time that one invocation has, and how it is divided.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::task::coop::{Unconstrained, unconstrained};
use tokio::time::{Instant, Sleep};

/// `write_timeout` bounds an invocation as a whole. The steps get all of it but a tenth (five seconds at most),
/// which is kept for what must still happen when they have used theirs up: the failure handler, the
/// finaliser, forwarding, the answer.
#[derive(Clone, Debug)]
pub(crate) struct Deadline {
    allowed: Duration,
    steps: Instant,
    whole: Instant,
}

impl Deadline {
    pub(crate) fn starting_now(allowed: Duration) -> Deadline {
        let now = Instant::now();
        let kept = (allowed / 10).min(Duration::from_secs(5));
        Deadline { allowed, steps: now + (allowed - kept), whole: now + allowed }
    }

    /// What `write_timeout` is.
    pub(crate) fn allowed(&self) -> Duration {
        self.allowed
    }

    /// When steps are cut off.
    pub(crate) fn steps(&self) -> Instant {
        self.steps
    }

    /// When what follows the steps is cut off; never at once, since a finaliser is owed its run.
    pub(crate) fn ending(&self) -> Instant {
        self.whole.max(Instant::now() + Duration::from_secs(1))
    }

    /// Until when steps may try to reach the state manager: a little before they are cut off, so that it is the
    /// state manager's trouble that is reported, which may pass.
    pub(crate) fn state_in_steps(&self) -> Instant {
        self.before(self.steps)
    }

    /// The same for what follows the steps.
    pub(crate) fn state_in_ending(&self) -> Instant {
        self.before(self.ending())
    }

    fn before(&self, end: Instant) -> Instant {
        let margin = (self.allowed / 20).min(Duration::from_millis(500));
        end.checked_sub(margin).unwrap_or(end)
    }

    /// The same deadline where requests at the end may use what was kept.
    pub(crate) fn for_ending(&self) -> Deadline {
        let ending = self.ending();
        Deadline { allowed: self.allowed, steps: ending, whole: ending }
    }
}

/// A point of time at which what is under way is cut off, one thing after the other. The timer is set when first something
/// waits, and once for all of them: a timer for each would be set and taken back for each.
pub(crate) struct CutOff(Pin<Box<Unconstrained<Sleep>>>);

impl CutOff {
    pub(crate) fn at(until: Instant) -> CutOff {
        // It is to be looked at also when the work has used up what tokio lets a task do in one go.
        CutOff(Box::pin(unconstrained(tokio::time::sleep_until(until))))
    }

    /// What the work comes to; `None` if it is cut off.
    pub(crate) async fn within<F: Future>(&mut self, mut work: Pin<&mut F>) -> Option<F::Output> {
        std::future::poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.0.as_mut().poll(context).map(|()| None),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_point_of_time_cuts_off_what_is_under_way_then() {
        let begun = Instant::now();
        let mut cut_off = CutOff::at(begun + Duration::from_secs(3));
        let second = || tokio::time::sleep(Duration::from_secs(1));
        assert!(cut_off.within(pin!(second())).await.is_some());
        assert!(cut_off.within(pin!(second())).await.is_some());
        assert!(cut_off.within(pin!(std::future::pending::<()>())).await.is_none());
        assert_eq!(begun.elapsed(), Duration::from_secs(3));
        // What is done at once is done, and nothing is waited for any more.
        assert_eq!(cut_off.within(pin!(std::future::ready(7))).await, Some(7));
        assert!(cut_off.within(pin!(second())).await.is_none());
        assert_eq!(begun.elapsed(), Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_never_waits_is_cut_off_too() {
        let mut cut_off = CutOff::at(Instant::now());
        let busy = async {
            loop {
                tokio::task::coop::consume_budget().await;
            }
        };
        assert!(cut_off.within(pin!(busy)).await.is_none());
    }
}
