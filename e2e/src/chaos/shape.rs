//! The flows that a run can attack, and the result that each must have.

use std::fmt;

/// The flow of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Six asynchronous phases, each of which is one call. With a store, its requests are remembered.
    Linear(Option<Store>),
    /// A fork of eight branches. Seven make one call each. The eighth runs a for-each of 20 items, four at once, of which each
    /// makes one call, and makes another call after it. A last call follows the join.
    Graph(Store),
}

/// The store for the records and joins of the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// The store of the local gateway, which the run kills.
    Gateway,
    /// Redis, which the run does not kill, because it would lose up to a second of writes.
    Redis,
    /// MinIO, which the run does not kill either.
    S3,
}

/// The number of phases of the linear flow.
const PHASES: usize = 6;
/// The number of branches of the graph that make only one call.
const SIMPLE_BRANCHES: usize = 7;
/// The number of items of the for-each.
const ITEMS: usize = 20;

impl Store {
    pub(super) fn named(name: &str) -> Option<Store> {
        [Store::Gateway, Store::Redis, Store::S3].into_iter().find(|store| store.as_str() == name)
    }

    /// The value of `state_manager`.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Store::Gateway => "gateway",
            Store::Redis => "redis",
            Store::S3 => "s3",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Store::Gateway => "the gateway's store",
            Store::Redis => "Redis",
            Store::S3 => "MinIO",
        }
    }
}

impl Shape {
    /// The role of the program that serves the flow.
    pub(super) fn role(self) -> &'static str {
        match self {
            Shape::Linear(_) => "flow",
            Shape::Graph(_) => "graph",
        }
    }

    /// The number of requests in flight. A request of the graph is in many phases at the same time.
    pub(super) fn at_once(self) -> usize {
        match self {
            Shape::Linear(_) => 64,
            Shape::Graph(_) => 8,
        }
    }

    /// The number of calls in one request.
    pub(super) fn steps(self) -> usize {
        match self {
            Shape::Linear(_) => PHASES,
            Shape::Graph(_) => SIMPLE_BRANCHES + ITEMS + self.joins(),
        }
    }

    /// The number of joins in one request. A call follows each.
    pub(super) fn joins(self) -> usize {
        match self {
            Shape::Linear(_) => 0,
            Shape::Graph(_) => 2,
        }
    }

    /// Where the requests are remembered.
    pub(super) fn store(self) -> Option<Store> {
        match self {
            Shape::Linear(store) => store,
            Shape::Graph(store) => Some(store),
        }
    }

    /// How often one kill may repeat a step. If the gateway dies, the flow repeats the call, and the queue delivers the phase again.
    /// Only a flow that remembers its requests knows that the phase is in progress.
    pub(super) fn repetitions_per_kill(self) -> usize {
        if self.store().is_some() { 1 } else { 2 }
    }

    /// The payload of a request.
    pub(super) fn payload(self, number: usize) -> String {
        match self {
            Shape::Linear(_) => format!("{number}:"),
            Shape::Graph(_) => number.to_string(),
        }
    }

    /// The payload at the end of a request.
    pub(super) fn result(self, number: usize) -> String {
        match self {
            Shape::Linear(_) => (1..=PHASES).fold(self.payload(number), |text, phase| format!("{text}{phase}")),
            Shape::Graph(_) => {
                let branches =
                    (1..=SIMPLE_BRANCHES).map(|branch| format!(r#""branch-{branch}":{}"#, number * 10 + branch));
                let items: Vec<String> = (0..ITEMS).map(|item| (2 * (number + item)).to_string()).collect();
                let items = format!(r#""items":[{}]"#, items.join(","));
                format!("{{{}}}", branches.chain([items]).collect::<Vec<_>>().join(","))
            }
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Linear(None) => f.write_str("six asynchronous phases"),
            Shape::Linear(Some(store)) => write!(f, "six asynchronous phases, remembered in {}", store.title()),
            Shape::Graph(store) => {
                let store = store.title();
                write!(
                    f,
                    "a fork of eight branches, a for-each of {ITEMS} items in one of them, and two joins in {store}"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_those_of_the_flows() {
        assert_eq!(Shape::Linear(None).result(3), "3:123456");
        let result = Shape::Graph(Store::Redis).result(3);
        assert!(result.starts_with(r#"{"branch-1":31,"branch-2":32,"#), "{result}");
        assert!(
            result.ends_with(r#""branch-7":37,"items":[6,8,10,12,14,16,18,20,22,24,26,28,30,32,34,36,38,40,42,44]}"#)
        );
        assert_eq!((Shape::Linear(None).steps(), Shape::Graph(Store::Redis).steps()), (6, 29));
    }
}
