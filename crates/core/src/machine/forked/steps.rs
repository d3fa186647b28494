//! When the steps of a phase were executed.

use serde::{Deserialize, Serialize};

use crate::unset::is_unset;

/// How many calls of a step are described, the last ones.
const CALLS: usize = 10;
/// How many steps of a delivery are described.
const STEPS: usize = 30;

/// When the steps of one delivery were executed. It only informs people.
///
/// All times are in milliseconds since the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Steps {
    /// The steps, in the order in which they ended. If there were too many, those that were called several times or failed are kept.
    pub listed: Vec<StepTimes>,
    /// How many others there were.
    #[serde(default, skip_serializing_if = "is_unset")]
    pub unlisted: u32,
}

/// When a step was executed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StepTimes {
    /// The number of the step, from 1.
    pub step: usize,
    /// The name of the step in messages.
    pub name: String,
    /// The path of the branch or item inside the phase that it belongs to, such as `pages/item-3`; otherwise empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub branch: String,
    /// When it began.
    #[serde(default, skip_serializing_if = "is_unset")]
    pub began_ms: u64,
    /// When it ended.
    #[serde(default, skip_serializing_if = "is_unset")]
    pub done_ms: u64,
    /// Whether it failed, or met an outage that did not end in time.
    #[serde(default, skip_serializing_if = "is_unset")]
    pub failed: bool,
    /// The last calls of its function or callback, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallTimes>,
    /// How many calls there were before those.
    #[serde(default, skip_serializing_if = "is_unset")]
    pub earlier_calls: u32,
}

/// One call of a function or callback.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CallTimes {
    /// When it began.
    #[serde(default, skip_serializing_if = "is_unset")]
    pub began_ms: u64,
    /// When it ended.
    #[serde(default, skip_serializing_if = "is_unset")]
    pub done_ms: u64,
    /// The status of the answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why there was no answer, in words that the caller may see.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl StepTimes {
    /// Adds the latest call.
    pub fn add(&mut self, call: CallTimes) {
        if self.calls.len() == CALLS {
            self.calls.remove(0);
            self.earlier_calls = self.earlier_calls.saturating_add(1);
        }
        self.calls.push(call);
    }

    /// Whether it is kept when there are too many steps.
    fn stands_out(&self) -> bool {
        self.failed || self.calls.len() > 1
    }
}

impl Steps {
    /// Adds a step that has ended.
    pub fn add(&mut self, step: StepTimes) {
        if self.listed.len() == STEPS {
            self.unlisted = self.unlisted.saturating_add(1);
            let ordinary = self.listed.iter().rposition(|step| !step.stands_out());
            match ordinary.filter(|_| step.stands_out()) {
                Some(ordinary) => self.listed.remove(ordinary),
                None => return,
            };
        }
        self.listed.push(step);
    }

    /// Whether they tell no more than the times of the delivery as a whole do, which is so for a single step with a single call.
    #[must_use]
    pub fn are_plain(&self) -> bool {
        self.listed.len() < 2 && self.unlisted == 0 && self.listed.iter().all(|step| step.calls.len() < 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(number: usize) -> StepTimes {
        StepTimes { step: number, ..StepTimes::default() }
    }

    #[test]
    fn the_last_calls_are_described_and_all_are_counted() {
        let mut step = step(1);
        for number in 0..25 {
            step.add(CallTimes { began_ms: number, ..CallTimes::default() });
        }
        let began: Vec<u64> = step.calls.iter().map(|call| call.began_ms).collect();
        assert_eq!((began, step.earlier_calls), ((15..25).collect(), 15));
    }

    #[test]
    fn among_many_steps_those_that_stand_out_are_kept() {
        let mut steps = Steps::default();
        for number in 1..=100 {
            steps.add(StepTimes { failed: number % 10 == 0, ..step(number) });
        }
        let failed: Vec<usize> = steps.listed.iter().filter(|step| step.failed).map(|step| step.step).collect();
        assert_eq!((failed, steps.listed.len(), steps.unlisted), ((10..=100).step_by(10).collect(), STEPS, 70));
    }

    #[test]
    fn a_single_step_with_a_single_call_is_plain() {
        let mut steps = Steps::default();
        assert!(steps.are_plain());
        let mut first = step(1);
        first.add(CallTimes::default());
        steps.add(first.clone());
        assert!(steps.are_plain());
        first.add(CallTimes::default());
        assert!(!Steps { listed: vec![first.clone()], unlisted: 0 }.are_plain());
        steps.add(step(2));
        assert!(!steps.are_plain());
    }
}
