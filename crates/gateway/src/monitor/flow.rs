//! What is measured of one flow.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use faasflow_admin::{EVENTS_VERSION, FlowActivity, MINUTES, RequestCounts, StepActivity};

use super::minutes::Minutes;
use super::subject::Subject;

/// How many steps of a flow are measured. The number of a step comes from a header, so others could invent any number of them.
const MOST_STEPS: usize = 1000;

/// The requests of a minute.
#[derive(Debug, Default)]
struct Minute {
    begun: u64,
    failed: u64,
}

/// The requests of a flow and the calls of its steps.
#[derive(Debug, Default)]
pub(super) struct Flow {
    requests: Mutex<Requests>,
    steps: Mutex<BTreeMap<usize, Step>>,
}

#[derive(Debug, Default)]
struct Requests {
    begun: u64,
    ended: u64,
    failed: u64,
    minutes: Minutes<Minute>,
}

#[derive(Debug, Default)]
struct Step {
    /// The function that was called last.
    function: String,
    subject: Arc<Subject>,
}

impl Flow {
    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn steps(&self) -> MutexGuard<'_, BTreeMap<usize, Step>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn began(&self, minute: u64) {
        let mut requests = self.requests();
        requests.begun += 1;
        requests.minutes.of(minute).begun += 1;
    }

    pub(super) fn ended(&self, minute: u64, is_failure: bool) {
        let mut requests = self.requests();
        requests.ended += 1;
        if is_failure {
            requests.failed += 1;
            requests.minutes.of(minute).failed += 1;
        }
    }

    /// The calls of a step; `None` if there are too many steps.
    pub(super) fn step(&self, number: usize, function: &str) -> Option<Arc<Subject>> {
        let mut steps = self.steps();
        if steps.len() >= MOST_STEPS && !steps.contains_key(&number) {
            return None;
        }
        let step = steps.entry(number).or_default();
        if step.function != function {
            function.clone_into(&mut step.function);
        }
        Some(step.subject.clone())
    }

    pub(super) fn counts(&self, flow: &str) -> RequestCounts {
        let requests = self.requests();
        let mut counts = RequestCounts::default();
        flow.clone_into(&mut counts.flow);
        (counts.begun, counts.ended, counts.failed) = (requests.begun, requests.ended, requests.failed);
        counts
    }

    /// Adds the requests of each minute that began, and that failed.
    pub(super) fn add_to(&self, begun: &mut [u64], failed: &mut [u64], now: u64) {
        let requests = self.requests();
        requests.minutes.add_to(begun, now, |minute| minute.begun);
        requests.minutes.add_to(failed, now, |minute| minute.failed);
    }

    /// Its last hour.
    pub(super) fn activity(&self, now: u64) -> FlowActivity {
        let mut activity = FlowActivity::default();
        activity.version = EVENTS_VERSION;
        (activity.begun, activity.failed) = (vec![0; MINUTES], vec![0; MINUTES]);
        self.add_to(&mut activity.begun, &mut activity.failed, now);
        for (number, Step { function, subject }) in &*self.steps() {
            let mut step = StepActivity::default();
            step.step = *number;
            function.clone_into(&mut step.function);
            step.measured = subject.measured(now);
            step.latest_failures = subject.latest_failures();
            activity.steps.push(step);
        }
        activity
    }
}
