use std::collections::BTreeMap;
use std::fmt;

use faasflow_core::Outcome;

/// The result of an exploration that found no violation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explored {
    /// The number of different states.
    pub states: usize,
    /// The number of transitions between states. For a sample, repeated ones are counted each time.
    pub transitions: usize,
    /// The length of the longest order.
    pub depth: usize,
    /// The maximum number of faults in one order.
    pub faults: usize,
    /// The maximum number of interruptions in one order, if it was [limited](super::Explore::interruptions).
    pub interruptions: Option<u8>,
    /// Whether all states were seen that can be reached with this number of faults.
    pub(super) exhaustive: bool,
    /// The outcomes and outputs with which the request ended.
    pub(super) ends: BTreeMap<(String, Vec<u8>), usize>,
}

impl Explored {
    /// Whether every order was tried.
    #[must_use]
    pub fn is_exhaustive(&self) -> bool {
        self.exhaustive
    }

    /// The outcome of the request.
    ///
    /// # Panics
    ///
    /// If different orders end in different ways. [`ends`](Explored::ends) returns all of them.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.the_end().0
    }

    /// The output of the request as text.
    ///
    /// # Panics
    ///
    /// If different orders end in different ways, or it is not text.
    #[must_use]
    pub fn output(&self) -> String {
        self.the_end().1
    }

    /// The outcomes and outputs with which the request ended in different orders, and the number of final states with each.
    pub fn ends(&self) -> impl Iterator<Item = (Outcome, String, usize)> {
        self.ends.iter().map(|((outcome, output), count)| {
            let outcome = outcome.parse().expect("an outcome");
            (outcome, String::from_utf8(output.clone()).expect("the output is text"), *count)
        })
    }

    fn the_end(&self) -> (Outcome, String) {
        let ends: Vec<_> = self.ends().collect();
        match &ends[..] {
            [(outcome, output, _)] => (*outcome, output.clone()),
            _ => panic!("the request ends in different ways: {ends:?}"),
        }
    }
}

/// The numbers, on one line.
impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = if self.exhaustive { "all orders" } else { "some orders" };
        write!(f, "{all} with at most {} fault(s)", self.faults)?;
        if let Some(interruptions) = self.interruptions {
            write!(f, " and {interruptions} interruption(s)")?;
        }
        write!(
            f,
            ": {} states, {} transitions, {} steps at most, {} end(s)",
            self.states,
            self.transitions,
            self.depth,
            self.ends.len()
        )
    }
}
