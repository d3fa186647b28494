//! When a graph or a for-each is complete.

use serde::{Deserialize, Serialize};

/// When a graph or a for-each is complete, and whether that is a success.
///
/// A branch or item that will be retried has not failed yet. One that its own `on_failure` recovers has succeeded.
///
/// ```
/// use faasflow_core::{Complete, Flow, ForEach};
///
/// let flow = Flow::builder()
///     .for_each(ForEach::new(Flow::builder().apply("ocr")).complete(Complete::TolerateShare(10)))
///     .build();
/// # assert!(flow.is_ok());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Complete {
    /// When all members have succeeded. The first failure fails the whole, and no further member begins.
    #[default]
    All,
    /// When all members have ended, successfully or not. The join sees every output and every failure.
    Settled,
    /// At the first success. No further member begins, and other results are dropped. If all members fail, so does the whole.
    First,
    /// After this many successes. The whole fails as soon as this number cannot be reached.
    AtLeast(u32),
    /// When all members have ended and at most this many have failed. One more failure fails the whole at once.
    Tolerate(u32),
    /// Like [`Tolerate`](Complete::Tolerate), with a percentage of all members, rounded down: 10 % of 19 items tolerates one
    /// failure.
    TolerateShare(u8),
}

/// A policy for a known number of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Policy {
    /// This many have to succeed. The join is decided as soon as they have, or no longer can.
    Successes(u32),
    /// All have to end, and at most this many may fail.
    Failures(u32),
    /// All have to end.
    Settled,
}

impl Policy {
    /// Whether the whole succeeds, when this many members have succeeded and failed, and this many may still end in either way;
    /// `None` if that depends on them. Members that will never begin are in none of the three.
    #[must_use]
    pub fn decide(self, done: u32, failed: u32, open: u32) -> Option<bool> {
        match self {
            Policy::Successes(needed) if done >= needed => Some(true),
            Policy::Successes(needed) if done.saturating_add(open) < needed => Some(false),
            Policy::Failures(allowed) if failed > allowed => Some(false),
            Policy::Failures(_) | Policy::Settled if open == 0 => Some(true),
            _ => None,
        }
    }
}

impl Complete {
    /// The policy for this number of members.
    #[must_use]
    pub fn policy(self, members: u32) -> Policy {
        match self {
            Complete::All => Policy::Failures(0),
            Complete::Settled => Policy::Settled,
            Complete::First => Policy::Successes(1),
            Complete::AtLeast(count) => Policy::Successes(count),
            Complete::Tolerate(count) => Policy::Failures(count),
            Complete::TolerateShare(percent) => {
                let share = u64::from(members) * u64::from(percent) / 100;
                Policy::Failures(u32::try_from(share).unwrap_or(u32::MAX))
            }
        }
    }

    /// Whether a join may see members that failed. If so, the output of a join without a handler has an outcome for each
    /// member.
    #[must_use]
    pub fn shows_failures(self) -> bool {
        matches!(self, Complete::Settled | Complete::Tolerate(_) | Complete::TolerateShare(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_down() {
        for (percent, members, tolerated) in [(10, 19, 1), (10, 9, 0), (100, 3, 3), (33, 3, 0), (34, 3, 1)] {
            assert_eq!(Complete::TolerateShare(percent).policy(members), Policy::Failures(tolerated));
        }
    }
}
