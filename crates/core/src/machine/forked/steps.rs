//! When the steps of a phase were executed.

use serde::{Deserialize, Serialize};

use crate::unset::is_unset;

/// How many calls of a step are described. The last ones are kept.
const CALLS: usize = 10;
/// How many steps of a delivery are described.
const STEPS: usize = 30;

/// When the steps of one delivery were executed. It only informs people.
///
/// All times are in milliseconds since the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Steps {
    /// The steps, in the order in which they ended. If there were too many, those that failed are kept first, then those in no branch
    /// or item, and then those that were called several times.
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

    /// How much it is needed when there are too many steps: most if it failed, less if it is in no branch or item, and still less if it
    /// was called several times.
    fn weight(&self) -> u8 {
        match (self.failed, self.branch.is_empty(), self.calls.len()) {
            (true, ..) => 3,
            (false, true, _) => 2,
            (false, false, 2..) => 1,
            (false, false, _) => 0,
        }
    }
}

impl Steps {
    /// Adds a step that has ended.
    pub fn add(&mut self, step: StepTimes) {
        if self.listed.len() == STEPS {
            self.unlisted = self.unlisted.saturating_add(1);
            let lightest =
                self.listed.iter().enumerate().min_by_key(|(at, step)| (step.weight(), std::cmp::Reverse(*at)));
            match lightest.filter(|(_, lightest)| lightest.weight() < step.weight()) {
                Some((lightest, _)) => self.listed.remove(lightest),
                None => return,
            };
        }
        self.listed.push(step);
    }

    /// Whether the times of the delivery as a whole tell as much, as for a single step with a single call.
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
    fn among_many_steps_those_that_are_needed_most_are_kept() {
        let item = |number| StepTimes { branch: format!("item-{number}"), ..step(number) };
        let repeated = |number| StepTimes { calls: vec![CallTimes::default(); 2], ..item(number) };
        let mut steps = Steps::default();
        steps.add(step(1));
        (2..=60).for_each(|number| steps.add(repeated(number)));
        (61..=99).for_each(|number| steps.add(item(number)));
        let listed = |steps: &Steps| steps.listed.iter().map(|step| step.step).collect::<Vec<_>>();
        assert_eq!((listed(&steps), steps.unlisted), ((1..=30).collect(), 69));
        steps.add(StepTimes { failed: true, ..item(100) });
        steps.add(step(101));
        assert_eq!((listed(&steps), steps.unlisted), ((1..=28).chain([100, 101]).collect(), 71));
        // Those that failed first are kept.
        (102..=200).for_each(|number| steps.add(StepTimes { failed: true, ..item(number) }));
        assert_eq!((listed(&steps), steps.unlisted), ((100..=100).chain(102..=130).collect(), 170));
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
