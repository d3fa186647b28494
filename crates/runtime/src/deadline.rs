//! How much time an invocation has, and how that time is divided.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use faasflow_core::failure::FailureKind;
use tokio::task::coop::{Unconstrained, unconstrained};
use tokio::time::{Instant, Sleep};

/// The deadline of one invocation. `write_timeout` limits the invocation as a whole. A tenth of it (at most five seconds) is
/// reserved for what must still happen when the steps have used up the rest: the failure handler, the finaliser, forwarding
/// and the answer.
#[derive(Clone, Debug)]
pub(crate) struct Deadline {
    allowed: Duration,
    steps: Instant,
    whole: Instant,
    scope: DeadlineScope,
}

/// What a deadline limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DeadlineScope {
    Invocation,
    /// A branch or an item that has its own limit.
    Member,
}

impl Deadline {
    pub(crate) fn starting_now(allowed: Duration) -> Deadline {
        let now = Instant::now();
        let reserve = (allowed / 10).min(Duration::from_secs(5));
        Deadline { allowed, steps: now + (allowed - reserve), whole: now + allowed, scope: DeadlineScope::Invocation }
    }

    /// The setting `write_timeout`, or the time of the branch or item.
    pub(crate) fn allowed(&self) -> Duration {
        self.allowed
    }

    /// The deadline of a branch or an item that begins now and may take this long. What happens after its steps, such as its
    /// failure handler, may take as long as the steps of the phase.
    pub(crate) fn for_member(&self, within: Option<Duration>) -> Deadline {
        let until = within.and_then(|within| Some((within, Instant::now().checked_add(within)?)));
        match until {
            Some((allowed, until)) if until < self.steps => {
                Deadline { allowed, steps: until, whole: self.steps, scope: DeadlineScope::Member }
            }
            _ => self.clone(),
        }
    }

    /// The deadline of a phase of a branch or an item that may take this long in all, and has to end at `until`.
    pub(crate) fn for_phase_of_member(&self, allowed: Duration, until: Instant) -> Deadline {
        match until < self.steps {
            true => Deadline { allowed, steps: until, scope: DeadlineScope::Member, ..self.clone() },
            false => self.clone(),
        }
    }

    /// The failure of what was cut off at this deadline.
    pub(crate) fn exceeded(&self) -> FailureKind {
        match self.scope {
            DeadlineScope::Invocation => FailureKind::Deadline(self.allowed),
            DeadlineScope::Member => FailureKind::Timeout(self.allowed),
        }
    }

    /// Whether something failed because it was cut off at this deadline, and not for a limit of its own.
    pub(crate) fn is_exceeded_by(&self, kind: &FailureKind) -> bool {
        match kind {
            FailureKind::Deadline(_) => true,
            FailureKind::Timeout(after) => {
                self.scope == DeadlineScope::Member && *after == self.allowed && self.steps <= Instant::now()
            }
            _ => false,
        }
    }

    /// When steps are cut off.
    pub(crate) fn steps(&self) -> Instant {
        self.steps
    }

    /// When the work after the steps is cut off. It always has at least one second, so that the finaliser can run.
    pub(crate) fn ending(&self) -> Instant {
        self.whole.max(Instant::now() + Duration::from_secs(1))
    }

    /// Until when steps may retry the state manager. This is a little before the steps are cut off, so that the outage of
    /// the state manager is reported, which is temporary, rather than a timeout.
    pub(crate) fn state_in_steps(&self) -> Instant {
        self.before(self.steps)
    }

    /// The same for the work after the steps.
    pub(crate) fn state_in_ending(&self) -> Instant {
        self.before(self.ending())
    }

    fn before(&self, end: Instant) -> Instant {
        let margin = (self.allowed / 20).min(Duration::from_millis(500));
        end.checked_sub(margin).unwrap_or(end)
    }

    /// The same deadline for requests that are sent after the steps, which may use the reserved time.
    pub(crate) fn for_ending(&self) -> Deadline {
        let ending = self.ending();
        Deadline { steps: ending, whole: ending, ..self.clone() }
    }
}

/// Cuts off the current work at a point in time, for several pieces of work in a row. The timer is set only when the first
/// of them has to wait, and then serves all of them. Setting and clearing one timer for each would cost more.
pub(crate) struct CutOff(Pin<Box<Unconstrained<Sleep>>>);

impl CutOff {
    pub(crate) fn at(until: Instant) -> CutOff {
        // The timer must also fire when the work has used up its tokio budget.
        CutOff(Box::pin(unconstrained(tokio::time::sleep_until(until))))
    }

    /// The output of the work, or `None` if it is cut off.
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
    async fn one_cutoff_serves_several_pieces_of_work() {
        let begun = Instant::now();
        let mut cut_off = CutOff::at(begun + Duration::from_secs(3));
        let second = || tokio::time::sleep(Duration::from_secs(1));
        assert!(cut_off.within(pin!(second())).await.is_some());
        assert!(cut_off.within(pin!(second())).await.is_some());
        assert!(cut_off.within(pin!(std::future::pending::<()>())).await.is_none());
        assert_eq!(begun.elapsed(), Duration::from_secs(3));
        // Work that is ready at once still completes. Nothing else is waited for.
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
