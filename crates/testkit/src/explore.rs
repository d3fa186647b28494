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
mod explored;
mod fakes;
mod interner;
mod search;
mod seed;
mod settle;
mod setup;
mod state;
mod steps;
mod tell;
mod violation;
mod world;

use std::sync::Arc;

use bytes::Bytes;
use faasflow_core::machine::forked::Flaw;
use faasflow_core::{Flow, Payload};

pub use cost::Cost;
pub use explored::Explored;
use fakes::Fakes;
use setup::Setup;
pub use violation::Violation;

/// Explores a flow that is called with this payload. See the [module](self).
pub fn explore(flow: &Flow, input: impl Into<Bytes>) -> Explore {
    Explore(Setup {
        flow: flow.clone(),
        input: Payload::new(input),
        fakes: Fakes::default(),
        faults: 1,
        limit: 2_000_000,
        samples: None,
        flaw: Flaw::None,
    })
}

/// An exploration that is being set up.
#[must_use = "nothing is explored until `run`"]
pub struct Explore(Setup);

impl Explore {
    /// Has a function answer what this makes of the text that it is called with. An error is a failure of the step, for this
    /// reason.
    pub fn function(
        mut self,
        name: impl Into<String>,
        answer: impl Fn(&str) -> Result<String, String> + Send + Sync + 'static,
    ) -> Explore {
        self.0.fakes.functions.insert(name.into(), Arc::new(answer));
        self
    }

    /// Has a function fail always.
    pub fn failing(self, name: impl Into<String>) -> Explore {
        self.function(name, |_| Err("it answered 404 Not Found".to_owned()))
    }

    /// How many faults one run may have at most: processes that die, deliveries that come twice, and writes without an answer.
    /// The default is 1.
    pub fn faults(mut self, faults: usize) -> Explore {
        self.0.faults = faults;
        self
    }

    /// Gives up after this many states, and says so. The default is 2,000,000.
    pub fn limit(mut self, states: usize) -> Explore {
        self.0.limit = states;
        self
    }

    /// Tries this many random orders, which follow from the seed, instead of all. It is for flows with too many states.
    pub fn sample(mut self, seed: u64, orders: usize) -> Explore {
        self.0.samples = Some((seed, orders));
        self
    }

    /// Makes a mistake in the protocol.
    #[doc(hidden)]
    pub fn flaw(mut self, flaw: Flaw) -> Explore {
        self.0.flaw = flaw;
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
        match self.0.samples {
            Some((seed, orders)) => search::sample(&self.0, seed, orders),
            None => search::exhaust(&self.0),
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
        search::replay(&self.0, seed)
    }

    /// Runs one order without faults, which follows from the seed, and counts what it costs. Each delivery goes on to its end
    /// before the next one begins, so that members of a join do not compete.
    ///
    /// # Panics
    ///
    /// If it violates what is promised.
    pub fn cost(&self, seed: u64) -> Cost {
        search::cost(&self.0, seed, false).unwrap_or_else(|violation| panic!("{violation}"))
    }

    /// The same, but all members that are in flight end at the same moment, and compete. It is the most that it can cost.
    ///
    /// # Panics
    ///
    /// If it violates what is promised.
    pub fn contended_cost(&self, seed: u64) -> Cost {
        search::cost(&self.0, seed, true).unwrap_or_else(|violation| panic!("{violation}"))
    }
}
