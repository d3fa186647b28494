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
