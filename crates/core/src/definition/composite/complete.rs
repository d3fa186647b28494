//! When a graph or a for-each is complete.

use serde::{Deserialize, Serialize};

/// When a graph or a for-each is complete, and whether that is a success.
///
/// A branch or item that will be retried has not failed yet. A failure that the branch's own `on_failure` recovers is a
/// success.
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
    /// When all succeeded. The first failure fails the whole, and what has not begun does not begin.
    #[default]
    All,
    /// When all have ended, however they ended. The join sees every output and every failure.
    Settled,
    /// At the first success. What has not begun does not begin, and other results are dropped. If all fail, the whole fails.
    First,
    /// After this many successes. The whole fails as soon as so many cannot be reached.
    AtLeast(u32),
    /// When all have ended, and at most this many failed. One failure more fails the whole at once.
    Tolerate(u32),
    /// The same with a share of all members in percent, rounded down: 10 % of 19 items tolerates one failure.
    TolerateShare(u8),
}

/// A policy with its numbers worked out for a number of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Policy {
    /// This many have to succeed, and more than the rest may not fail. Nothing is awaited after that.
    Successes(u32),
    /// All have to end, and at most this many may fail.
    Failures(u32),
    /// All have to end.
    Settled,
}

impl Complete {
    /// The policy for so many members.
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

    /// Whether a join may see members that failed. It then gets an outcome for each, unless it has a handler.
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
