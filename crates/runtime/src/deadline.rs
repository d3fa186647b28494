//! The time that one invocation has, and how it is divided.

use std::time::Duration;

use tokio::time::Instant;

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

    /// The same deadline where requests at the end may use what was kept.
    pub(crate) fn for_ending(&self) -> Deadline {
        let ending = self.ending();
        Deadline { allowed: self.allowed, steps: ending, whole: ending }
    }
}
