//! Explores how a flow with branches behaves when deliveries come in any order, twice, or not to their end.
//!
//! [`explore`] runs the machine that decides about requests with branches against a store and a queue in memory. It tries
//! every order in which deliveries can interleave, effect by effect, and lets processes die before and after each effect,
//! deliveries come twice, and writes succeed without an answer. In each state that can be reached it checks that
//!
//! - the request ends once, with one outcome and output;
//! - each join fires once, and sees only results that were written;
//! - what is posted twice under one id is the same twice;
//! - no more items are in flight than `at_most` allows;
//! - nothing gets stuck, and nothing is left in the store at the end but the sign that the request is over.
//!
//! ```
//! use faasflow_core::Flow;
//! use faasflow_testkit::explore;
//!
//! let flow = Flow::builder()
//!     .parallel([("thumb", Flow::builder().apply("resize")), ("tags", Flow::builder().apply("classify"))])
//!     .build()
//!     .unwrap();
//! let explored = explore(&flow, "1").function("classify", |input| Ok(format!("[{input}]"))).run();
//! assert!(explored.is_exhaustive());
//! assert_eq!(explored.output(), r#"{"thumb":1,"tags":[1]}"#);
//! ```
//!
//! Functions return their input unless the test says otherwise. Modifiers, joins and handlers of the flow run as they are; they
//! must not wait for anything. What a step returns may depend on its input only.
//!
//! A failing order is printed as a list of what happened, as short as possible, with a seed that [`replay`](Explore::replay)
//! runs again.

mod cost;
mod fakes;
mod interner;
mod search;
mod seed;
mod settle;
mod state;
mod steps;
mod tell;
mod world;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use faasflow_core::machine::forked::Flaw;
use faasflow_core::{Flow, Outcome, Payload};

pub use cost::Cost;
use fakes::Fakes;

/// Explores a flow that is called with this payload. See the [module](self).
pub fn explore(flow: &Flow, input: impl Into<Bytes>) -> Explore {
    Explore {
        flow: flow.clone(),
        input: Payload::new(input),
        fakes: Fakes::default(),
        faults: 1,
        limit: 2_000_000,
        samples: None,
        flaw: Flaw::None,
    }
}

/// An exploration that is being set up.
#[must_use = "nothing is explored until `run`"]
pub struct Explore {
    flow: Flow,
    input: Payload,
    fakes: Fakes,
    faults: usize,
    limit: usize,
    samples: Option<(u64, usize)>,
    flaw: Flaw,
}

impl Explore {
    /// Has a function answer what this makes of the text that it is called with. An error is a failure of the step, for this
    /// reason.
    pub fn function(
        mut self,
        name: impl Into<String>,
        answer: impl Fn(&str) -> Result<String, String> + Send + Sync + 'static,
    ) -> Explore {
        self.fakes.functions.insert(name.into(), Arc::new(answer));
        self
    }

    /// Has a function fail always.
    pub fn failing(self, name: impl Into<String>) -> Explore {
        self.function(name, |_| Err("it answered 404 Not Found".to_owned()))
    }

    /// How many faults one run may have at most: processes that die, deliveries that come twice, and writes without an answer.
    /// The default is 1.
    pub fn faults(mut self, faults: usize) -> Explore {
        self.faults = faults;
        self
    }

    /// Gives up after this many states, and says so. The default is 2,000,000.
    pub fn limit(mut self, states: usize) -> Explore {
        self.limit = states;
        self
    }

    /// Tries this many random orders, which follow from the seed, instead of all. It is for flows with too many states.
    pub fn sample(mut self, seed: u64, orders: usize) -> Explore {
        self.samples = Some((seed, orders));
        self
    }

    /// Makes a mistake in the protocol.
    #[doc(hidden)]
    pub fn flaw(mut self, flaw: Flaw) -> Explore {
        self.flaw = flaw;
        self
    }

    /// Explores.
    ///
    /// # Panics
    ///
    /// If an order violates what is promised. The text lists what happened, and has the seed.
    pub fn run(self) -> Explored {
        self.try_run().unwrap_or_else(|violation| panic!("{violation}"))
    }

    /// The same without a panic.
    ///
    /// # Errors
    ///
    /// The shortest order that violates what is promised.
    pub fn try_run(self) -> Result<Explored, Violation> {
        match self.samples {
            Some((seed, orders)) => search::sample(&self, seed, orders),
            None => search::exhaust(&self),
        }
    }

    /// Runs the order that a printed seed stands for, and lists what happens in it.
    ///
    /// # Errors
    ///
    /// The violation, if the order leads to one.
    ///
    /// # Panics
    ///
    /// If the text is no seed of this flow.
    pub fn replay(&self, seed: &str) -> Result<Vec<String>, Violation> {
        search::replay(self, seed)
    }

    /// Runs one order without faults, which follows from the seed, and counts what it costs. Each delivery goes on to its end
    /// before the next one begins, so that members of a join do not compete.
    ///
    /// # Panics
    ///
    /// If it violates what is promised.
    pub fn cost(&self, seed: u64) -> Cost {
        search::cost(self, seed, false).unwrap_or_else(|violation| panic!("{violation}"))
    }

    /// The same, but all members that are in flight end at the same moment, and compete. It is the most that it can cost.
    ///
    /// # Panics
    ///
    /// If it violates what is promised.
    pub fn contended_cost(&self, seed: u64) -> Cost {
        search::cost(self, seed, true).unwrap_or_else(|violation| panic!("{violation}"))
    }
}

/// What was explored, without a violation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explored {
    /// How many different states were seen.
    pub states: usize,
    /// How many steps lead from one to another; of a sample, how many were made.
    pub transitions: usize,
    /// The length of the longest order.
    pub depth: usize,
    /// The most faults that one order had.
    pub faults: usize,
    /// Whether all states were seen that can be reached with so many faults.
    exhaustive: bool,
    /// The outcomes and outputs with which the request ended.
    ends: BTreeMap<(String, Vec<u8>), usize>,
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
    /// If different orders end in different ways. [`ends`](Explored::ends) has all.
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

    /// The outcomes and outputs with which the request ended, in different orders, and how many last states had each.
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

/// What was explored, in a line.
impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = if self.exhaustive { "all orders" } else { "some orders" };
        write!(
            f,
            "{all} with at most {} fault(s): {} states, {} transitions, {} steps at most, {} end(s)",
            self.faults,
            self.states,
            self.transitions,
            self.depth,
            self.ends.len()
        )
    }
}

/// An order that violates what is promised.
#[derive(Clone, Debug)]
pub struct Violation {
    pub(crate) what: String,
    pub(crate) events: Vec<String>,
    pub(crate) seed: String,
}

impl Violation {
    /// What is violated.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What happened, in order.
    #[must_use]
    pub fn events(&self) -> &[String] {
        &self.events
    }

    /// The text that [`Explore::replay`] runs again.
    #[must_use]
    pub fn seed(&self) -> &str {
        &self.seed
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.what)?;
        for (number, event) in (1..).zip(&self.events) {
            writeln!(f, "{number:4}  {event}")?;
        }
        write!(f, "replay it with `.replay(\"{}\")`", self.seed)
    }
}

impl std::error::Error for Violation {}
