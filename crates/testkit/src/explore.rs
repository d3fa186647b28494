//! Explores how a flow with branches behaves when deliveries arrive in any order, arrive twice, or are interrupted.
//!
//! [`explore`] runs the state machine for requests with branches against a store and a queue in memory. It tries every order in
//! which deliveries can interleave, effect by effect. It also lets processes die before and after each effect, delivers messages
//! twice, and loses writes or their answers. Orders that are equivalent to others are left out. In each reachable state, it checks
//! that
//!
//! - the request ends with a single outcome and output;
//! - each join fires once, and sees only results that were written;
//! - tokens that are posted with the same call id are equal;
//! - no more items are in flight than `at_most` allows;
//! - the request can always end, and then leaves nothing in the store except the keys that outlive it.
//!
//! A request that is [remembered](Explore::remembered) leaves its results in the store. It can be paused and resumed, stopped,
//! recovered and started again at any moment: see [`Action`]. Then it also checks that
//!
//! - nothing begins to be executed while the request is paused, or after it has ended;
//! - each generation of the request ends once, and is retired;
//! - nothing is executed again that has succeeded, also in an earlier generation.
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
//! Functions return their input unless the test replaces them. Modifiers, joins and handlers of the flow are executed, and must
//! not wait for anything. The output of a step may depend only on its input.
//!
//! An order that fails is printed as a list of events, as short as possible, with a seed for [`replay`](Explore::replay).

mod act;
mod action;
mod cost;
mod explored;
mod fakes;
mod guarantee;
mod hashing;
mod interner;
mod known;
mod reduce;
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

pub use act::Action;
pub use cost::Cost;
pub use explored::Explored;
use fakes::Fakes;
use setup::Setup;
pub use violation::Violation;

/// Sets up the exploration of a flow that is called with this payload. See the [module](self).
pub fn explore(flow: &Flow, input: impl Into<Bytes>) -> Explore {
    Explore(Setup {
        flow: flow.clone(),
        input: Payload::new(input),
        fakes: Fakes::default(),
        faults: 1,
        interruptions: None,
        reduced: true,
        limit: 2_000_000,
        samples: None,
        flaw: Flaw::None,
        remembered: false,
        actions: act::Actions::default(),
    })
}

/// An exploration that is being set up.
#[must_use = "nothing is explored until `run`"]
pub struct Explore(Setup);

impl Explore {
    /// Sets the answer of a function, given the text that it is called with. An error fails the step, with the error's text as
    /// the reason.
    pub fn function(
        mut self,
        name: impl Into<String>,
        answer: impl Fn(&str) -> Result<String, String> + Send + Sync + 'static,
    ) -> Explore {
        self.0.fakes.functions.insert(name.into(), Arc::new(answer));
        self
    }

    /// Lets a function always fail.
    pub fn failing(self, name: impl Into<String>) -> Explore {
        self.function(name, |_| Err("it answered 404 Not Found".to_owned()))
    }

    /// Lets a function fail until the request is started again.
    pub fn failing_until_redriven(mut self, name: impl Into<String>) -> Explore {
        self.0.fakes.mended.insert(name.into());
        self
    }

    /// Explores a request that is [remembered](faasflow_core::machine::forked::Message::remembered), as those of flows with a
    /// shared state manager are. Its results stay in the store.
    pub fn remembered(mut self) -> Explore {
        self.0.remembered = true;
        self
    }

    /// Lets this be done with the request, once, at any moment or never. The request is [remembered](Explore::remembered). Call
    /// it again for further actions, or for the same one a second time.
    ///
    /// ```
    /// use faasflow_core::Flow;
    /// use faasflow_testkit::explore::{Action, explore};
    ///
    /// let flow = Flow::builder().apply("resize").apply("upload").build().unwrap();
    /// let explored = explore(&flow, "1").action(Action::Pause).run();
    /// assert_eq!(explored.output(), "1");
    /// ```
    pub fn action(mut self, action: Action) -> Explore {
        self.0.actions[action.number()] += 1;
        self.remembered()
    }

    /// Sets the maximum number of faults in one order: processes that die, messages that are delivered twice, and writes without
    /// an answer. The default is 1.
    pub fn faults(mut self, faults: usize) -> Explore {
        self.0.faults = faults;
        self
    }

    /// Limits how often a delivery or an action is interrupted by something else before it has ended. All orders with so few
    /// interruptions are tried. Most mistakes show with one or two. Use it for flows with too many states. By default, there is
    /// no limit.
    pub fn interruptions(mut self, interruptions: u8) -> Explore {
        self.0.interruptions = Some(interruptions);
        self
    }

    /// Sets the number of states after which the exploration stops. It is then not [exhaustive](Explored::is_exhaustive). The
    /// default is 2,000,000.
    pub fn limit(mut self, states: usize) -> Explore {
        self.0.limit = states;
        self
    }

    /// Tries this many random orders, determined by the seed, instead of all orders. It is for flows with too many states.
    pub fn sample(mut self, seed: u64, orders: usize) -> Explore {
        self.0.samples = Some((seed, orders));
        self
    }

    /// Tries equivalent orders too.
    #[doc(hidden)]
    pub fn in_full(mut self) -> Explore {
        self.0.reduced = false;
        self
    }

    /// Adds a deliberate mistake to the protocol.
    #[doc(hidden)]
    pub fn flaw(mut self, flaw: Flaw) -> Explore {
        self.0.flaw = flaw;
        self
    }

    /// Runs the exploration.
    ///
    /// # Panics
    ///
    /// If an order violates a guarantee. The message lists the events and contains the seed.
    pub fn run(self) -> Explored {
        self.try_run().unwrap_or_else(|violation| panic!("{violation}"))
    }

    /// Runs the exploration like [`run`](Explore::run), but returns a violation as an error.
    ///
    /// # Errors
    ///
    /// An order that violates a guarantee. If all orders are tried, there is no shorter one.
    pub fn try_run(self) -> Result<Explored, Violation> {
        match self.0.samples {
            Some((seed, orders)) => search::sample(&self.0, seed, orders),
            None => search::exhaust(&self.0),
        }
    }

    /// Runs the order that a printed seed represents, and lists its events.
    ///
    /// # Errors
    ///
    /// The violation, if the order leads to one.
    ///
    /// # Panics
    ///
    /// If the text is not a seed of this flow.
    pub fn replay(&self, seed: &str) -> Result<Vec<String>, Violation> {
        search::replay(&self.0, seed)
    }

    /// Runs one order without faults, determined by the seed, and counts its effects. Each delivery ends before the next one
    /// begins, so the members of a join do not compete.
    ///
    /// # Panics
    ///
    /// If the order violates a guarantee.
    pub fn cost(&self, seed: u64) -> Cost {
        search::cost(&self.0, seed, false).unwrap_or_else(|violation| panic!("{violation}"))
    }

    /// Counts effects like [`cost`](Explore::cost), in an order in which the members in flight end at the same time and compete.
    ///
    /// # Panics
    ///
    /// If the order violates a guarantee.
    pub fn contended_cost(&self, seed: u64) -> Cost {
        search::cost(&self.0, seed, true).unwrap_or_else(|violation| panic!("{violation}"))
    }
}
