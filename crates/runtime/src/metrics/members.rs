//! The metrics of branches and items.

use std::time::Duration;

use faasflow_core::graph::BodyIndex;
use faasflow_core::{Flow, MemberOutcome};
use prometheus::{Histogram, IntCounter};

use super::labels;
use super::register::{Register, SECONDS_OF_STEPS};

/// How branches and items may end, in the order of the counters.
const OUTCOMES: [MemberOutcome; 4] =
    [MemberOutcome::Done, MemberOutcome::Failed, MemberOutcome::NotBegun, MemberOutcome::Dropped];

/// The metrics of the branches of graphs and of the items of for-eaches.
#[derive(Debug)]
pub(super) struct Members {
    /// For each body of the flow, those of the branch that it is. All items of a for-each share theirs.
    branches: Vec<Option<([IntCounter; 4], Histogram)>>,
}

impl Members {
    pub(super) fn new(flow: &Flow, register: &Register) -> Members {
        let mut branches = Vec::new();
        if flow.plan().is_linear() {
            return Members { branches };
        }
        let ended = register.counters(
            "faasflow_branches_total",
            "Branches of graphs and items of for-eaches, by how they ended.",
            &["branch", "outcome"],
        );
        let took = register.histograms(
            "faasflow_branch_duration_seconds",
            "How long a branch of a graph or an item of a for-each took.",
            &["branch"],
            &SECONDS_OF_STEPS,
        );
        let mut series = 0;
        for (number, composite) in (1..).zip(flow.plan().composites()).filter(|(_, known)| known.kind().joins()) {
            for branch in composite.branches() {
                series += 1;
                let label = labels::branch(series, number, branch.name());
                let index = branch.body().index();
                if branches.len() <= index {
                    branches.resize_with(index + 1, || None);
                }
                let ended = OUTCOMES.map(|outcome| ended.with_label_values(&[&*label, outcome.as_str()]));
                branches[index] = Some((ended, took.with_label_values(&[&*label])));
            }
        }
        Members { branches }
    }

    /// A branch or an item has ended, or does not begin. `took` is the time since it began.
    pub(super) fn ended(&self, body: BodyIndex, outcome: MemberOutcome, took: Option<Duration>) {
        let Some(Some((ended, durations))) = self.branches.get(body.index()) else { return };
        if let Some(index) = OUTCOMES.iter().position(|&known| known == outcome) {
            ended[index].inc();
        }
        if let Some(took) = took {
            durations.observe(took.as_secs_f64());
        }
    }
}
